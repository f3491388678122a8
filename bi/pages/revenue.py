"""Revenue: fees by month, currency and client, and how the stages moved."""

from __future__ import annotations

import streamlit as st

from bi.charts import stacked_months
from bi.fees import TABLE, fees_where
from bi.matrix import Matrix, show_matrix
from bi.stages import EXPECTED, LABELS
from bi.tables import show
from bi.view import View, note_ignored, open_page

WATERFALL = (
    "month", "revenue_stage", "opening_usd", "appeared_usd", "moved_in_usd", "moved_out_usd", "edited_usd", "fx_usd", "gone_usd",
    "closing_usd",
)  # fmt: skip
BASES = {"collected": "Collected", "recognized": "Recognized", "invoiced": "Invoiced", "paid": "Paid"}


def main() -> None:
    """The page."""
    view = open_page("Revenue", "Fees in USD by the month of the payment (UTC). Totals leave out Disputed and Unclassified.")
    where = fees_where(view)
    if not view.one(TABLE, "count(*)", where):
        st.info("No transactions" + (" with these filters." if view.filters.words else " yet."))
        return
    by_month = Matrix("months", "Fees by month and stage", "collected_month", "collected_month", "collected_month DESC")
    st.header("By month")
    stacked_months(view, where)
    show_matrix(view, by_month, where)
    st.header("By currency")
    show_matrix(view, Matrix("currencies", "Fees by currency", "earnings_currency", "earnings_currency", "1"), where)
    st.header("By client")
    show_matrix(view, Matrix("clients", "Fees by client", "creditor_id", "max(company_name)", "expected_usd DESC"), where)
    st.header("By the date of each step")
    _bases(view)
    st.header("How the stages moved")
    _waterfall(view)


def _bases(view: View) -> None:
    if not view.has("reports.revenue_by_month"):
        return
    note_ignored(view, "month", "currency")
    basis = st.segmented_control("Date of", list(BASES), format_func=BASES.__getitem__, default="collected", key="basis")
    where = view.filters.on(month="month", currency="currency").same("basis", basis or "collected")
    columns = ("month_label AS months", "sum(transaction_count) AS transaction_count", "sum(referral_fee_usd) AS referral_fee_usd",
               "sum(of_which_estimate_usd) AS of_which_estimate_usd")  # fmt: skip
    found = view.frame("reports.revenue_by_month", columns, where, "GROUP BY 1 ORDER BY 1 DESC")
    show(found, key="bases", alt="Fees by month and basis")


def _waterfall(view: View) -> None:
    if not view.has("reports.stage_waterfall"):
        return
    note_ignored(view, "month")
    where = view.filters.on(month="month")
    months = view.frame("reports.stage_waterfall", ("DISTINCT month AS month",), where, "ORDER BY 1 DESC")["month"]
    if months.empty:
        st.info("Nothing to show yet.")
        return
    month = st.selectbox("Month", list(months), format_func=lambda one: f"{one:%b %Y}", key="waterfall_month")
    found = view.frame("reports.stage_waterfall", WATERFALL[1:], where.same("month", month), "ORDER BY stage_order")
    st.caption("Closing = opening + appeared + moved in − moved out + edited + exchange rates − gone.")
    show(found, key="waterfall", alt="Stage waterfall of the month")


main()
