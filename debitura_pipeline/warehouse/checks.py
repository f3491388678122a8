"""Results of the Dagster asset checks, each read from the warehouse by a query.

They report what the syncs proved and wrote to `ops`. No figure names a person or shows a payload. Imports no Dagster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.plural import counted
from debitura_pipeline.reconcile.control_totals import MOVES_WITH_RATES
from debitura_pipeline.warehouse.tables import SUPERSEDED

RunQuery = Callable[[str], Sequence[tuple[Any, ...]]]

MAX_TABLE_ROWS = 20  # rows of a table in the UI; the rest is in the warehouse
STALE_AFTER = timedelta(hours=26)  # a nightly run, and two hours for it to be late


@dataclass(frozen=True)
class CheckTable:
    """Rows as text, at most MAX_TABLE_ROWS. `left_out`: number of further rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check. `table` holds details, `figures` plain numbers and names."""

    passed: bool
    description: str
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    table: CheckTable | None = None
    is_warning: bool = False


def completeness(resource: str, rows: RunQuery) -> CheckResult:
    """Whether the resource's last sync finished and is proven. A warning if nothing contradicts it but some totals could not
    be compared."""
    found = rows(
        "SELECT sync_id, status, is_proven, windows, rows_read, message FROM ops.syncs "
        f"WHERE resource = '{resource}' AND mode <> 'client' ORDER BY as_of DESC NULLS LAST, started_at DESC LIMIT 1"
    )
    if not found:
        return CheckResult(False, f"{resource} were never read")
    sync_id, status, is_proven, windows, rows_read, message = found[0]
    figures = {"sync": sync_id, "windows": int(windows or 0), "rows_read": int(rows_read or 0)}
    if status != "done":
        return CheckResult(False, f"The last sync did not finish: {message}", figures)
    if not is_proven:
        contradicted = _single(rows(_CONTRADICTED.format(resource=resource, sync_id=sync_id)))
        said = "is contradicted by the API's totals" if contradicted else "could not be proven complete"
        return CheckResult(False, f"The last sync {said}: {message}", figures, is_warning=not contradicted)
    return CheckResult(True, f"Every window was verified: {windows} windows, {rows_read} rows", figures)


def control_totals(resource: str, rows: RunQuery) -> CheckResult:
    """Whether the API's totals of the last sync equal ours. Totals that could not be compared give a warning; sums of
    estimates, which move with exchange rates, are only shown."""
    found = rows(_LAST_TOTALS.format(resource=resource, scope="scope = 'all'"))
    if not found and (unread := not_read(rows, resource)):
        return _not_checked(unread)
    return _totals(found, f"The API's totals of {resource}")


def client_totals(rows: RunQuery) -> CheckResult:
    """Whether the totals in each client's record equal that client's rows. A warning: the API computes them separately."""
    totals = rows(_LAST_TOTALS.format(resource="clients", scope="scope <> 'all'"))
    if not totals and (unread := not_read(rows)):
        return _not_checked(unread)
    found = _totals(totals, "The clients' own totals")
    return CheckResult(found.passed, found.description, found.figures, found.table, is_warning=True)


def unique_keys(resource: str, rows: RunQuery) -> CheckResult:
    """Whether each key is in `raw` once, and no row has two versions at one time."""
    key = TABLES[resource].key
    twice = int(_single(rows(f"SELECT count(*) - count(DISTINCT {key}) FROM raw.{resource}")))
    overlapping = int(
        _single(
            rows(
                f"SELECT count(*) FROM raw.{resource}{SUPERSEDED} AS s JOIN raw.{resource} AS c ON c.{key} = s.{key} "
                "WHERE s._valid_to > c._changed_at OR s._valid_from >= c._changed_at"
            )
        )
    )
    figures = {"keys_twice": twice, "versions_overlapping": overlapping}
    if twice or overlapping:
        return CheckResult(False, f"{twice} keys twice in raw, {overlapping} versions at one time", figures)
    if unread := not_read(rows, resource):
        return _not_checked(unread, figures)
    return CheckResult(True, "Every key is there once", figures)


def quarantine_empty(resource: str, rows: RunQuery) -> CheckResult:
    """Whether the API still returns rows that do not match the contract. Reasons and counts, no payload."""
    found = rows(
        "SELECT reason, count(*), min(first_seen_at) FROM ops.quarantine "
        f"WHERE resource = '{resource}' AND resolved_at IS NULL GROUP BY reason ORDER BY count(*) DESC, reason"
    )
    total = sum(int(count) for _, count, _ in found)
    if not total and (unread := not_read(rows, resource)):
        return _not_checked(unread, {"rows": 0})
    if not total:
        return CheckResult(True, "No rows are in quarantine", {"rows": 0})
    table = table_of(("reason", "rows", "since"), [(reason, count, since) for reason, count, since in found])
    return CheckResult(
        False, f"{total} rows do not fit the contract; the rest is loaded. See ops.quarantine", {"rows": total}, table
    )


def schema_drift(resource: str, rows: RunQuery) -> CheckResult:
    """Whether the last sync saw new fields or values."""
    found = rows(
        "SELECT kind, field, value FROM ops.schema_drift "
        f"WHERE resource = '{resource}' AND sync_id = ({_LAST_SYNC.format(resource=resource)}) ORDER BY 1, 2, 3"
    )
    figures = {"new": len(found)}
    if not found and (unread := not_read(rows, resource)):
        return _not_checked(unread, figures)
    if not found:
        return CheckResult(True, "The API sent no new fields or values", figures, is_warning=True)
    table = table_of(("kind", "field", "value"), found)
    return CheckResult(
        False, f"{len(found)} fields or values were seen for the first time", figures, table, is_warning=True
    )


def attribution_gaps(rows: RunQuery) -> CheckResult:
    """Whether the report lists money that may be missing. A warning: someone should look."""
    total = int(_single(rows("SELECT count(*) FROM reports.attribution_gaps")))
    figures = {"findings": total}
    if unread := not_read(rows):
        so_far = f"{counted(total, 'finding')} in what is loaded" if total else ""
        return _not_checked(unread, figures, so_far)
    if not total:
        return CheckResult(True, "No gap was found", figures, is_warning=True)
    description = f"{counted(total, 'finding')}, the largest amounts first in reports.attribution_gaps"
    return CheckResult(False, description, figures, is_warning=True)


def not_read(rows: RunQuery, *resources: str) -> tuple[str, ...]:
    """Those of `resources` (all, if none is given) that were never read in full. Syncs of single clients do not count: what
    they loaded says nothing of the rest."""
    read = {resource for (resource,) in rows(_READ)}
    return tuple(resource for resource in resources or TABLES if resource not in read)


def _not_checked(unread: Sequence[str], figures: Mapping[str, int] | None = None, so_far: str = "") -> CheckResult:
    """A check that has nothing to look at yet. A warning, since nothing is known to be wrong."""
    text = f"Not checked yet: {', '.join(unread)} were never read in full" + (f"; {so_far}" if so_far else "")
    return CheckResult(False, text, figures or {}, is_warning=True)


def freshness(what: str, done_at: datetime | None, now: datetime, done: str = "were read") -> CheckResult:
    """Whether something was done within STALE_AFTER. `done_at` and `now` are this machine's clock, aware UTC; `done` is the
    verb phrase."""
    if done_at is None:
        verb, _, participle = done.partition(" ")
        return CheckResult(False, f"{what} {verb} never {participle}")
    hours = (now - done_at) / timedelta(hours=1)
    figures = {"hours": round(hours, 2)}
    if now - done_at > STALE_AFTER:
        return CheckResult(
            False, f"{what} {done} {hours:.0f} hours ago; a nightly run is missing or has failed", figures
        )
    return CheckResult(True, f"{what} {done} {hours:.1f} hours ago", figures)


def table_of(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> CheckTable:
    """The first SHOWN of `rows`; None is an empty cell."""
    shown = (tuple("" if value is None else str(value) for value in row) for row in rows[:MAX_TABLE_ROWS])
    return CheckTable(tuple(columns), tuple(shown), max(len(rows) - MAX_TABLE_ROWS, 0))


def _totals(found: Sequence[tuple[Any, ...]], what: str) -> CheckResult:
    if not found:
        return CheckResult(True, f"{what}: none were given")
    verdicts = [verdict for *_, verdict, _ in found]
    figures = {verdict: verdicts.count(verdict) for verdict in ("equal", "differs", "unproven")}
    floating = sum(1 for *_, verdict, detail in found if verdict == "unproven" and detail == MOVES_WITH_RATES)
    head = ("check", "scope", "bucket", "unit", "API", "warehouse", "verdict", "detail")
    table = table_of(head, [row for row in found if row[-2] != "equal"] or found)
    if figures["differs"]:
        return CheckResult(
            False, f"{what}: {figures['differs']} of {len(found)} differ from the warehouse", figures, table
        )
    text = f"{what}: {figures['equal']} equal" + (f", {floating} move with exchange rates" if floating else "")
    if missing := figures["unproven"] - floating:
        return CheckResult(False, f"{text}, {missing} could not be compared", figures, table, is_warning=True)
    return CheckResult(True, text, figures, table)


def _single(found: Sequence[tuple[Any, ...]]) -> Any:
    return found[0][0]


_READ = "SELECT DISTINCT resource FROM ops.syncs WHERE status = 'done' AND coalesce(mode, '') <> 'client'"
_LAST_SYNC = (
    "SELECT sync_id FROM ops.syncs WHERE resource = '{resource}' AND mode <> 'client' AND status = 'done' "
    "ORDER BY as_of DESC NULLS LAST, started_at DESC LIMIT 1"
)
_CONTRADICTED = (
    "SELECT count(*) FROM ops.control_totals WHERE resource = '{resource}' AND sync_id = '{sync_id}' "
    "AND scope = 'all' AND verdict = 'differs'"
)
_LAST_TOTALS = """
    SELECT check_name, scope, bucket, unit, api_value, warehouse_value, verdict, detail
    FROM ops.control_totals
    WHERE resource = '{resource}' AND {scope} AND checked_at = (
        SELECT max(checked_at) FROM ops.control_totals WHERE resource = '{resource}' AND {scope}
    )
    ORDER BY verdict, check_name, scope, bucket, unit"""
