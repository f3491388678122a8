"""The head of the page: as of when, how fresh, which mode, and whether the figures are proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from debitura_pipeline.formats import format_datetime, title_case
from debitura_pipeline.plural import counted
from debitura_pipeline.report.model import Badge, Masthead
from debitura_pipeline.report.read import Reports

MODES = {
    "PayWhenPaid": "Pay when paid: a fee can be invoiced once the collection partner has paid Debitura",
    "ConfirmedPipeline": "Confirmed pipeline: a fee can be invoiced once the commission is confirmed",
}
RESOURCES = ("clients", "cases", "transactions")


@dataclass(frozen=True)
class _Reading:
    """The last successful sync of a resource, and when the last proven one started (None: never)."""

    started_at: datetime
    is_proven: bool
    message: str | None
    proven_at: datetime | None


def read_masthead(reports: Reports, *, is_simulated: bool, verdict: Badge) -> Masthead:
    """What a reader should know first. `verdict` is the reconciliation's."""
    readings = _last_readings(reports)
    facts: list[tuple[str, str | Badge]] = [("Reconciliation with the API", verdict)]
    if readings:
        facts.append(("Proof", read_proof(reports, verdict)))
        proven = {name: found.proven_at for name, found in readings.items() if found.proven_at is not None}
        facts.append(("Read completely, and proven", _freshness(proven) if proven else "never"))
    facts.append(("In the warehouse", _sizes(reports)))
    facts.append(("Partner mode", _mode(reports)))
    origin = _origin(reports)
    if origin is not None:
        facts.append(("Environment", origin))
    as_of = min(found.started_at for found in readings.values()) if len(readings) == len(RESOURCES) else None
    return Masthead(as_of=as_of, is_simulated=is_simulated, facts=tuple(facts))


def _last_readings(reports: Reports) -> dict[str, _Reading]:
    """By resource; syncs of single clients are ignored."""
    if not reports.has("ops.syncs"):
        return {}
    good = "WHERE status = 'done' AND coalesce(mode, '') <> 'client'"
    rows = reports.records(
        "ops.syncs", ("resource", "started_at", "is_proven", "message"), f"{good} ORDER BY started_at, finished_at"
    )
    found: dict[str, _Reading] = {}
    for row in rows:
        before = found[row.resource].proven_at if row.resource in found else None
        at = row.started_at if row.is_proven else before
        found[row.resource] = _Reading(row.started_at, bool(row.is_proven), row.message, at)
    return found


def was_read(reports: Reports) -> bool:
    """Whether each listing was read in full at least once. Until then, no row found is no answer."""
    return len(_last_readings(reports)) == len(RESOURCES)


def read_proof(reports: Reports, verdict: Badge) -> Badge:
    """Whether the page's figures are proven, and if not, which are not and why. `verdict`: the reconciliation's."""
    readings = _last_readings(reports)
    if not readings:
        return Badge("Not checked yet", "unknown")
    missing = [name for name in RESOURCES if name not in readings]
    open_ = [f"{name}: {found.message or 'no reason given'}" for name, found in readings.items() if not found.is_proven]
    open_ += [f"{name}: never read" for name in missing]
    if not open_:
        return Badge("Read completely, and proven", "good")
    return Badge(f"Not proven. {'. '.join(open_)}", "bad" if verdict.tone == "bad" else "warn")


def _freshness(readings: Mapping[str, datetime]) -> str:
    """One span if all three syncs are of one day, else one instant each."""
    first, last = min(readings.values()), max(readings.values())
    if len(readings) == len(RESOURCES) and first.astimezone(UTC).date() == last.astimezone(UTC).date():
        return (
            format_datetime(first)
            if format_datetime(first) == format_datetime(last)
            else f"{format_datetime(first)[:-4]} to {format_datetime(last)[-9:]}"
        )
    return "; ".join(f"{name} {format_datetime(readings.get(name))}" for name in RESOURCES)


def _sizes(reports: Reports) -> str:
    parts = []
    for name in RESOURCES:
        if reports.has(f"raw.{name}"):
            (row,) = reports.records(f"raw.{name}", ("count(*) AS n",), "WHERE _deleted_at IS NULL")
            parts.append(counted(int(row.n), name[:-1]))
    return ", ".join(parts) or "nothing yet"


def _origin(reports: Reports) -> str | None:
    """The API that the figures come from, as recorded by the first sync."""
    rows = reports.records("ops.identity", ("environment", "host")) if reports.has("ops.identity") else []
    return f"{title_case(rows[0].environment)}: {rows[0].host}" if rows else None


def _mode(reports: Reports) -> str:
    if not reports.has("raw.partner_history"):
        return "not read yet"
    rows = reports.records("raw.partner_history", ("invoicing_trigger_mode AS mode",), "WHERE _valid_to IS NULL")
    if not rows or rows[0].mode is None:
        return "not read yet"
    return MODES.get(rows[0].mode, str(rows[0].mode))
