"""Pipeline and calendar: what is due when and from whom, what can be invoiced, and what is to be expected."""

from __future__ import annotations

from decimal import Decimal

import streamlit as st

from bi.behind import SHOWN, TRANSACTIONS, rows_behind
from bi.charts import forecast_band
from bi.fees import ESTIMATE, TABLE, fees_where, in_stages
from bi.figures import Card, show_cards
from bi.filters import Condition
from bi.labels import DUE
from bi.matrix import SELECT_HINT
from bi.tables import selected_cell, show
from bi.view import View, note_ignored, open_page, plain
from debitura_pipeline.contract.stage_groups import AWAITED, DISPUTED, IS_MOVING, LABELS, PAID, READY, UNCLASSIFIED

FORECAST, BACKTEST = "reports.revenue_forecast", "reports.forecast_backtest"
MEANINGS = {
    "overdue": "The documented date of the payment has passed.",
    "due": "The date of the payment is still to come.",
    "not_before": "In its stage since before the first load, or Debitura's invoice is late: not due before that date.",
    "unknown": "No date of payment is documented.",
}
ORDER = "CASE payment_class WHEN 'overdue' THEN 1 WHEN 'due' THEN 2 WHEN 'not_before' THEN 3 ELSE 4 END"
OVERDUE = "coalesce(sum(CASE WHEN payment_class = 'overdue' THEN referral_fee_usd END), 0) AS overdue_usd"
# Whom the money comes from next, as in payment_calendar.
PAYER = f"""CASE WHEN revenue_stage IN ('{READY}', 'AwaitingDebituraPayment') THEN 'Debitura'
    ELSE coalesce(collection_partner, 'unknown') END"""
OWED_BY_PARTNERS = tuple(stage for stage in AWAITED if stage != "AwaitingDebituraPayment")
INVOICE = ("currency", "line_number", "company_name", "case_reference", "occurred_at", "referral_fee_pct", "referral_fee",
           "referral_fee_usd", "may_be_clawed_back", "transaction_id")  # fmt: skip


def main() -> None:
    """The page."""
    view = open_page("Pipeline and calendar", "Fees that are not paid yet, in USD: what is due when, and from whom.")
    where = fees_where(view).also("revenue_stage NOT IN (?, ?, ?)", PAID, DISPUTED, UNCLASSIFIED)
    if not view.one(TABLE, "count(*)", where):
        view.say_none("Nothing is awaited" + (" with these filters." if view.filters.words else "."))
    else:
        show_cards(view, "pipeline", _due_cards(view, where))
        _stages(view, where)
        _calendar(view, where)
        _partners(view, where)
    _invoice(view)
    _forecast(view)


def _due_cards(view: View, where: Condition) -> list[Card]:
    found = view.frame(TABLE, ("payment_class", "sum(referral_fee_usd) AS usd"), where, "GROUP BY 1")
    usd = dict(found.itertuples(index=False))
    return [
        Card(
            due,
            DUE[due],
            Decimal(usd.get(due) or Decimal("0.0000")),
            MEANINGS[due],
            TRANSACTIONS,
            where.same("payment_class", due),
        )
        for due in DUE
    ]


def _stages(view: View, where: Condition) -> None:
    st.header("By stage")
    columns = (
        "revenue_stage", "coalesce(sum(referral_fee_usd), 0) AS referral_fee_usd", "count(*) AS transaction_count",
        f"coalesce({ESTIMATE}, 0) AS of_which_estimate_usd",
        *(f"coalesce(sum(CASE WHEN payment_class = '{due}' THEN referral_fee_usd END), 0) AS {due}_usd" for due in DUE),
        "max(age_days) AS oldest_age_days", "max(days_in_stage) AS days_in_stage_max",
    )  # fmt: skip
    found = view.frame(TABLE, columns, where, "GROUP BY 1")
    found = found.sort_values("revenue_stage", key=lambda stages: stages.map(list(LABELS).index), ignore_index=True)
    st.caption(SELECT_HINT)
    cell = selected_cell(found, key="stages", alt="Fees not paid yet by stage")
    if cell is not None:
        row, column = cell
        chosen = in_stages(where, (row["revenue_stage"],))
        if column.removesuffix("_usd") in DUE:
            chosen = chosen.same("payment_class", column.removesuffix("_usd"))
        elif column == "of_which_estimate_usd":
            chosen = chosen.also(IS_MOVING)
        rows_behind(view, "stages", LABELS[row["revenue_stage"]], TRANSACTIONS, chosen)


