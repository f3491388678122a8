"""Chapters on trust: findings to follow up, the reconciliation with the API, data quality.

Belongs here: verdicts in words, tables of checks. Does not: checking anything; the reports did. Called by `write.py`.
"""

from __future__ import annotations

from typing import Any

from debitura_pipeline.report.model import Column, Finding, Section, Table, Verdict
from debitura_pipeline.report.page import count, instant
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.stages import BY_KEY, STAGES

GAPS, RECONCILED, QUALITY = "reports.attribution_gaps", "reports.payout_reconciliation", "reports.data_quality"
FINDINGS_SHOWN = 10
CLIENTS_SHOWN = 20
NOT_RECONCILED = Verdict("Not compared yet", "unknown")
VERDICTS = {
    "equal": Verdict("Equal", "good"), "differs": Verdict("Differs", "bad"), "unproven": Verdict("Not proven", "warn"),
    "ok": Verdict("Fine", "good"), "warn": Verdict("Look at it", "warn"), "fail": Verdict("May be wrong", "bad"),
}  # fmt: skip
FINDINGS = {
    "closed_paid_without_transaction": "Closed as paid, but without a transaction",
    "transaction_of_unknown_case": "Transaction of an unknown case",
    "transaction_of_unknown_client": "Transaction of an unknown client",
    "transaction_before_link": "Transaction before the client was linked",
    "fee_rate_differs": "Fee rate other than the case promises",
    "zero_fee": "No fee, although there is a rate",
    "stage_overdue": "Next step overdue",
    "archived_client_open_cases": "Archived client with open cases",
}
GROUPS = {"debitura_revenue": "Debitura's revenue", "total": "All", "rows": "All rows"}


def worded(verdict: str) -> Verdict:
    """A verdict as the page says it; one that is new reads as it came."""
    return VERDICTS.get(verdict, Verdict(verdict, "unknown"))


