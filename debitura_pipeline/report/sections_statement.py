"""Sections of a client's statement: what is due when, fees by month, cases, transactions, findings. Debtors' names are in none.

Queries take the client as a bound value; the newest rows are shown, and the captions say of how many.
"""

from __future__ import annotations

from typing import Any

from debitura_pipeline.contract.stage_groups import IS_MOVING
from debitura_pipeline.formats import format_amount, format_count
from debitura_pipeline.plural import counted
from debitura_pipeline.report.masthead import was_read
from debitura_pipeline.report.model import AnswerLine, Badge, Heading, ReportTable, Section
from debitura_pipeline.report.page import sentence
from debitura_pipeline.report.read import Reports, total
from debitura_pipeline.report.sections_calendar import Due, DueColumns, when
from debitura_pipeline.report.sections_cases import ENDINGS
from debitura_pipeline.report.sections_control import NOT_CHECKED
from debitura_pipeline.report.sections_findings import FINDING_COLUMNS, GAPS, kind_in_words
from debitura_pipeline.report.stages import stage_of

TRANSACTIONS, CASES = "marts.fct_transactions", "marts.fct_cases"
ROWS_SHOWN = 500


def client_calendar(reports: Reports, creditor_id: str) -> Section | None:
    """What is still to come from this client's cases, overdue first."""
    if not reports.has(TRANSACTIONS):
        return None
    due = DueColumns.of(reports, TRANSACTIONS, "next_due_on")
    columns = (due.due_class, due.order, due.due_on, "revenue_stage AS stage",
               "max(next_step) AS step", "count(*) AS n",
               "sum(referral_fee_usd) AS usd",
               f"sum(CASE WHEN {IS_MOVING} THEN referral_fee_usd ELSE 0 END) AS estimate_usd")  # fmt: skip
    tail = (
        "WHERE creditor_id = $1 AND is_expected_income AND revenue_stage <> 'Paid' GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4"
    )
    found = reports.records(TRANSACTIONS, columns, tail, (creditor_id,))
    if not found:
        lead = "No fee of this client is on its way." if was_read(reports) else "Not everything has been read yet."
        return Section("calendar", "Payment calendar", lead)
    headings = (Heading("When"), Heading("USD", "money"), Heading("Stage"), Heading("Estimate in it, USD", "money"),
                Heading("Transactions", "count"), Heading("Next step", "prose"))  # fmt: skip
    rows = tuple(
        (
            when(row.due_class or "unknown", row.due_on),
            row.usd,
            stage_of(row.stage).label,
            row.estimate_usd,
            row.n,
            row.step,
        )
        for row in found
    )
    sums = (
        "All",
        total(row.usd for row in found),
        "",
        total(row.estimate_usd for row in found),
        sum(row.n for row in found),
        "",
    )
    lead = f"{format_amount(sums[1])} USD still to come from this client's cases."
    return Section("calendar", "Payment calendar", lead,
                   tables=(ReportTable("client_calendar", "Money to come by due date, USD", headings, rows, sums),))  # fmt: skip


def client_dues(reports: Reports, creditor_id: str) -> list[Due]:
    """This client's expected income by due class and date, overdue first."""
    if not reports.has(TRANSACTIONS):
        return []
    due = DueColumns.of(reports, TRANSACTIONS, "next_due_on")
    columns = (due.due_class, due.due_on, "sum(referral_fee_usd) AS usd")
    tail = "WHERE creditor_id = $1 AND is_expected_income AND revenue_stage <> 'Paid' GROUP BY 1, 2 ORDER BY 2"
    found = reports.records(TRANSACTIONS, columns, tail, (creditor_id,))
    return [Due(row.due_class or "unknown", row.due_on, row.usd) for row in found]


def client_cases(reports: Reports, creditor_id: str) -> Section | None:
    """The client's cases, open ones and then the newest first."""
    if not reports.has(CASES):
        return None
    columns = ("reference", "created_at", "debtor_country AS country", "currency", "gross_amount AS gross",
               "recovered_amount AS recovered",
               "remainder", "lifecycle", "outcome", "collection_partner AS partner", "fee_total_usd AS usd")  # fmt: skip
    count = _count(reports, CASES, creditor_id)
    if not count:
        return None
    tail = f"WHERE creditor_id = $1 ORDER BY is_open DESC, created_at DESC NULLS LAST, case_id LIMIT {ROWS_SHOWN}"
    found = reports.records(CASES, columns, tail, (creditor_id,))
    headings = (
        Heading("Case"), Heading("Fee, USD", "money"), Heading("Outcome"), Heading("Created", "date"), Heading("Debtor's country"),
        Heading("Currency"), Heading("Claim", "money"), Heading("Recovered", "money"), Heading("Remainder", "money"),
        Heading("Lifecycle"), Heading("Collection partner"),
    )  # fmt: skip
    rows = tuple(
        (row.reference, row.usd, ENDINGS.get(row.outcome, row.outcome), row.created_at, row.country, row.currency, row.gross,
         row.recovered, row.remainder, row.lifecycle, row.partner)
        for row in found
    )  # fmt: skip
    table = ReportTable("client_cases", _caption(len(rows), count, "case"), headings, rows, is_sortable=True)
    return Section("cases", "Cases", f"{counted(count, 'case')}, open ones first.", tables=(table,))


