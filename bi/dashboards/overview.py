"""Overview: how much, what changed, and whether anything is missing."""

from __future__ import annotations

import streamlit as st

from bi.behind import CHANGES, FINDINGS, rows_behind
from bi.fees import TABLE, stage_cards
from bi.figures import Card, show_cards
from bi.matrix import SELECT_HINT
from bi.periods import show_periods
from bi.tables import selected_cell
from bi.view import View, note_ignored, open_page
from debitura_pipeline.formats import title_case

NO_TRANSACTIONS = "No transactions yet. The figures appear with the first nightly run that reads some."


def main() -> None:
    """The page."""
    view = open_page("Overview", "Where the referral fees stand. Amounts in USD; Disputed is in no other figure.")
    if view.one(TABLE, "count(*)"):
        show_cards(view, "overview", [*stage_cards(view), *_gaps(view)])
    else:
        st.info(NO_TRANSACTIONS)
    st.header("Periods")
    if view.has("reports.revenue_summary"):
        show_periods(view)
    st.header("Changes found by the last run")
    if view.has("reports.what_changed"):
        _changes(view)


def _gaps(view: View) -> list[Card]:
    if "reports.attribution_gaps" not in view.tables:
        return []
    where = view.filters.on(client="creditor_id")
    count = view.one("reports.attribution_gaps", "count(*)", where)
    if not count and not view.is_read:
        return []
    return [
        Card(
            "gaps", "Findings", count, "Money that may be missing: see Attribution and gaps.", FINDINGS, where, unit=""
        )
    ]


def _changes(view: View) -> None:
    note_ignored(view, "client", "currency")
    where = view.filters.on(client="creditor_id", currency="currency")
    counts = view.frame(
        CHANGES.table,
        ("subject", "change", "count(*) AS changes", "sum(delta_usd) AS delta_usd"),
        where,
        "GROUP BY 1, 2 ORDER BY 1, 2",
    )
    if counts.empty:
        view.say_none("No changes since the run before.")
        return
    st.caption(SELECT_HINT)
    cell = selected_cell(counts, key="changes", alt="Changes by kind")
    if cell is not None:
        row, _ = cell
        chosen = where.same("subject", row["subject"]).same("change", row["change"])
        rows_behind(view, "changes", f"{title_case(row['subject'])}, {row['change']}", CHANGES, chosen)


main()
