"""Section on earned income: revenue by period and by month. None if the report table is missing or empty.

Disputed and unclassified fees are in no total; they have rows or columns of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING

from debitura_pipeline.formats import UNKNOWN_MONTH, format_amount, format_month
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts import Segment, stacked_columns
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_changes import readings
from debitura_pipeline.report.sections_periods import BASES, periods
from debitura_pipeline.report.stages import APART, EXPECTED, Stage, StageSum, present, stage_of

if TYPE_CHECKING:
    import pandas as pd

BY_CLIENT, BY_MONTH = "reports.revenue_by_client", "reports.revenue_by_month"
MONTHS_DRAWN = 36  # three years of columns are still legible on a phone; the table behind has every month
MONTHS_LISTED = 12
MONTH_COLUMNS = (
    "month_label AS month",
    "revenue_stage AS stage",
    "sum(transaction_count) AS n",
    "sum(referral_fee_usd) AS usd",
)

Sizes = Mapping[tuple[str, str], Decimal]  # (month, stage) -> USD


def stage_sums(reports: Reports, creditor_id: str | None = None) -> dict[str, StageSum]:
    """Fees per stage over all clients, or of one, and all months: the source of the headline figures."""
    if not reports.has(BY_CLIENT):
        return {}
    risk = (
        "sum(clawback_risk_usd)" if reports.has_column(BY_CLIENT, "clawback_risk_usd") else "CAST(0 AS DECIMAL(18, 4))"
    )
    columns = (
        "revenue_stage AS stage",
        "sum(transaction_count) AS n",
        "sum(referral_fee_usd) AS usd",
        f"{risk} AS risk_usd",
    )
    where, params = ("", ()) if creditor_id is None else ("WHERE creditor_id = $1 ", (creditor_id,))
    rows = reports.records(BY_CLIENT, columns, f"{where}GROUP BY revenue_stage", params)
    return {row.stage: StageSum(int(row.n), row.usd, row.risk_usd) for row in rows}


def revenue_by_month(reports: Reports) -> Section | None:
    """Fees by month of collection, stacked by stage; below, the newest months by the other dates."""
    if not reports.has(BY_CLIENT):
        return None
    frame = reports.frame(BY_CLIENT, MONTH_COLUMNS, "GROUP BY month_label, revenue_stage ORDER BY month_label")
    if frame.empty:
        return None
    dated, sizes = _months_and_sizes(frame)
    months = _until_now(reports, dated)
    sums = {month: total(sizes.get((month, stage.key)) for stage in EXPECTED) for month in months}
    lead = "Fees by the month of the transaction, coloured by where each fee stands today."
    if months:
        best = max(months, key=lambda month: sums[month])
        lead += f" {counted(len(months), 'month')} so far; "
        lead += f"the strongest is {format_month(best)} with {format_amount(sums[best])} USD."
    chart = _month_chart(frame, months, sizes) if months else None
    bases = _bases(reports)
    note = (
        "The API keeps no dates of these steps: a month is known for steps taken since the first reading, not before."
    )
    tables = tuple(table for table in (periods(reports), bases) if table)
    return Section("revenue", "Revenue by month", lead, chart=chart, tables=tables, notes=(note,) if bases else ())


def client_months(reports: Reports, creditor_id: str) -> Section | None:
    """The fees of one client by month, stacked by stage."""
    if not reports.has(BY_CLIENT):
        return None
    tail = "WHERE creditor_id = $1 GROUP BY month_label, revenue_stage ORDER BY month_label"
    frame = reports.frame(BY_CLIENT, MONTH_COLUMNS, tail, (creditor_id,))
    if frame.empty:
        return None
    dated, sizes = _months_and_sizes(frame)
    months = _until_now(reports, dated)
    lead = "Fees by the month of the transaction, coloured by where each fee stands today."
    return Section("revenue", "Fees by month", lead, chart=_month_chart(frame, months, sizes) if months else None)


def _months_and_sizes(frame: pd.DataFrame) -> tuple[list[str], Sizes]:
    sizes = {(row.month, stage_of(row.stage).key): row.usd for row in frame.itertuples()}
    return [month for month in dict.fromkeys(frame["month"]) if month != UNKNOWN_MONTH], sizes


def _until_now(reports: Reports, months: list[str]) -> list[str]:
    """The months up to that of the newest reading, since one date in the far future would leave the others out of the chart; all
    of them where none is."""
    read = readings(reports)
    now = f"{read[-1].at.astimezone(UTC):%Y-%m}" if read else ""
    return [month for month in months if month <= now] or months


def _month_chart(frame: pd.DataFrame, months: list[str], sizes: Sizes) -> Chart:
    stages = present(frame["stage"], EXPECTED)
    drawn = _unbroken(months[-MONTHS_DRAWN:])
    pieces = [
        Segment(
            month,
            stage.label,
            sizes.get((month, stage.key), Decimal(0)),
            f"{format_month(month)}, {stage.label}: {format_amount(sizes.get((month, stage.key), Decimal(0)))} USD",
        )
        for month in drawn
        for stage in stages
    ]
    table = _month_table(frame, stages, sizes)
    sums = zip(table.columns[1:], (table.total or ())[1:], strict=True)
    words = "; ".join(f"{column.label} {format_amount(part)} USD" for column, part in sums if isinstance(part, Decimal))
    return stacked_columns(
        "chart-months",
        "Referral fees by month of collection, USD",
        f"Stacked columns, one per month from {format_month(drawn[0])} to {format_month(drawn[-1])}. Sums of all months: {words}.",
        [stage.series for stage in stages],
        pieces,
        table,
    )


def _month_table(frame: pd.DataFrame, stages: list[Stage], sizes: Sizes) -> ReportTable:
    """Newest month first; a transaction without a date stands last."""
    apart = present(frame["stage"], APART)
    months = sorted(set(frame["month"]), key=lambda month: (month != UNKNOWN_MONTH, month), reverse=True)
    counts = {month: int(sum(group)) for month, group in frame.groupby("month")["n"]}

    def row(label: str, of: list[str]) -> tuple[str | int | Decimal, ...]:
        parts = {stage: total(sizes.get((month, stage.key)) for month in of) for stage in (*stages, *apart)}
        expected = total(parts[stage] for stage in stages)
        return (
            label,
            sum(counts[month] for month in of),
            *(parts[stage] for stage in stages),
            expected,
            *(parts[stage] for stage in apart),
        )

    columns = (
        Heading("Month"),
        Heading("Transactions", "count"),
        *(Heading(stage.label, "money") for stage in stages),
        Heading("Total", "money"),
        *(Heading(f"{stage.label} (not in total)", "money") for stage in apart),
    )
    return ReportTable(
        "revenue_by_month_and_stage",
        "Referral fees in USD by month of collection and stage",
        columns,
        tuple(row(format_month(month), [month]) for month in months),
        row("All months", months),
    )


def _unbroken(months: list[str]) -> list[str]:
    """Every calendar month from the first to the last, so that a month without fees shows as a gap."""
    first, last = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (months[0], months[-1]))
    return [f"{index // 12:04d}-{index % 12 + 1:02d}" for index in range(first, last + 1)][-MONTHS_DRAWN:]


def _bases(reports: Reports) -> ReportTable | None:
    """The newest months by each of the dates that a fee can count from; unknown dates last."""
    if not reports.has(BY_MONTH):
        return None
    columns = ("month_label AS month", "basis", "sum(referral_fee_usd) AS usd")
    frame = reports.frame(BY_MONTH, columns, "GROUP BY month_label, basis")
    if frame.empty:
        return None
    cells = {(row.month, row.basis): row.usd for row in frame.itertuples()}
    bases = [basis for basis in BASES if basis in set(frame["basis"])]
    observed = {month for month, basis in cells if basis != "collected" and month != UNKNOWN_MONTH}
    known = sorted(observed, reverse=True)[
        :MONTHS_LISTED
    ]  # before the first reading only `collected` is known, see above
    if not known:
        return None
    rows = [(format_month(month), *(cells.get((month, basis)) for basis in bases)) for month in known]
    if UNKNOWN_MONTH in set(frame["month"]):
        rows.append((format_month(UNKNOWN_MONTH), *(cells.get((UNKNOWN_MONTH, basis)) for basis in bases)))
    headings = (Heading("Month"), *(Heading(BASES[basis], "money") for basis in bases))
    caption = f"The same fees in USD by the date they count from, the newest {counted(len(known), 'month')}. Never add two columns."
    return ReportTable("revenue_by_month", caption, headings, tuple(rows))