def client_transactions(reports: Reports, creditor_id: str) -> Section | None:
    """The payments on the client's cases and the fee of each, newest first."""
    count = _count(reports, TRANSACTIONS, creditor_id) if reports.has(TRANSACTIONS) else 0
    if not count:
        return None
    due = DueColumns.of(reports, TRANSACTIONS, "next_due_on")
    columns = ("case_reference AS ref", "occurred_at", "payment_amount AS paid", "payment_currency AS paid_in", "fee_pct AS pct",
               "referral_fee AS fee", "earnings_currency AS fee_in", "referral_fee_usd AS usd", "revenue_stage AS stage",
               "is_final", due.due_class, due.due_on)  # fmt: skip
    tail = f"WHERE creditor_id = $1 ORDER BY occurred_at DESC NULLS LAST, transaction_id LIMIT {ROWS_SHOWN}"
    found = reports.records(TRANSACTIONS, columns, tail, (creditor_id,))
    headings = (
        Heading("Case"), Heading("Fee, USD", "money"), Heading("Stage"), Heading("Paid on", "date"), Heading("Due"),
        Heading("Payment", "money"), Heading("Currency"), Heading("Rate", "percent"), Heading("Fee", "money"), Heading("Currency"),
    )  # fmt: skip
    rows = tuple(
        (row.ref, row.usd, stage_of(row.stage).label, row.occurred_at,
         "" if row.stage == "Paid" else when(row.due_class or "unknown", row.due_on), row.paid, row.paid_in, row.pct,
         row.fee, row.fee_in)
        for row in found
    )  # fmt: skip
    table = ReportTable(
        "client_transactions", _caption(len(rows), count, "transaction"), headings, rows, is_sortable=True
    )
    return Section(
        "transactions",
        "Transactions",
        f"{counted(count, 'payment')} on this client's cases, newest first.",
        tables=(table,),
    )


def client_findings(reports: Reports, creditor_id: str) -> Section | None:
    """What may be missing for this client."""
    if not reports.has(GAPS):
        return None
    found = reports.records(
        GAPS,
        FINDING_COLUMNS,
        f"WHERE creditor_id = $1 ORDER BY priority, finding_id LIMIT {ROWS_SHOWN}",
        (creditor_id,),
    )
    title = "Money that may be missing"
    if not found and not was_read(reports):
        return Section("findings", title, "The rules are checked after the first reading.", verdict=NOT_CHECKED)
    if not found:
        return Section(
            "findings", title, "No rule found anything for this client.", verdict=Badge("No findings", "good")
        )
    headings = (Heading("Finding"), Heading("At stake, USD (estimate)", "money"), Heading("Days", "days"),
                Heading("What was found", "prose"),
                Heading("What to do", "prose"))  # fmt: skip
    rows = tuple(
        (kind_in_words(row), row.usd_at_stake, row.age_days, sentence(row.detail), sentence(row.what_to_do))
        for row in found
    )
    count = _count(reports, GAPS, creditor_id)
    more = f"; {format_count(len(rows))} of {format_count(count)}" if count > len(rows) else ""
    table = ReportTable("client_findings", f"Findings, the most at stake first{more}", headings, rows)
    lead = f"{counted(count, 'finding')}. Amounts are estimates, and one fee can be in two findings: never add them up."
    return Section("findings", title, lead, tables=(table,))


def client_gaps(reports: Reports, creditor_id: str) -> tuple[AnswerLine, ...]:
    """How many findings there are, and which has the most at stake."""
    count = _count(reports, GAPS, creditor_id) if reports.has(GAPS) else None
    if not count:
        is_checked = count == 0 and was_read(reports)
        seen = Badge("no fee seems to be missing", "good") if is_checked else NOT_CHECKED
        return (AnswerLine("", badge=seen),)
    columns = ("finding", "usd_at_stake AS usd")
    most = reports.records(
        GAPS, columns, "WHERE creditor_id = $1 ORDER BY priority, finding_id LIMIT 1", (creditor_id,)
    )[0]
    told = kind_in_words(most)
    words = f"most at stake: {told[0].lower()}{told[1:]}, {format_amount(most.usd)} (estimate)" if most.usd else ""
    return (AnswerLine("Fees:", badge=Badge(f"{counted(count, 'finding')} to look at", "warn"), words=words),)


def _count(reports: Reports, table: str, creditor_id: str) -> int:
    row: Any = reports.records(table, ("count(*) AS n",), "WHERE creditor_id = $1", (creditor_id,))[0]
    return int(row.n)


def _caption(shown: int, count: int, noun: str) -> str:
    if shown < count:
        return f"{format_count(shown)} of {counted(count, noun)}; `debitura query` gives all"
    return f"All {counted(count, noun)}" if count > 1 else counted(count, noun)
