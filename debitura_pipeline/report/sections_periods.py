"""Revenue by the periods that people compare: today, this month so far, the last month and so on, by each basis."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.formats import title_case
from debitura_pipeline.report.model import Heading, ReportTable
from debitura_pipeline.report.read import Reports

SUMMARY = "reports.revenue_summary"
BASES = {"collected": "Collected", "recognized": "Recognised", "invoiced": "Invoiced", "paid": "Paid"}
PERIODS = {
    "today": "Today so far", "yesterday": "Yesterday", "month_to_date": "This month so far",
    "last_month_to_date": "Last month, to the same day", "last_month": "Last month",
    "same_month_last_year": "Same month last year", "trailing_12_months": "The last 12 months",
}  # fmt: skip


def summary_rows(reports: Reports) -> list[Any]:
    """`period`, `basis`, `from_on`, `to_on`, `usd`, `is_complete` of `revenue_summary`. Empty without the table."""
    if not reports.has(SUMMARY):
        return []
    columns = ("period", "basis", "from_on", "to_on", "transaction_count AS n", "referral_fee_usd AS usd",
               "of_which_estimate_usd AS estimate_usd", "disputed_usd", "is_complete")  # fmt: skip
    return reports.records(SUMMARY, columns, "ORDER BY period_order, basis")


def periods(reports: Reports) -> ReportTable | None:
    """Today, the month so far, the last month and so on, by each of the dates that a fee can count from."""
    found = summary_rows(reports)
    if not found:
        return None
    bases = [basis for basis in BASES if any(row.basis == basis for row in found)]
    cells = {(row.period, row.basis): row.usd if row.is_complete else None for row in found}
    spans = {row.period: (row.from_on, row.to_on) for row in found}
    estimates = {row.period: row.estimate_usd for row in found if row.basis == "collected"}
    headings = (Heading("Period"), *(Heading(f"{BASES[basis]}, USD", "money") for basis in bases),
                Heading("Estimate in collected", "money"), Heading("First day", "date"), Heading("Last day", "date"))  # fmt: skip
    rows = tuple(
        (
            PERIODS.get(period, title_case(period)),
            *(cells.get((period, basis)) for basis in bases),
            estimates.get(period),
            *span,
        )
        for period, span in spans.items()
    )
    caption = "Fees by period and by the date that they count from; a dash: not known for the whole period. Never add two columns."
    return ReportTable("revenue_summary", caption, headings, rows)
