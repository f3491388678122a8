"""Onboarding: where each wanted client stands, and who is stuck."""

from __future__ import annotations

import streamlit as st

from bi.behind import CLIENTS, rows_behind
from bi.figures import Card, show_cards
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell
from bi.view import note_ignored, open_page
from debitura_pipeline.formats import title_case

TABLE = "reports.onboarding_funnel"


def main() -> None:
    """The page."""
    view = open_page("Onboarding", "Clients from the roster to their first payment.")
    if not view.has(TABLE):
        return
    note_ignored(view, "client")
    where = view.filters.on(client="creditor_id")
    count = view.one(TABLE, "count(*)", where)
    if not count:
        st.info("No clients yet.")
        return
    stuck, paid = where.also("is_stuck"), where.also("first_payment_at IS NOT NULL")
    show_cards(view, "onboarding", [
        Card("clients", "Clients", count, "Wanted or listed.", CLIENTS, where, unit=""),
        Card("stuck", "Stuck", view.one(TABLE, "count(*)", stuck), "Too long in their stage.", CLIENTS, stuck, unit=""),
        Card("paid", "With a payment", view.one(TABLE, "count(*)", paid), "A first payment was seen.", CLIENTS, paid, unit=""),
    ])  # fmt: skip
    st.header("By stage")
    columns = (
        "stage",
        "count(*) AS client_count",
        "count(CASE WHEN is_stuck THEN 1 END) AS stuck_count",
        "max(days_in_stage) AS days_in_stage_max",
    )
    found = view.frame(TABLE, columns, where, "GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1")
    st.caption(SELECT_HINT)
    cell = selected_cell(found, key="funnel", alt="Clients by stage of onboarding")
    if cell is not None:
        row, column = cell
        chosen = where.same("stage", row["stage"])
        rows_behind(
            view,
            "funnel",
            title_case(row["stage"]),
            CLIENTS,
            chosen.also("is_stuck") if column == "stuck_count" else chosen,
        )


main()
