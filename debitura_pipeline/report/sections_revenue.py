"""Sections on earned income: revenue by month, top clients. None if the report table is missing or empty.

Disputed and unclassified fees are in no total; they have rows or columns of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from debitura_pipeline.report.charts import Segment, stacked_bars, stacked_columns
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section
from debitura_pipeline.report.page import UNKNOWN_MONTH, format_amount, format_count, format_month, format_percent
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.stages import APART, EXPECTED, Stage, StageSum, present, stage_of

if TYPE_CHECKING:
    import pandas as pd

BY_CLIENT, BY_MONTH, CLIENTS = "reports.revenue_by_client", "reports.revenue_by_month", "reports.attribution_by_client"
MONTHS_DRAWN = 36  # three years of columns are still legible on a phone; the table behind has every month
MONTHS_LISTED = 12
CLIENTS_SHOWN = 10
BASES = {"collected": "Collected", "recognized": "Recognised", "invoiced": "Invoiced", "paid": "Paid"}
FEE_COLUMN = {
    "Paid": "fee_paid_usd",
    "AwaitingDebituraPayment": "fee_awaiting_debitura_payment_usd",
    "ReadyToInvoiceDebitura": "fee_ready_to_invoice_debitura_usd",
    "AwaitingCollectionPartnerPayment": "fee_awaiting_collection_partner_payment_usd",
    "ConfirmedPendingInvoice": "fee_confirmed_pending_invoice_usd",
    "Pending": "fee_pending_usd",
}

Sizes = Mapping[tuple[str, str], Decimal]  # (month, stage) -> USD


def stage_sums(reports: Reports) -> dict[str, StageSum]:
    """Fees per stage over all clients and months: the source of the headline figures."""
    if not reports.has(BY_CLIENT):
        return {}
    columns = (
        "revenue_stage AS stage",
        "sum(transaction_count) AS n",
        "sum(referral_fee_usd) AS usd",
        "sum(of_which_estimate_usd) AS estimate_usd",
    )
    rows = reports.records(BY_CLIENT, columns, "GROUP BY revenue_stage")
    return {row.stage: StageSum(int(row.n), row.usd, row.estimate_usd) for row in rows}


def revenue_by_month(reports: Reports) -> Section | None:
    """Fees by month of collection, stacked by stage; below, the newest months by the other dates."""
    if not reports.has(BY_CLIENT):
        return None
    columns = (
        "month_label AS month",
        "revenue_stage AS stage",
        "sum(transaction_count) AS n",
        "sum(referral_fee_usd) AS usd",
    )
    frame = reports.frame(BY_CLIENT, columns, "GROUP BY month_label, revenue_stage ORDER BY month_label")
    if frame.empty:
        return None
    sizes = {(row.month, stage_of(row.stage).key): row.usd for row in frame.itertuples()}
    months = [month for month in dict.fromkeys(frame["month"]) if month != UNKNOWN_MONTH]
    sums = {month: total(sizes.get((month, stage.key)) for stage in EXPECTED) for month in months}
    lead = "Fees by the month in which the debtor paid, coloured by where each fee stands today."
    if months:
        best = max(months, key=lambda month: sums[month])
        lead += (
            f" {len(months)} months so far; the strongest is {format_month(best)} with {format_amount(sums[best])} USD."
        )
    chart = _month_chart(frame, months, sizes) if months else None
    bases = _bases(reports)
    note = (
        "The API keeps no dates of these steps: a month is known for steps taken since the first reading, not before."
    )
    return Section(
        "revenue",
        "Revenue by month",
        lead,
        chart=chart,
        tables=(bases,) if bases else (),
        notes=(note,) if bases else (),
    )


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
        f"Stacked columns, one a month from {format_month(drawn[0])} to {format_month(drawn[-1])}. Sums over all months: {words}.",
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
    known = sorted({month for month in frame["month"] if month != UNKNOWN_MONTH}, reverse=True)[:MONTHS_LISTED]
    rows = [(format_month(month), *(cells.get((month, basis)) for basis in bases)) for month in known]
    if UNKNOWN_MONTH in set(frame["month"]):
        rows.append((format_month(UNKNOWN_MONTH), *(cells.get((UNKNOWN_MONTH, basis)) for basis in bases)))
    headings = (Heading("Month"), *(Heading(BASES[basis], "money") for basis in bases))
    caption = f"The same fees in USD by the date they count from, newest {len(known)} months. Never add two columns."
    return ReportTable("revenue_by_month", caption, headings, tuple(rows))


def top_clients(reports: Reports) -> Section | None:
    """The clients with the highest fees, by stage."""
    if not reports.has(CLIENTS):
        return None
    (overall,) = reports.records(CLIENTS, ("count(*) AS n", "sum(fee_total_usd) AS usd"), "WHERE fee_total_usd > 0")
    if not overall.n:
        return None
    frame = reports.frame(
        CLIENTS,
        (
            "creditor_id",
            "company_name",
            "attribution",
            "cases_total",
            "cases_open",
            *FEE_COLUMN.values(),
            "fee_total_usd",
            "fee_disputed_usd",
            "share_of_fees * 100 AS share_pct",
        ),
        f"WHERE fee_total_usd > 0 ORDER BY fee_total_usd DESC, creditor_id LIMIT {CLIENTS_SHOWN}",
    )
    lead = (
        f"{format_count(overall.n)} clients have brought fees so far, {format_amount(overall.usd)} USD in all; "
        "disputed fees are not in it. "
        f"The first {len(frame)} make up {format_percent(total(frame['share_pct']))}."
    )
    return Section("clients", "Top clients", lead, chart=_client_chart(frame))


def _client_chart(frame: pd.DataFrame) -> Chart:
    stages = [stage for stage in EXPECTED if any(frame[FEE_COLUMN[stage.key]])]
    names = _distinct_names(frame)
    records = frame.to_dict("records")
    pieces = [
        Segment(
            name,
            stage.label,
            record[FEE_COLUMN[stage.key]],
            f"{name}, {stage.label}: {format_amount(record[FEE_COLUMN[stage.key]])} USD",
        )
        for name, record in zip(names, records, strict=True)
        for stage in stages
    ]
    rows = tuple(
        (
            name,
            record["attribution"],
            record["cases_total"],
            record["cases_open"],
            *(record[FEE_COLUMN[stage.key]] for stage in stages),
            record["fee_total_usd"],
            record["share_pct"],
            record["fee_disputed_usd"],
        )
        for name, record in zip(names, records, strict=True)
    )
    columns = (
        Heading("Client"),
        Heading("Link"),
        Heading("Cases", "count"),
        Heading("Open", "count"),
        *(Heading(stage.label, "money") for stage in stages),
        Heading("Total", "money"),
        Heading("Share of all", "percent"),
        Heading("Disputed (not in total)", "money"),
    )
    table = ReportTable("top_clients", "Clients with the highest referral fees, USD", columns, rows)
    words = "; ".join(
        f"{name} {format_amount(record['fee_total_usd'])} USD" for name, record in zip(names, records, strict=True)
    )
    return stacked_bars(
        "chart-clients",
        "Clients with the highest referral fees, USD",
        f"Lying bars, one a client, longest first: {words}.",
        [stage.series for stage in stages],
        pieces,
        table,
    )


def _distinct_names(frame: pd.DataFrame) -> list[str]:
    """Company names; where two records share one, part of the record's id tells them apart."""
    names = [name or "Unknown client" for name in frame["company_name"]]
    return [
        name if names.count(name) == 1 else f"{name} ({key[:8]})"
        for name, key in zip(names, frame["creditor_id"], strict=True)
    ]
