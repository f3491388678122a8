"""Sections on trust: reconciliation with the API, data quality."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.formats import format_count, format_datetime, title_case
from debitura_pipeline.plural import counted
from debitura_pipeline.reconcile.control_totals import MOVES_WITH_RATES
from debitura_pipeline.report.model import Badge, Heading, ReportTable, Section
from debitura_pipeline.report.page import client_name, sentence
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.stages import BY_KEY, STAGES

RECONCILED, QUALITY = "reports.payout_reconciliation", "reports.data_quality"
CLIENTS_SHOWN = 20
TOLD_APART = "('attribution_gaps', 'simulated_data')"
NOT_RECONCILED, NOT_CHECKED = Badge("Not compared yet", "unknown"), Badge("Not checked yet", "unknown")
VERDICTS = {
    "equal": Badge("Equal", "good"), "differs": Badge("Differs", "bad"), "unproven": Badge("Not proven", "warn"),
    "ok": Badge("Fine", "good"), "warn": Badge("Look at it", "warn"), "fail": Badge("May be wrong", "bad"),
    "not_checked": NOT_CHECKED,
}  # fmt: skip
GROUPS = {"debitura_revenue": "Debitura's revenue", "total": "All", "rows": "Rows in the listing"}
EQUAL = "Equal"  # every figure of the API that could be compared was


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
    return Badge(f"{EQUAL}{at}", "good")


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
    columns = ("company_name", "stage", "api_usd", "warehouse_usd", "usd_difference", "api_count", "warehouse_count",
               "count_difference", "verdict")  # fmt: skip
    tail = (
        "WHERE scope = 'client' AND verdict = 'differs' "
        f"ORDER BY abs(coalesce(usd_difference, count_difference)) DESC, creditor_id, stage LIMIT {CLIENTS_SHOWN}"
    )
    found = reports.records(RECONCILED, columns, tail)
    rows = tuple(
        (
            client_name(row.company_name),
            _group(row.stage),
            *(row[2:5] if row.usd_difference is not None else row[5:8]),
            badge_of(row.verdict),
        )
        for row in found
    )
    headings = (Heading("Client"), Heading("Figure"), Heading("API", "money"), Heading("Warehouse", "money"),
                Heading("Difference", "money"), Heading("Verdict", "verdict"))  # fmt: skip
    return ReportTable("reconciled_clients", f"Clients that differ most, at most {CLIENTS_SHOWN}", headings, rows)


def _group(name: str) -> str:
    return BY_KEY[name].label if name in BY_KEY else GROUPS.get(name, title_case(name))


def not_ok_checks(reports: Reports) -> int | None:
    """How many checks ask for a look, but for those that the first screen tells in other words; None without the table."""
    if not reports.has(QUALITY):
        return None
    (row,) = reports.records(
        QUALITY, ("count(*) AS n",), f"WHERE verdict IN ('warn', 'fail') AND check_name NOT IN {TOLD_APART}"
    )
    return int(row.n)


def data_quality(reports: Reports) -> Section | None:
    """Every check, failed ones first."""
    if not reports.has(QUALITY):
        return None
    usd = "usd" if reports.has_column(QUALITY, "usd") else "CAST(NULL AS DECIMAL(18, 4)) AS usd"
    columns = ("check_name", "meaning", "verdict", "figure", "unit", usd, "since", "what_to_do")
    order = "CASE verdict WHEN 'fail' THEN 0 WHEN 'warn' THEN 1 WHEN 'not_checked' THEN 2 ELSE 3 END"
    found = reports.records(QUALITY, columns, f"ORDER BY {order}, area, check_name")
    if not found:
        return None
    groups = {
        "data_quality": ("Checks that ask for a look", [row for row in found if row.verdict in ("fail", "warn")]),
        "data_quality_open": (
            "Checks that had nothing to look at yet",
            [row for row in found if row.verdict == "not_checked"],
        ),
        "data_quality_fine": ("Checks that hold", [row for row in found if row.verdict == "ok"]),
    }
    tables = tuple(_check_table(name, *group) for name, group in groups.items() if group[1])
    lead = "Checks after each run: completeness, contract, consistency, freshness."
    verdict = _quality_verdict(*(len(rows) for _, rows in groups.values()), worst=found[0].verdict)
    return Section("quality", "Data quality", lead, verdict=verdict, tables=tables)


def _quality_verdict(bad: int, not_checked: int, fine: int, *, worst: str) -> Badge:
    count = format_count(bad + not_checked + fine)
    if bad:
        return Badge(f"{format_count(bad)} of {count} checks ask for a look", badge_of(worst).tone)
    if not fine:
        return NOT_CHECKED
    return Badge(
        f"All {count} checks hold" if not not_checked else f"All {format_count(fine)} checks made so far hold", "good"
    )


def _check_table(name: str, caption: str, checks: list[Any]) -> ReportTable:
    """Checks, with advice for those that failed; the others are collapsed."""
    is_open = name == "data_quality"
    rows = tuple(
        (title_case(row.check_name), badge_of(row.verdict), row.figure, row.unit, row.usd, row.since,
         f"{sentence(row.meaning)} {sentence(row.what_to_do)}" if is_open else sentence(row.meaning))
        for row in checks
    )  # fmt: skip
    headings = (
        Heading("Check"), Heading("Verdict", "verdict"), Heading("Figure", "count"), Heading("Unit"), Heading("USD", "money"),
        Heading("Since", "instant"), Heading("What is checked, what to do" if is_open else "What is checked", "prose"),
    )  # fmt: skip
    said = {"data_quality_fine": "hold", "data_quality_open": "had nothing to look at yet"}
    folded = None if is_open else f"{counted(len(rows), 'check')} {said[name]}"
    return ReportTable(name, caption, headings, rows, folded=folded)