def titled(name: str) -> str:
    """`onboarding_pending` -> `Onboarding pending`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def findings(reports: Reports) -> Section | None:
    """Money that may be missing: kinds with their sums, then the largest findings one by one."""
    if not reports.has(GAPS):
        return None
    kinds = reports.records(
        GAPS, ("finding", "count(*) AS n", "sum(usd_at_stake) AS usd", "count(*) - count(usd_at_stake) AS blank"),
        "GROUP BY finding ORDER BY sum(usd_at_stake) DESC NULLS LAST, finding",
    )  # fmt: skip
    title = "Money that may be missing"
    if not kinds:
        return Section("findings", title, "Every rule holds for every client, case and transaction.",
                       verdict=Verdict("No findings", "good"))  # fmt: skip
    rows = tuple((FINDINGS.get(row.finding, titled(row.finding)), row.n, row.usd, row.blank) for row in kinds)
    columns = (Column("Finding"), Column("Count", "count"), Column("At stake, USD (estimate)", "money"),
               Column("Amount unknown", "count"))  # fmt: skip
    table = Table("attribution_gaps", "Findings by kind", columns, rows)
    lead = (
        f"{count(sum(row.n for row in kinds))} findings. The amounts are estimates of what may be missing or may be taken "
        "back, not money owed. One fee can be in two findings, so they are not added up."
    )
    return Section("findings", title, lead, findings=_largest(reports), tables=(table,))


def _largest(reports: Reports) -> tuple[Finding, ...]:
    references = reports.has("marts.fct_cases")
    source = f"{GAPS} AS gaps" + (
        " LEFT JOIN marts.fct_cases AS cases ON cases.case_id = gaps.case_id" if references else ""
    )
    rows = reports.records(
        source,
        ("gaps.finding AS finding", "gaps.company_name AS company", "gaps.detail AS detail", "gaps.age_days AS age",
         "gaps.usd_at_stake AS usd", "gaps.what_to_do AS advice", f"{'cases.reference' if references else 'gaps.case_id'} AS ref"),
        f"ORDER BY gaps.priority, gaps.finding_id LIMIT {FINDINGS_SHOWN}",
    )  # fmt: skip
    return tuple(
        Finding(FINDINGS.get(row.finding, titled(row.finding)), _where(row), row.advice, row.usd, row.age)
        for row in rows
    )


def _where(row: Any) -> str:
    parts = (row.company or "Unknown client", f"case {row.ref}" if row.ref else "")
    return f"{', '.join(part for part in parts if part)}. {row.detail}"


def reconciliation_verdict(reports: Reports) -> Verdict:
    """The judgement in a few words, for the head of the page."""
    rows = _compared(reports)
    differing = sum(row.n for row in rows if row.verdict == "differs")
    if not any(row.verdict != "unproven" for row in rows):
        return NOT_RECONCILED
    at = instant(max(row.at for row in rows if row.at))
    if differing:
        return Verdict(f"{count(differing)} figures differ, {at}", "bad")
    if any(row.verdict == "unproven" and row.scope == "all" for row in rows):
        return Verdict(f"Equal where the API can prove it, {at}", "good")
    return Verdict(f"Equal, {at}", "good")


def reconciliation(reports: Reports) -> Section | None:
    """The API's own totals beside the warehouse's: stages, groups, and the clients that differ."""
    rows = _compared(reports)
    if not rows:
        return None
    by = {verdict: sum(row.n for row in rows if row.verdict == verdict) for verdict in ("equal", "differs", "unproven")}
    lead = (
        "The API states totals of its own; after each reading they are set beside the warehouse's. "
        f"{count(by['equal'])} figures are equal, {count(by['differs'])} differ, {count(by['unproven'])} are not proven: the "
        "API did not state them, or they hold estimates that move with exchange rates between two answers."
    )
    tables = (_stage_table(reports), _group_table(reports), _client_table(reports))
    return Section("reconciliation", "Reconciliation with the API", lead, verdict=reconciliation_verdict(reports),
                   tables=tuple(table for table in tables if table.rows))  # fmt: skip


def _compared(reports: Reports) -> list[Any]:
    if not reports.has(RECONCILED):
        return []
    columns = ("scope", "verdict", "count(*) AS n", "max(checked_at) AS at")
    return reports.records(RECONCILED, columns, "GROUP BY scope, verdict")


def _stage_table(reports: Reports) -> Table:
    columns = ("stage", "api_count", "warehouse_count", "api_usd", "warehouse_usd", "usd_difference", "verdict")
    found = reports.records(RECONCILED, columns, "WHERE scope = 'all' AND resource = 'transactions'")
    order = [stage.key for stage in STAGES]
    found.sort(key=lambda row: (order.index(row.stage) if row.stage in order else len(order), row.stage))
    rows = tuple((_group(row.stage), *row[1:-1], worded(row.verdict)) for row in found)
    headings = (
        Column("Stage"), Column("API, count", "count"), Column("Warehouse, count", "count"), Column("API, USD", "money"),
        Column("Warehouse, USD", "money"), Column("Difference, USD", "money"), Column("Verdict", "verdict"),
    )  # fmt: skip
    return Table("payout_reconciliation", "Transactions by stage", headings, rows)


def _group_table(reports: Reports) -> Table:
    columns = ("resource", "stage", "api_count", "warehouse_count", "count_difference", "verdict")
    found = reports.records(
        RECONCILED, columns, "WHERE scope = 'all' AND resource <> 'transactions' ORDER BY resource DESC, stage"
    )
    rows = tuple(
        (f"{titled(row.resource)}: {_group(row.stage).lower()}", *row[2:-1], worded(row.verdict)) for row in found
    )
    headings = (Column("Listing and group"), Column("API", "count"), Column("Warehouse", "count"), Column("Difference", "count"),
                Column("Verdict", "verdict"))  # fmt: skip
    return Table("reconciled_groups", "Clients and cases", headings, rows)


def _client_table(reports: Reports) -> Table:
    columns = ("company_name", "stage", "coalesce(api_usd, api_count) AS api", "coalesce(warehouse_usd, warehouse_count) AS ours",
               "coalesce(usd_difference, count_difference) AS difference", "verdict")  # fmt: skip
    tail = (
        "WHERE scope = 'client' AND verdict = 'differs' "
        f"ORDER BY abs(coalesce(usd_difference, count_difference)) DESC, creditor_id, stage LIMIT {CLIENTS_SHOWN}"
    )
    found = reports.records(RECONCILED, columns, tail)
    rows = tuple(
        (row.company_name or "Unknown client", _group(row.stage), *row[2:-1], worded(row.verdict)) for row in found
    )
    headings = (Column("Client"), Column("Figure"), Column("API", "money"), Column("Warehouse", "money"),
                Column("Difference", "money"), Column("Verdict", "verdict"))  # fmt: skip
    return Table("reconciled_clients", f"Clients that differ most, at most {CLIENTS_SHOWN}", headings, rows)


def _group(name: str) -> str:
    return BY_KEY[name].label if name in BY_KEY else GROUPS.get(name, titled(name))


def data_quality(reports: Reports) -> Section | None:
    """Every check, what is wrong first."""
    if not reports.has(QUALITY):
        return None
    columns = ("check_name", "meaning", "verdict", "figure", "unit", "since", "what_to_do")
    order = "CASE verdict WHEN 'fail' THEN 0 WHEN 'warn' THEN 1 ELSE 2 END"
    found = reports.records(QUALITY, columns, f"ORDER BY {order}, area, check_name")
    if not found:
        return None
    open_ = [row for row in found if row.verdict != "ok"]
    worst = worded(open_[0].verdict if open_ else "ok")
    said = (
        f"{count(len(open_))} of {count(len(found))} checks ask for a look"
        if open_
        else f"All {count(len(found))} checks hold"
    )
    rows = tuple(
        (titled(row.check_name), worded(row.verdict), row.figure, row.unit, row.since, row.meaning if row.verdict == "ok"
         else f"{row.meaning} {row.what_to_do}")
        for row in found
    )  # fmt: skip
    headings = (Column("Check"), Column("Verdict", "verdict"), Column("Figure", "count"), Column("Unit"),
                Column("Since", "instant"), Column("What is checked, what to do", "prose"))  # fmt: skip
    table = Table("data_quality", "Checks of the data and of the pipeline", headings, rows)
    lead = "Checks after each run: completeness, contract, consistency, freshness. What is wrong stands first."
    return Section("quality", "Data quality", lead, verdict=Verdict(said, worst.tone), tables=(table,))
