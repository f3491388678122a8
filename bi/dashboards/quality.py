"""Data quality: which checks hold, and whether the warehouse agrees with the API."""

from __future__ import annotations

import streamlit as st

from bi.behind import Kind, rows_behind
from bi.filters import Condition
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell
from bi.view import View, note_ignored, open_page
from debitura_pipeline.formats import title_case

CHECKS = Kind(
    "reports.data_quality", "check", ("check_name", "area", "verdict", "figure", "unit", "since", "meaning", "what_to_do"),
    "area, check_name",
)  # fmt: skip
TOTALS = Kind(
    "reports.payout_reconciliation", "comparison",
    ("scope", "company_name", "resource", "stage", "api_count", "warehouse_count", "count_difference", "api_usd", "warehouse_usd",
     "usd_difference", "verdict", "checked_at", "detail"),
    "scope, company_name, resource, stage",
)  # fmt: skip


def main() -> None:
    """The page."""
    view = open_page(
        "Data quality", "Whether the figures can be trusted: checks of the warehouse, and the API's own totals."
    )
    note_ignored(view)
    st.header("Checks")
    if view.has(CHECKS.table):
        _verdicts(view, CHECKS, "checks", "area", "Not checked yet.")
    st.header("Reconciliation with the API")
    if view.has(TOTALS.table):
        _verdicts(view, TOTALS, "totals", "scope", "Not compared yet.")


def _verdicts(view: View, kind: Kind, key: str, group: str, none: str) -> None:
    found = view.frame(kind.table, (group, "verdict", "count(*) AS rows_count"), tail="GROUP BY 1, 2 ORDER BY 1, 2")
    if found.empty:
        st.info(none)
        return
    st.caption(SELECT_HINT)
    cell = selected_cell(found, key=key, alt=f"{title_case(key)} by verdict")
    if cell is not None:
        row, _ = cell
        where = Condition().same(group, row[group]).same("verdict", row["verdict"])
        rows_behind(view, key, f"{title_case(row[group])}: {row['verdict']}", kind, where)
    bad = Condition().also("verdict NOT IN (?, ?)", "ok", "equal")
    if view.one(kind.table, "count(*)", bad):
        rows_behind(view, f"{key}-open", "What does not hold, or is not checked", kind, bad)
    else:
        st.success("All hold.")


main()
