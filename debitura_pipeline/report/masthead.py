"""The head of the page: as of when, how fresh, in which mode, how sure.

Belongs here: facts about the readings, from `ops` and `raw.partner_history`. Does not: money. Called by `write.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from debitura_pipeline.report.model import Masthead, Verdict
from debitura_pipeline.report.page import count, instant
from debitura_pipeline.report.read import Reports

MODES = {
    "PayWhenPaid": "Pay when paid: a fee can be invoiced once the collection partner has paid Debitura",
    "ConfirmedPipeline": "Confirmed pipeline: a fee can be invoiced once the commission is confirmed",
}
RESOURCES = ("clients", "cases", "transactions")


def read_masthead(reports: Reports, *, is_simulated: bool, verdict: Verdict) -> Masthead:
    """What a reader should know before the first figure. `verdict` is the reconciliation's."""
    readings = _last_readings(reports)
    complete = [readings[name] for name in RESOURCES if name in readings]
    facts: list[tuple[str, str | Verdict]] = [("Reconciliation with the API", verdict)]
    if readings:
        facts.append(("Read completely, and proven", _freshness(readings)))
    facts.append(("In the warehouse", _sizes(reports)))
    facts.append(("Partner mode", _mode(reports)))
    return Masthead(
        as_of=min(complete) if len(complete) == len(RESOURCES) else None, is_simulated=is_simulated, facts=tuple(facts)
    )


def _last_readings(reports: Reports) -> dict[str, datetime]:
    """Start of the newest proven reading of each resource as a whole; a single client's reading says nothing here."""
    if not reports.has("ops.syncs"):
        return {}
    rows = reports.records(
        "ops.syncs", ("resource", "max(started_at) AS started_at"),
        "WHERE status = 'done' AND is_proven AND mode <> 'client' GROUP BY resource",
    )  # fmt: skip
    return {row.resource: row.started_at for row in rows}


def _freshness(readings: Mapping[str, datetime]) -> str:
    """One span where all three readings are of one day, else each for itself."""
    first, last = min(readings.values()), max(readings.values())
    if len(readings) == len(RESOURCES) and first.astimezone(UTC).date() == last.astimezone(UTC).date():
        return instant(first) if instant(first) == instant(last) else f"{instant(first)[:-4]} to {instant(last)[-9:]}"
    return "; ".join(f"{name} {instant(readings.get(name))}" for name in RESOURCES)


def _sizes(reports: Reports) -> str:
    parts = []
    for name in RESOURCES:
        if reports.has(f"raw.{name}"):
            (row,) = reports.records(f"raw.{name}", ("count(*) AS n",), "WHERE _deleted_at IS NULL")
            parts.append(f"{count(row.n)} {name}")
    return ", ".join(parts) or "nothing yet"


def _mode(reports: Reports) -> str:
    if not reports.has("raw.partner_history"):
        return "not read yet"
    rows = reports.records("raw.partner_history", ("invoicing_trigger_mode AS mode",), "WHERE _valid_to IS NULL")
    if not rows or rows[0].mode is None:
        return "not read yet"
    return MODES.get(rows[0].mode, str(rows[0].mode))
