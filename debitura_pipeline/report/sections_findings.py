"""Section on money that may be missing: the findings of `attribution_gaps` and what to do about them."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.report.model import Badge, Heading, ReportFinding, ReportTable, Section
from debitura_pipeline.report.page import format_count, sentence, title_case
from debitura_pipeline.report.read import Reports

GAPS = "reports.attribution_gaps"
FINDINGS_SHOWN = 12
OF_ONE_KIND = 3  # one fault can repeat hundreds of times; the others must not drown in it
KINDS = {
    "closed_paid_without_transaction": "Closed as paid, but without a transaction",
    "transaction_of_unknown_case": "Transaction of an unknown case",
    "transaction_of_unknown_client": "Transaction of an unknown client",
    "transaction_before_link": "Transaction before the client was linked",
    "fee_rate_differs": "Fee rate other than the case promises",
    "zero_fee": "No fee, although there is a rate",
    "stage_overdue": "Next step overdue",
    "archived_client_open_cases": "Archived client with open cases",
}


def findings(reports: Reports) -> Section | None:
    """Money that may be missing: kinds with their sums, then the largest findings."""
    if not reports.has(GAPS):
        return None
    kinds = reports.records(
        GAPS,
        ("finding", "count(*) AS n", "sum(usd_at_stake) AS usd", "count(*) - count(usd_at_stake) AS blank"),
        "GROUP BY finding ORDER BY sum(usd_at_stake) DESC NULLS LAST, finding",
    )
    title = "Money that may be missing"
    if not kinds:
        return Section(
            "findings",
            title,
            "Every rule holds for every client, case and transaction.",
            verdict=Badge("No findings", "good"),
        )
    rows = tuple((_kind(row), row.n, row.usd, row.blank) for row in kinds)
    columns = (
        Heading("Finding"),
        Heading("Count", "count"),
        Heading("At stake, USD (estimate)", "money"),
        Heading("Amount unknown", "count"),
    )
    table = ReportTable("attribution_gaps", "Findings by kind", columns, rows)
    lead = (
        f"{format_count(sum(row.n for row in kinds))} findings. The amounts are estimates of what may be missing or may be taken "
        "back, not money owed. One fee can be in two findings, so they are not added up."
    )
    return Section("findings", title, lead, findings=_largest(reports), tables=(table,))


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
        ("finding", "company_name", "detail", "age_days", "usd_at_stake", "what_to_do", "ref"),
        f"WHERE place <= {OF_ONE_KIND} ORDER BY priority, finding_id LIMIT {FINDINGS_SHOWN}",
    )
    return tuple(
        ReportFinding(_kind(row), _where(row), sentence(row.what_to_do), row.usd_at_stake, row.age_days) for row in rows
    )


def _kind(row: Any) -> str:
    return KINDS.get(row.finding, title_case(row.finding))


def _where(row: Any) -> str:
    parts = (row.company_name or "Unknown client", f"case {row.ref}" if row.ref else "")
    return f"{', '.join(part for part in parts if part)}. {sentence(row.detail)}"
