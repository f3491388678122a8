"""Overview: how much, what changed, and whether anything is missing."""

from __future__ import annotations

import streamlit as st

from bi.behind import FINDINGS
from bi.fees import TABLE, stage_cards
from bi.figures import Card, show_cards
from bi.tables import show
from bi.view import View, note_ignored, open_page

SUMMARY = (
    "period", "basis", "from_on", "to_on", "transaction_count", "referral_fee_usd", "of_which_estimate_usd", "disputed_usd",
    "is_complete",
)  # fmt: skip
CHANGES = (
    "subject",
    "change",
    "company_name",
    "from_value",
    "to_value",
    "delta_usd",
    "is_expected_income",
    "not_after",
    "subject_id",
)
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
        note_ignored(view)
        st.caption("Not complete: part of the period is before what is known on that basis.")
        show(
            view.frame("reports.revenue_summary", SUMMARY, tail="ORDER BY basis, period_order"),
            key="summary",
            alt="Fees by period",
        )
    st.header("Changes found by the last run")
    if view.has("reports.what_changed"):
        _changes(view)


def _gaps(view: View) -> list[Card]:
    if "reports.attribution_gaps" not in view.tables:
        return []
    where = view.filters.on(client="creditor_id")
    usd = view.amount("reports.attribution_gaps", "sum(usd_at_stake)", where)
    return [Card("gaps", "Possibly missing", usd, "At stake in the findings of Attribution and gaps.", FINDINGS, where)]


def _changes(view: View) -> None:
    note_ignored(view, "client", "currency")
    where = view.filters.on(client="creditor_id", currency="currency")
    found = view.frame(
        "reports.what_changed", CHANGES, where, "ORDER BY abs(coalesce(delta_usd, 0)) DESC, subject_id LIMIT 500"
    )
    if found.empty:
        st.info("No changes since the run before.")
        return
    counts = view.frame(
        "reports.what_changed", ("subject", "change", "count(*) AS changes", "sum(delta_usd) AS delta_usd"), where,
        "GROUP BY 1, 2 ORDER BY 1, 2",
    )  # fmt: skip
    show(counts, key="change-counts", alt="Changes by kind")
    with st.expander("Each change, the largest first"):
        show(found, key="changes", alt="Changes")


main()
