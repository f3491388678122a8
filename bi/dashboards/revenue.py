"""Revenue: fees by month, currency and client, and how the stages moved."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from bi.bases import BASES
from bi.behind import STAGE_CHANGES, TRANSACTIONS, rows_behind
from bi.charts import stacked_months
from bi.fees import TABLE, fees_where
from bi.filters import Condition, month_label
from bi.matrix import SELECT_HINT, Matrix, show_matrix
from bi.tables import selected_cell
from bi.view import View, note_ignored, open_page
from debitura_pipeline.contract.stage_groups import LABELS

WATERFALL = (
    "month", "revenue_stage", "opening_usd", "appeared_usd", "moved_in_usd", "moved_out_usd", "edited_usd", "fx_usd", "gone_usd",
    "closing_usd",
)  # fmt: skip


def main() -> None:
    """The page."""
    view = open_page(
        "Revenue", "Fees in USD by the month of the payment (UTC). Totals leave out Disputed and Unclassified."
    )
    where = fees_where(view)
    if not view.one(TABLE, "count(*)", where):
        st.info("No transactions" + (" with these filters." if view.filters.words else " yet."))
        return
    by_month = Matrix(
        "months", "Fees by month and stage", "collected_month", "collected_month", "collected_month DESC NULLS LAST"
    )
    st.header("By month")
    stacked_months(view, where)
    show_matrix(view, by_month, where)
    st.header("By currency")
    show_matrix(view, Matrix("currencies", "Fees by currency", "earnings_currency", "earnings_currency", "1"), where)
    st.header("By client")
    show_matrix(
        view,
        Matrix("clients", "Fees by client", "creditor_id", "max(company_name)", "expected_and_earned_usd DESC"),
        where,
    )
    st.header("By the date of each step")
    _bases(view, where)
    st.header("How the stages moved")
    _waterfall(view)


def _bases(view: View, where: Condition) -> None:
    chosen = st.segmented_control(
        "Date of",
        list(BASES),
        format_func=lambda one: BASES[one].label,
        default="collected",
        key="basis",
        required=True,
    )
    basis = BASES[chosen]
    where = basis.where(where)
    columns = (f"{basis.month} AS month", f"coalesce(sum({basis.usd}), 0) AS fee_usd", "count(*) AS transaction_count")
    found = view.frame(TABLE, columns, where, "GROUP BY 1 ORDER BY 1 DESC NULLS FIRST")
    st.caption(
        "The filter of months is that of the payment. No month: the step was taken before the first load. "
        + SELECT_HINT
    )
    cell = selected_cell(found, key="bases", alt="Fees by month of the chosen step")
    if cell is not None:
        month = cell[0]["month"]
        title = f"{basis.label}, {month_label(month) or 'month not known'}"
        rows_behind(view, "bases", title, replace(TRANSACTIONS, usd=basis.usd), where.same(basis.month, month))


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
    st.caption(
        "Closing = opening + appeared + moved in − moved out + edited + exchange rates − gone. Select a cell to see the changes."
    )
    cell = selected_cell(found, key="waterfall", alt="Stage waterfall of the month")
    if cell is not None:
        stage = cell[0]["revenue_stage"]
        changed = Condition().also("(from_stage = ? OR to_stage = ?)", stage, stage)
        changed = changed.same("CAST(date_trunc('month', not_after) AS date)", month)
        rows_behind(view, "waterfall", f"{LABELS[stage]}, {month_label(month)}", STAGE_CHANGES, changed)


main()
