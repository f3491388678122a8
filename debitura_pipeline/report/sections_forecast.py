"""Section on the forecast: what is expected to be paid month by month, with its band, and how earlier forecasts did."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import format_amount, format_count, format_month, format_percent
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts_lines import BandPoint, band
from debitura_pipeline.report.model import Badge, Heading, ReportTable, Section, Series
from debitura_pipeline.report.page import sentence
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.stages import BY_KEY

FORECAST, BACKTEST = "reports.revenue_forecast", "reports.forecast_backtest"
TOTAL = "Total"
LINE, BAND = Series("Median", "--low"), Series("8 of 10 cases (10 % to 90 %)", "--band")


def forecast(reports: Reports) -> Section | None:
    """Fees expected to be paid in each of the next months, with the band, and how earlier forecasts did."""
    if not reports.has(FORECAST):
        return None
    columns = ("month", "max(method) AS method", "sum(expected_usd) AS expected", "sum(median_usd) AS median",
               "sum(low_usd) AS low", "sum(high_usd) AS high",
               "min(CASE WHEN is_reliable THEN 1 ELSE 0 END) AS reliable")  # fmt: skip
    found = reports.records(FORECAST, columns, f"WHERE revenue_stage = '{TOTAL}' GROUP BY month ORDER BY month")
    if not found:
        return None
    points = [
        BandPoint(f"{row.month:%Y-%m}", row.median, row.low, row.high, f"{format_month(row.month)}: {_range(row)}")
        for row in found
    ]
    headings = (Heading("Month", "month"), Heading("Expected, USD", "money"), Heading("Median", "money"),
                Heading("Low (10 %)", "money"), Heading("High (90 %)", "money"))  # fmt: skip
    rows = tuple((row.month, row.expected, row.median, row.low, row.high) for row in found)
    table = ReportTable("revenue_forecast", "Fees expected to be paid, USD", headings, rows)
    words = "; ".join(point.words for point in points)
    chart = band(
        "chart-forecast",
        "Fees expected to be paid by month, USD",
        f"A line with its band. {words}.",
        (LINE, BAND),
        points,
        table,
    )
    lead = (
        f"{format_amount(total(row.expected for row in found))} USD are expected to be paid until the end of "
        f"{format_month(found[-1].month)}, from fees that are not paid yet and from open cases. "
        "An estimate from what happened so far, not a promise."
    )
    verdict = (
        None if all(row.reliable for row in found) else Badge("Too little history for a dependable forecast", "warn")
    )
    notes = (sentence(found[0].method),) if found[0].method else ()
    tables = tuple(table for table in (_by_source(reports), _backtest(reports)) if table is not None and table.rows)
    return Section("forecast", "Forecast", lead, verdict=verdict, chart=chart, tables=tables, notes=notes)


def _by_source(reports: Reports) -> ReportTable:
    columns = ("revenue_stage AS stage", "min(source) AS source", "sum(expected_usd) AS usd")
    found = reports.records(
        FORECAST, columns, f"WHERE revenue_stage <> '{TOTAL}' GROUP BY revenue_stage ORDER BY sum(expected_usd) DESC"
    )
    rows = tuple(
        (BY_KEY[row.stage].label if row.stage in BY_KEY else "Open cases, not collected yet", row.usd) for row in found
    )
    return ReportTable(
        "forecast_by_stage",
        "Where the expected fees stand now, all months together",
        (Heading("Stage now"), Heading("Expected, USD", "money")),
        rows,
    )


def _backtest(reports: Reports) -> ReportTable | None:
    """How earlier forecasts did, by how far ahead they looked."""
    if not reports.has(BACKTEST):
        return None
    columns = ("horizon_months AS ahead", "count(*) AS n", "sum(CASE WHEN is_in_band THEN 1 ELSE 0 END) AS hits",
               "sum(median_usd) AS median", "sum(actual_usd) AS actual", "sum(error_usd) AS error")  # fmt: skip
    found = reports.records(
        BACKTEST, columns, "WHERE actual_usd IS NOT NULL GROUP BY horizon_months ORDER BY horizon_months"
    )
    if not found:
        return None
    hits, n = sum(int(row.hits) for row in found), sum(row.n for row in found)
    headings = (Heading("Looking ahead"), Heading("Forecasts", "count"), Heading("In the band", "percent"),
                Heading("Median, USD", "money"), Heading("Paid, USD", "money"), Heading("Difference", "change"))  # fmt: skip
    rows = tuple(
        (_ahead(row.ahead), row.n, Decimal(100 * int(row.hits)) / row.n, row.median, row.actual, row.error)
        for row in found
    )
    share = format_percent(Decimal(100 * hits) / n)
    return ReportTable(
        "forecast_backtest",
        f"Earlier forecasts against what was paid: {share} of {format_count(n)} were in the band",
        headings,
        rows,
    )


def _ahead(months: int) -> str:
    return "The same month" if months == 0 else counted(months, "month")


def _range(row: Any) -> str:
    return f"{format_amount(row.median)} USD, from {format_amount(row.low)} to {format_amount(row.high)}"