def _calendar(view: View, where: Condition) -> None:
    st.header("Payment calendar")
    columns = (
        "payment_class", "payment_due_on", "coalesce(sum(referral_fee_usd), 0) AS referral_fee_usd", f"{PAYER} AS payer",
        "revenue_stage", "earnings_currency", "sum(referral_fee) AS referral_fee", "count(*) AS transaction_count",
        f"coalesce({ESTIMATE}, 0) AS of_which_estimate_usd", "max(next_step) AS next_step",
    )  # fmt: skip
    found = view.frame(TABLE, columns, where, f"GROUP BY 1, 2, 4, 5, 6 ORDER BY {ORDER}, 2, 3 DESC, 4, 5, 6")
    st.caption(f"Overdue first. {SELECT_HINT}")
    cell = selected_cell(found, key="calendar", alt="Payment calendar")
    if cell is not None:
        row, _ = cell
        chosen = where
        for column in ("payment_class", "payment_due_on", "revenue_stage", "earnings_currency"):
            chosen = chosen.same(column, row[column])
        chosen = chosen.same(PAYER, row["payer"])
        rows_behind(
            view, "calendar", f"{DUE[row['payment_class']]}, {LABELS[row['revenue_stage']]}", TRANSACTIONS, chosen
        )


def _partners(view: View, where: Condition) -> None:
    st.header("Owed by collection partners")
    owed = in_stages(where, OWED_BY_PARTNERS)
    columns = (
        "collection_partner", "sum(referral_fee_usd) AS referral_fee_usd", "count(*) AS transaction_count",
        "count(DISTINCT creditor_id) AS client_count", OVERDUE,
        "max(days_in_stage) AS days_in_stage_max",
    )  # fmt: skip
    found = view.frame(TABLE, columns, owed, "GROUP BY 1 ORDER BY 2 DESC NULLS LAST, 1")
    if found.empty:
        view.say_none("Nothing is confirmed and owed by a collection partner.")
        return
    st.caption(SELECT_HINT)
    cell = selected_cell(found, key="partners", alt="Fees owed by collection partners")
    if cell is not None:
        row, column = cell
        chosen = owed.same("collection_partner", row["collection_partner"])
        chosen = chosen.same("payment_class", "overdue") if column == "overdue_usd" else chosen
        rows_behind(view, "partners", row["collection_partner"] or "Unknown collection partner", TRANSACTIONS, chosen)


def _invoice(view: View) -> None:
    st.header("Invoice draft")
    if not view.has("reports.invoice_draft"):
        return
    note_ignored(view, "client", "currency")
    where = view.filters.on(client="creditor_id", currency="currency")
    lines = view.one("reports.invoice_draft", "count(*)", where)
    if not lines:
        view.say_none("Nothing can be invoiced to Debitura now.")
        return
    totals = view.frame(
        "reports.invoice_draft",
        (
            "currency",
            "count(*) AS transaction_count",
            "sum(referral_fee) AS referral_fee",
            "sum(referral_fee_usd) AS referral_fee_usd",
        ),
        where,
        "GROUP BY 1 ORDER BY 1",
    )
    show(totals, key="invoice-totals", alt="Invoice draft: totals by currency")
    found = view.frame("reports.invoice_draft", INVOICE, where, f"ORDER BY currency, line_number LIMIT {SHOWN}")
    with st.expander(f"The first {len(found):,} of {lines:,} lines" if lines > len(found) else f"The {lines:,} lines"):
        show(found, key="invoice", alt="Lines of the invoice draft")


def _forecast(view: View) -> None:
    st.header("Forecast")
    if not view.has(FORECAST):
        return
    note_ignored(view)
    columns = ("month", "expected_usd", "low_usd", "median_usd", "high_usd", "is_reliable", "method")
    found = view.frame(FORECAST, columns, Condition().same("revenue_stage", "Total"), "ORDER BY month")
    if found.empty:
        st.info("Too little has been observed for a forecast.")
        return
    st.caption("Fees expected to be paid to you, by month. Low and high: one outcome in ten is below or above.")
    if not found["is_reliable"].all():
        methods = "; ".join(dict.fromkeys(found["method"]))
        st.warning(f"Too little has been seen yet for a reliable forecast. How it was made: {plain(methods)}.")
    forecast_band(found)
    show(found.drop(columns=["is_reliable", "method"]), key="forecast", alt="Forecast by month")
    with st.expander("By the stage in which the money stands now"):
        stages = ("month", "source", "revenue_stage", "expected_usd", "median_usd", "low_usd", "high_usd")
        parts = Condition().also("revenue_stage <> ?", "Total")
        show(
            view.frame(FORECAST, stages, parts, "ORDER BY month, stage_order"),
            key="forecast-stages",
            alt="Forecast by stage",
        )
    if view.has(BACKTEST):
        _backtest(view)


def _backtest(view: View) -> None:
    columns = (
        "made_on",
        "month",
        "low_usd",
        "median_usd",
        "high_usd",
        "actual_usd",
        "error_usd",
        "is_in_band",
        "is_reliable",
    )
    found = view.frame(BACKTEST, columns, tail="ORDER BY made_on DESC, month")
    with st.expander("How earlier forecasts would have done"):
        if found.empty:
            st.info("No month has passed yet that could have been forecast.")
            return
        st.markdown(f"{int(found['is_in_band'].sum())} of {len(found)} were between low and high.")
        show(found, key="backtest", alt="Backtest of the forecast")


main()
