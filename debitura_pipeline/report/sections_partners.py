"""Sections on who owes: money by collection partner, and the draft of the invoice to Debitura."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.formats import format_amount, format_count
from debitura_pipeline.plural import counted
from debitura_pipeline.report.masthead import was_read
from debitura_pipeline.report.model import Badge, Heading, ReportTable, Section
from debitura_pipeline.report.page import client_name
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_calendar import NAMELESS

RECEIVABLES, DRAFT = "reports.receivables_by_collection_partner", "reports.invoice_draft"
PARTNERS_SHOWN = 30
CLIENTS_SHOWN = 60
LINES_SHOWN = 100


def collection_partners(reports: Reports) -> Section | None:
    """What each collection partner has collected and not passed on yet, the most first."""
    if not reports.has(RECEIVABLES):
        return None
    payment = "payment_" if reports.has_column(RECEIVABLES, "payment_due_on") else ""
    columns = ("collection_partner AS partner", "sum(referral_fee_usd) AS usd", f"sum({payment}overdue_usd) AS late_usd",
               f"sum({payment}overdue_count) AS late", "sum(transaction_count) AS n", "max(oldest_days_in_stage) AS oldest",
               f"min({payment or 'next_'}due_on) AS due")  # fmt: skip
    found = reports.records(RECEIVABLES, columns, "WHERE is_expected_income GROUP BY collection_partner")
    if not found:
        return None
    found.sort(key=lambda row: (-row.usd, row.partner or ""))
    shown, rest = found[:PARTNERS_SHOWN], found[PARTNERS_SHOWN:]
    rows = [(_named(row.partner), *_owed([row]), row.oldest, row.due) for row in shown]
    if rest:
        rows.append((counted(len(rest), "other partner"), *_owed(rest), max(row.oldest or 0 for row in rest), None))
    headings = (
        Heading("Collection partner"), Heading("Owed, USD", "money"), Heading("Overdue, USD", "money"),
        Heading("Overdue", "count"), Heading("Transactions", "count"),
        Heading("Longest in stage, days", "days"), Heading("Due first", "date"),
    )  # fmt: skip
    sums = ("All", *_owed(found), max(row.oldest or 0 for row in found), None)
    table = ReportTable("receivables_by_collection_partner", "Money to come by collection partner, USD", headings, tuple(rows),
                        sums, is_sortable=len(rows) > 1)  # fmt: skip
    everything = format_amount(total(row.usd for row in found))
    named = sum(row.partner not in (None, "unknown") for row in found)
    others = " and partners that are not known" if 0 < named < len(found) else ""
    who = f"{counted(named, 'collection partner')}{others}" if named else "Collection partners that are not known"
    has = "has" if named == 1 and not others else "have"
    lead = (
        f"{who} still {has} to pay Debitura before "
        f"{everything} USD of your confirmed fees can be paid; "
        f"the most, {format_amount(found[0].usd)} USD: {_named(found[0].partner)}. "
        "What is pending, and so an estimate, is not in it. Overdue is what they should have paid by now; where Debitura has not "
        "invoiced them, the date is not theirs."
    )
    return Section("partners", "Collection partners", lead, tables=(table,))


def _named(partner: str | None) -> str:
    return NAMELESS.capitalize() if partner in (None, "unknown") else str(partner)


def _owed(rows: list[Any]) -> tuple[Any, ...]:
    return (total(row.usd for row in rows), total(row.late_usd for row in rows), sum(int(row.late) for row in rows),
            sum(int(row.n) for row in rows))  # fmt: skip


def invoice_draft(reports: Reports) -> Section | None:
    """What may be invoiced to Debitura now: totals by currency, sums by client, and the lines while they are few."""
    if not reports.has(DRAFT):
        return None
    columns = ("currency", "count(*) AS n", "count(DISTINCT creditor_id) AS clients", "sum(referral_fee) AS fee",
               "sum(referral_fee_usd) AS usd",
               "sum(CASE WHEN may_be_clawed_back THEN referral_fee_usd ELSE 0 END) AS risk_usd",
               "count(*) - count(referral_fee_usd) AS blank")  # fmt: skip
    found = reports.records(DRAFT, columns, "GROUP BY currency ORDER BY sum(referral_fee_usd) DESC, currency")
    title = "Invoice draft"
    if not found:
        return Section(
            "invoice",
            title,
            "Nothing is ready to be invoiced to Debitura."
            if was_read(reports)
            else "Not everything has been read yet.",
            verdict=Badge("Nothing to invoice" if was_read(reports) else "Not read yet", "unknown"),
        )
    lines = sum(row.n for row in found)
    headings = (Heading("Currency"), Heading("To invoice", "money"), Heading("In USD", "money"), Heading("Lines", "count"),
                Heading("Clients", "count"), Heading("May be clawed back, USD", "money"))  # fmt: skip
    rows = tuple((row.currency, row.fee, row.usd, row.n, row.clients, row.risk_usd) for row in found)
    totals = ReportTable(
        "invoice_totals", "What you may invoice Debitura for now, each currency for itself", headings, rows
    )
    currencies = f"{len(found)} {'currency' if len(found) == 1 else 'currencies'}"
    lead = (
        f"{counted(lines, 'fee')} in {currencies}, {format_amount(total(row.usd for row in found))} USD together. "
        "Debitura takes invoices in GBP, EUR and USD."
    )
    if blank := sum(row.blank for row in found):
        lead += f" {counted(blank, 'line')} without an amount in USD {'is' if blank == 1 else 'are'} not in the sums in USD."
    return Section("invoice", title, lead, tables=(totals, _by_client(reports), _lines(reports, lines)))


def _by_client(reports: Reports) -> ReportTable:
    columns = ("max(company_name) AS client", "currency", "sum(referral_fee) AS fee",
               "sum(referral_fee_usd) AS usd", "count(*) AS n", "min(collected_on) AS first",
               "max(collected_on) AS last")  # fmt: skip
    tail = "GROUP BY creditor_id, currency ORDER BY sum(referral_fee_usd) DESC, creditor_id, currency"
    (count,) = reports.records(f"(SELECT DISTINCT creditor_id, currency FROM {DRAFT}) AS pairs", ("count(*) AS n",))
    found = reports.records(DRAFT, columns, f"{tail} LIMIT {CLIENTS_SHOWN}")
    headings = (Heading("Client"), Heading("Currency"), Heading("To invoice", "money"), Heading("In USD", "money"),
                Heading("Lines", "count"), Heading("Collected from", "date"), Heading("to", "date"))  # fmt: skip
    caption = "By client and currency" + (
        f", the first {len(found)} of {format_count(count.n)}" if count.n > len(found) else ""
    )
    return ReportTable(
        "invoice_by_client", caption, headings, tuple((client_name(row.client), *row[1:]) for row in found)
    )


def _lines(reports: Reports, lines: int) -> ReportTable:
    columns = ("currency", "line_number AS line", "company_name AS client",
               "case_reference AS ref", "collected_on AS day", "referral_fee AS fee", "referral_fee_usd AS usd",
               "CASE WHEN may_be_clawed_back THEN 'yes' ELSE '' END AS risk")  # fmt: skip
    found = reports.records(DRAFT, columns, f"ORDER BY currency, line_number LIMIT {LINES_SHOWN}")
    headings = (Heading("Line"), Heading("Client"), Heading("Case"), Heading("Collected", "date"), Heading("Fee", "money"),
                Heading("In USD", "money"), Heading("May be clawed back"))  # fmt: skip
    rows = tuple((f"{row.currency} {row.line}", client_name(row.client), *row[3:]) for row in found)
    more = (
        f"The first {len(rows)} of {format_count(lines)} lines; partner-report.xlsx has all"
        if lines > len(rows)
        else f"The {counted(lines, 'line')}"
    )
    return ReportTable("invoice_draft", more, headings, rows, folded=more)
