"""Section on clients: those with the highest fees as a chart, and all of them in a table to search and to sort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from debitura_pipeline.formats import format_amount, format_count, format_percent
from debitura_pipeline.plural import counted
from debitura_pipeline.report.charts import Segment, stacked_bars
from debitura_pipeline.report.model import Chart, Heading, ReportTable, Section
from debitura_pipeline.report.page import client_name
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.stages import EXPECTED

CLIENTS = "reports.attribution_by_client"
CLIENTS_DRAWN = 10
CLIENTS_LISTED = 5000  # a row is 0.6 kB of the page
FEE_COLUMN = {
    "Paid": "fee_paid_usd",
    "AwaitingDebituraPayment": "fee_awaiting_debitura_payment_usd",
    "ReadyToInvoiceDebitura": "fee_ready_to_invoice_debitura_usd",
    "AwaitingCollectionPartnerPayment": "fee_awaiting_collection_partner_payment_usd",
    "ConfirmedPendingInvoice": "fee_confirmed_pending_invoice_usd",
    "Pending": "fee_pending_usd",
}
ATTRIBUTIONS = {"attributed": "Attributed", "linked": "Linked", "unknown": "Not listed"}


def clients(reports: Reports) -> Section | None:
    """The clients with the highest fees by stage, then all clients."""
    if not reports.has(CLIENTS):
        return None
    sums = (
        "count(*) AS n",
        "sum(fee_total_usd) AS usd",
        "sum(fee_pending_usd) AS estimate",
        "sum(CASE WHEN fee_total_usd > 0 THEN 1 ELSE 0 END) AS earning",
    )
    (overall,) = reports.records(CLIENTS, sums)
    if not overall.n:
        return None
    columns = ("creditor_id", "company_name", "client_record", "attribution", "linked_at", "cases_total", "cases_open",
               *FEE_COLUMN.values(),
               "fee_total_usd", "fee_disputed_usd", "last_fee_at", "share_of_fees * 100 AS share_pct")  # fmt: skip
    tail = f"ORDER BY fee_total_usd DESC NULLS LAST, creditor_id LIMIT {CLIENTS_LISTED}"
    found = reports.frame(CLIENTS, columns, tail).to_dict("records")
    names = distinct_names(found)
    best = [(name, row) for name, row in zip(names, found, strict=True) if row["fee_total_usd"]][:CLIENTS_DRAWN]
    return Section("clients", "All clients", _lead(overall, [row for _, row in best]), chart=_chart(best) if best else None,
                   tables=(_table(names, found, overall.n),))  # fmt: skip


def link_in_words(client_record: str, attribution: str) -> str:
    """`Attributed`, `Linked`, `Archived, was linked`, `Not listed`."""
    words = ATTRIBUTIONS.get(attribution, attribution)
    return f"Archived, was {words.lower()}" if client_record == "archived" else words


def _lead(overall: Any, best: Sequence[dict[str, Any]]) -> str:
    lead = f"{counted(overall.n, 'client')}, {format_count(int(overall.earning))} of them with fees: "
    lead += f"{format_amount(overall.usd)} USD"
    lead += f", of which {format_amount(overall.estimate)} are estimates not confirmed yet" if overall.estimate else ""
    if not best:
        return f"{lead}."
    share = format_percent(total(row["share_pct"] for row in best))
    return f"{lead}. Disputed fees are not in it. The first {len(best)} make up {share}."


def _table(names: Sequence[str], found: Sequence[dict[str, Any]], count: int) -> ReportTable:
    headings = (
        Heading("Client"), Heading("Fees in all, USD", "money"), Heading("Still to come", "money"), Heading("Paid", "money"),
        Heading("Disputed (apart)", "money"), Heading("Cases", "count"), Heading("Open", "count"),
        Heading("Link"), Heading("Since", "date"), Heading("Last fee", "date"),
    )  # fmt: skip
    rows = tuple(
        (name, row["fee_total_usd"], total(row[column] for key, column in FEE_COLUMN.items() if key != "Paid"), row["fee_paid_usd"],
         row["fee_disputed_usd"], row["cases_total"], row["cases_open"],
         link_in_words(row["client_record"], row["attribution"]), row["linked_at"], row["last_fee_at"])
        for name, row in zip(names, found, strict=True)
    )  # fmt: skip
    caption = (
        f"All {counted(count, 'client')}"
        if count == len(rows)
        else f"The first {format_count(len(rows))} of {counted(count, 'client')} by fees"
    )
    return ReportTable("clients", caption, headings, rows, is_sortable=True)


def _chart(best: Sequence[tuple[str, dict[str, Any]]]) -> Chart:
    stages = [stage for stage in EXPECTED if any(row[FEE_COLUMN[stage.key]] for _, row in best)]
    pieces = [
        Segment(name, stage.label, usd, f"{name}, {stage.label}: {format_amount(usd)} USD")
        for name, row in best
        for stage, usd in ((stage, row[FEE_COLUMN[stage.key]]) for stage in stages)
    ]
    rows = tuple(
        (name, row["fee_total_usd"], *(row[FEE_COLUMN[stage.key]] for stage in stages), row["fee_disputed_usd"])
        for name, row in best
    )
    columns = (Heading("Client"), Heading("Total", "money"), *(Heading(stage.label, "money") for stage in stages),
               Heading("Disputed (not in total)", "money"))  # fmt: skip
    table = ReportTable("top_clients", "Clients with the highest referral fees, USD", columns, rows)
    words = "; ".join(f"{name} {format_amount(row['fee_total_usd'])} USD" for name, row in best)
    series = [stage.series for stage in stages]
    return stacked_bars("chart-clients", "Clients with the highest referral fees, USD",
                        f"Horizontal bars, one per client, longest first: {words}.", series, pieces, table)  # fmt: skip


def distinct_names(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Company names; where two records share one, part of the record's id tells them apart."""
    names = [client_name(row["company_name"]) for row in rows]
    times = Counter(names)
    return [
        name if times[name] == 1 else f"{name} ({row['creditor_id'][:8]})"
        for name, row in zip(names, rows, strict=True)
    ]
