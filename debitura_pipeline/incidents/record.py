"""Writes incidents to `ops.incidents`: the history, which the state file does not keep."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.incidents.kinds import KINDS
from debitura_pipeline.incidents.messages import recorded_text
from debitura_pipeline.incidents.state import Incident
from debitura_pipeline.warehouse.base import Warehouse

TABLE = "ops.incidents"


def write_incidents(warehouse: Warehouse, incidents: Sequence[Incident], partner: str | None = None) -> None:
    """Write each incident's current row, and mark it as recorded. `partner`: named in commands. Raises WarehouseError."""
    for incident in incidents:
        key = (incident.kind, incident.subject, incident.opened_at)
        facts = (incident.closed_at, incident.told_at, recorded_text(incident, partner))
        if not warehouse.execute(_UPDATE, (*key, *facts)):
            warehouse.execute(_INSERT, (*key, *facts))
        incident.is_recorded = True


def read_open_incidents(warehouse: Warehouse) -> list[Incident]:
    """The open incidents of the table, for a data directory whose state file is lost. Raises WarehouseError."""
    if TABLE not in warehouse.tables():
        return []
    return [
        Incident(kind, subject, what or "", opened_at, told_at=told_at, is_recorded=True)
        for kind, subject, what, opened_at, told_at in warehouse.rows(_OPEN)
        if kind in KINDS
    ]


_COLUMNS = "incident, subject, opened_at, closed_at, told_at, message"
_VALUES = (
    "CAST($1 AS VARCHAR), CAST($2 AS VARCHAR), CAST($3 AS TIMESTAMPTZ), CAST($4 AS TIMESTAMPTZ), "
    "CAST($5 AS TIMESTAMPTZ), CAST($6 AS VARCHAR)"
)
_INSERT = f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES ({_VALUES})"
_UPDATE = f"""
    UPDATE {TABLE} SET closed_at = CAST($4 AS TIMESTAMPTZ), told_at = CAST($5 AS TIMESTAMPTZ), message = CAST($6 AS VARCHAR)
    WHERE incident = $1 AND subject = $2 AND opened_at = CAST($3 AS TIMESTAMPTZ)"""
_OPEN = f"SELECT incident, subject, message, opened_at, told_at FROM {TABLE} WHERE closed_at IS NULL"
