"""Sections on trust: reconciliation with the API, data quality."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.plural import counted
from debitura_pipeline.reconcile.control_totals import MOVES_WITH_RATES
from debitura_pipeline.report.model import Badge, Heading, ReportTable, Section
from debitura_pipeline.report.page import format_count, format_datetime, sentence, title_case
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.stages import BY_KEY, STAGES

RECONCILED, QUALITY = "reports.payout_reconciliation", "reports.data_quality"
CLIENTS_SHOWN = 20
NOT_RECONCILED = Badge("Not compared yet", "unknown")
VERDICTS = {
    "equal": Badge("Equal", "good"), "differs": Badge("Differs", "bad"), "unproven": Badge("Not proven", "warn"),
    "ok": Badge("Fine", "good"), "warn": Badge("Look at it", "warn"), "fail": Badge("May be wrong", "bad"),
    "not_checked": Badge("Not checked yet", "unknown"),
}  # fmt: skip
GROUPS = {"debitura_revenue": "Debitura's revenue", "total": "All", "rows": "Rows in the listing"}


def badge_of(verdict: str) -> Badge:
    """A verdict as shown on the page; an unknown one is shown as it is."""
    return VERDICTS.get(verdict, Badge(verdict, "unknown"))


def reconciliation_verdict(reports: Reports, *, with_time: bool = True) -> Badge:
    """The reconciliation in a few words, and when it was made."""
    rows = _compared(reports)
    differing = sum(row.n for row in rows if row.verdict == "differs")
    if not any(row.verdict != "unproven" for row in rows):
        return NOT_RECONCILED
    at = f", {format_datetime(max(row.at for row in rows if row.at))}" if with_time else ""
    if differing:
        return Badge(f"{_figures(differing, 'differs', 'differ')}{at}", "bad")
    open_ = [row for row in rows if row.verdict == "unproven" and row.scope == "all"]
    if missing := sum(row.n for row in open_ if row.detail != MOVES_WITH_RATES):
        return Badge(f"Equal as far as compared; {_figures(missing, 'was', 'were')} not{at}", "warn")
    if open_:
        return Badge(f"Equal but for exchange rates{at}", "good")
    return Badge(f"Equal{at}", "good")


def _figures(count: int, singular: str, plural: str) -> str:
    return f"{counted(count, 'figure')} {singular if count == 1 else plural}"


def reconciliation(reports: Reports) -> Section | None:
    """The API's totals next to the warehouse's: stages, groups, and clients that differ."""
    rows = _compared(reports)
    if not rows:
        return None
    by = {verdict: sum(row.n for row in rows if row.verdict == verdict) for verdict in ("equal", "differs", "unproven")}
    lead = (
        "The API states totals of its own; after each reading they are set beside the warehouse's. "
        f"{format_count(by['equal'])} figures are equal, {format_count(by['differs'])} differ, "
        f"{format_count(by['unproven'])} are not proven: the "
        "API did not state them, or they hold estimates that move with exchange rates between two answers."
    )
    tables = (_stage_table(reports), _group_table(reports), _client_table(reports))
    return Section("reconciliation", "Reconciliation with the API", lead, verdict=reconciliation_verdict(reports),
                   tables=tuple(table for table in tables if table.rows))  # fmt: skip


def _compared(reports: Reports) -> list[Any]:
    if not reports.has(RECONCILED):
        return []
    columns = ("scope", "verdict", "detail", "count(*) AS n", "max(checked_at) AS at")
    return reports.records(RECONCILED, columns, "GROUP BY scope, verdict, detail")


def _stage_table(reports: Reports) -> ReportTable:
    columns = ("stage", "api_count", "warehouse_count", "api_usd", "warehouse_usd", "usd_difference", "verdict")
    found = reports.records(RECONCILED, columns, "WHERE scope = 'all' AND resource = 'transactions'")
    order = [stage.key for stage in STAGES]
    found.sort(key=lambda row: (order.index(row.stage) if row.stage in order else len(order), row.stage))
    rows = tuple((_group(row.stage), *row[1:-1], badge_of(row.verdict)) for row in found)
    headings = (
        Heading("Stage"), Heading("API, count", "count"), Heading("Warehouse, count", "count"), Heading("API, USD", "money"),
        Heading("Warehouse, USD", "money"), Heading("Difference, USD", "money"), Heading("Verdict", "verdict"),
    )  # fmt: skip
    return ReportTable("payout_reconciliation", "Transactions by stage", headings, rows)


def _group_table(reports: Reports) -> ReportTable:
    columns = ("resource", "stage", "api_count", "warehouse_count", "count_difference", "verdict")
    found = reports.records(
        RECONCILED, columns, "WHERE scope = 'all' AND resource <> 'transactions' ORDER BY resource DESC, stage"
    )
    rows = tuple(
        (f"{title_case(row.resource)}: {_group(row.stage).lower()}", *row[2:-1], badge_of(row.verdict)) for row in found
    )
    headings = (
        Heading("Listing and group"),
        Heading("API", "count"),
        Heading("Warehouse", "count"),
        Heading("Difference", "count"),
        Heading("Verdict", "verdict"),
    )
    return ReportTable("reconciled_groups", "Clients and cases", headings, rows)


def _client_table(reports: Reports) -> ReportTable:
    columns = ("company_name", "stage", "coalesce(api_usd, api_count) AS api", "coalesce(warehouse_usd, warehouse_count) AS ours",
               "coalesce(usd_difference, count_difference) AS difference", "verdict")  # fmt: skip
    tail = (
        "WHERE scope = 'client' AND verdict = 'differs' "
        f"ORDER BY abs(coalesce(usd_difference, count_difference)) DESC, creditor_id, stage LIMIT {CLIENTS_SHOWN}"
    )
    found = reports.records(RECONCILED, columns, tail)
    rows = tuple(
        (row.company_name or "Unknown client", _group(row.stage), *row[2:-1], badge_of(row.verdict)) for row in found
    )
    headings = (Heading("Client"), Heading("Figure"), Heading("API", "money"), Heading("Warehouse", "money"),
                Heading("Difference", "money"), Heading("Verdict", "verdict"))  # fmt: skip
    return ReportTable("reconciled_clients", f"Clients that differ most, at most {CLIENTS_SHOWN}", headings, rows)


def _group(name: str) -> str:
    return BY_KEY[name].label if name in BY_KEY else GROUPS.get(name, title_case(name))


def not_ok_checks(reports: Reports) -> int | None:
    """How many checks ask for a look; None without the table."""
    if not reports.has(QUALITY):
        return None
    (row,) = reports.records(QUALITY, ("count(*) AS n",), "WHERE verdict <> 'ok'")
    return int(row.n)


def data_quality(reports: Reports) -> Section | None:
    """Every check, failed ones first."""
    if not reports.has(QUALITY):
        return None
    columns = ("check_name", "meaning", "verdict", "figure", "unit", "since", "what_to_do")
    order = "CASE verdict WHEN 'fail' THEN 0 WHEN 'warn' THEN 1 ELSE 2 END"
    found = reports.records(QUALITY, columns, f"ORDER BY {order}, area, check_name")
    if not found:
        return None
    open_ = [row for row in found if row.verdict != "ok"]
    worst = badge_of(open_[0].verdict if open_ else "ok")
    said = (
        f"{format_count(len(open_))} of {format_count(len(found))} checks ask for a look"
        if open_
        else f"All {format_count(len(found))} checks hold"
    )
    tables = (
        _check_table("data_quality", "Checks that ask for a look", open_),
        _check_table("data_quality_fine", "Checks that hold", [row for row in found if row.verdict == "ok"]),
    )
    lead = "Checks after each run: completeness, contract, consistency, freshness."
    return Section("quality", "Data quality", lead, verdict=Badge(said, worst.tone),
                   tables=tuple(table for table in tables if table.rows))  # fmt: skip


def _check_table(name: str, caption: str, checks: list[Any]) -> ReportTable:
    """Checks, with advice for those that failed; passed ones are collapsed."""
    is_fine = all(row.verdict == "ok" for row in checks)
    rows = tuple(
        (title_case(row.check_name), badge_of(row.verdict), row.figure, row.unit, row.since,
         sentence(row.meaning) if is_fine else f"{sentence(row.meaning)} {sentence(row.what_to_do)}")
        for row in checks
    )  # fmt: skip
    prose = "What is checked" if is_fine else "What is checked, what to do"
    headings = (Heading("Check"), Heading("Verdict", "verdict"), Heading("Figure", "count"), Heading("Unit"),
                Heading("Since", "instant"), Heading(prose, "prose"))  # fmt: skip
    return ReportTable(
        name, caption, headings, rows, folded=f"{format_count(len(rows))} checks hold" if is_fine else None
    )
