"""Section on money that may be missing: the findings of `attribution_gaps` and what to do about them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import title_case
from debitura_pipeline.plural import counted
from debitura_pipeline.report.masthead import was_read
from debitura_pipeline.report.model import Badge, Heading, ReportFinding, ReportTable, Section
from debitura_pipeline.report.page import sentence
from debitura_pipeline.report.read import Reports

GAPS = "reports.attribution_gaps"
FINDING_COLUMNS = ("finding", "creditor_id", "company_name", "detail", "age_days", "usd_at_stake", "what_to_do")
FINDINGS_SHOWN = 12
FLOOR_USD = Decimal("1")  # less is in the table by kind, not among the largest
OF_ONE_KIND = 3  # one fault can repeat hundreds of times; the others must not drown in it
KINDS = {
    "closed_paid_without_transaction": "Closed as paid, but without a transaction",
    "recovered_more_than_paid": "More recovered than the transactions add up to",
    "transaction_of_unknown_case": "Transaction of an unknown case",
    "transaction_of_unknown_client": "Transaction of an unknown client",
    "transaction_before_link": "Transaction before the client was linked",
    "fee_rate_differs": "Fee rate other than the case promises",
    "zero_fee": "No fee, although there is a rate",
    "stage_overdue": "Next step overdue",
    "stage_may_be_overdue": "Next step may be overdue",
    "archived_client_open_cases": "Archived client with open cases",
}


def findings_by_kind(reports: Reports) -> list[Any]:
    """`finding`, `n`, `usd` at stake, `blank` (findings without an amount) and `paid` (USD), the most at stake first."""
    if not reports.has(GAPS):
        return []
    paid = "sum(paid_usd)" if reports.has_column(GAPS, "paid_usd") else "CAST(NULL AS DECIMAL(18, 4))"
    columns = ("finding", "count(*) AS n", "sum(usd_at_stake) AS usd", "count(*) - count(usd_at_stake) AS blank",
               f"{paid} AS paid")  # fmt: skip
    return reports.records(GAPS, columns, "GROUP BY finding ORDER BY sum(usd_at_stake) DESC NULLS LAST, finding")


def findings(reports: Reports) -> Section | None:
    """Money that may be missing: kinds with their sums, then the largest findings."""
    if not reports.has(GAPS):
        return None
    title, kinds = "Money that may be missing", findings_by_kind(reports)
    if not kinds:
        return _nothing_found(title, reports)
    rows = tuple((kind_in_words(row), row.usd, row.n, row.paid, row.blank) for row in kinds)
    columns = (Heading("Finding"), Heading("At stake, USD (estimate)", "money"), Heading("Count", "count"),
               Heading("Paid already, USD (not at stake)", "money"), Heading("Amount unknown", "count"))  # fmt: skip
    table = ReportTable("attribution_gaps", "Findings by kind", columns, rows)
    lead = (
        f"{counted(sum(row.n for row in kinds), 'finding')}. The amounts are estimates of what may be missing or may be taken "
        "back, not money owed. One fee can be in two findings, so they are not added up."
    )
    return Section("findings", title, lead, findings=_largest(reports), tables=(table,))


def _nothing_found(title: str, reports: Reports) -> Section:
    """All rules hold, or nothing was read that they could be checked on."""
    if not was_read(reports):
        lead = "The rules are checked after the first reading."
        return Section("findings", title, lead, verdict=Badge("Not checked yet", "unknown"))
    return Section(
        "findings",
        title,
        "Every rule holds for every client, case and transaction.",
        verdict=Badge("No findings", "good"),
    )


def _largest(reports: Reports) -> tuple[ReportFinding, ...]:
    """The largest few of each kind, with the case's reference if known, by which people know a case."""
    has_cases = reports.has("marts.fct_cases")
    reference = "(SELECT max(reference) FROM marts.fct_cases WHERE case_id = gaps.case_id)" if has_cases else "case_id"
    ranked = (
        f"(SELECT *, {reference} AS ref, row_number() OVER (PARTITION BY finding ORDER BY priority, finding_id) AS place "
        f"FROM {GAPS} AS gaps) AS ranked"
    )
    rows = reports.records(
        ranked,
        (*FINDING_COLUMNS, "ref"),
        f"WHERE place <= {OF_ONE_KIND} AND coalesce(usd_at_stake, {FLOOR_USD}) >= {FLOOR_USD} "
        f"ORDER BY priority, finding_id LIMIT {FINDINGS_SHOWN}",
    )
    return tuple(
        ReportFinding(kind_in_words(row), _where(row), sentence(row.what_to_do), row.usd_at_stake, row.age_days)
        for row in rows
    )


def kind_in_words(row: Any) -> str:
    """The kind of a finding in words."""
    return KINDS.get(row.finding, title_case(row.finding))


def _where(row: Any) -> str:
    client = row.company_name or ("Unknown client" if row.creditor_id else "")
    about = ", ".join(part for part in (client, f"case {row.ref}" if row.ref else "") if part)
    return " ".join(sentence(text) for text in (about, row.detail) if text)
