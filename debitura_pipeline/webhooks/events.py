"""Rows of `ops.webhook_events`: one per event, with its run and outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.tables import OPS
from debitura_pipeline.webhooks.segments import Received, Repeated

TYPES = dict(OPS["webhook_events"])
BATCH_ROWS = 500  # per statement: a few thousand parameters

REFRESHED = "refreshed"  # what it names was read from the API
NOT_LISTED = "not_listed"  # the API does not list the case
NOT_LOADED = "client_not_loaded"  # its client is loaded as a whole, by onboarding
LEFT_TO_SYNC = "left_to_sync"  # an interrupted sync reads it when it is resumed
LEFT_TO_NIGHTLY = "left_to_nightly"  # the case was read; the nightly run reads its client's transactions
REFUSED = "refused"  # the API refused to be asked; the next sync of the whole listing reads it
NOTHING = "nothing_to_read"  # it names neither a case nor a client


@dataclass(frozen=True)
class PendingEvent:
    """An event without an outcome. `tenant`: as stored. `received_at`: aware UTC."""

    id: str
    type: str
    tenant: str | None
    case_id: str | None
    received_at: datetime


def record_received(warehouse: Warehouse, entries: Sequence[Received | Repeated]) -> int:
    """Insert new events and count repeated deliveries; returns the number of new events. Raises WarehouseError."""
    events, repeats = {}, Counter[str]()
    for entry in entries:
        if isinstance(entry, Repeated):
            repeats[entry.id] += entry.times
        elif entry.id in events:
            repeats[entry.id] += 1
        else:
            events[entry.id] = entry
    known = _known(warehouse, list(events))
    repeats.update(known)
    names = ("event_id", "event", "external_tenant_id", "case_id", "event_at", "received_at", "deliveries")
    rows = [
        (one.id, one.type, one.tenant, one.case_id, one.at, one.received_at, 1)
        for one in events.values()
        if one.id not in known
    ]
    for chunk in _chunks(rows):
        values, params = _values(names, chunk)
        warehouse.execute(
            f"INSERT INTO ops.webhook_events ({', '.join(names)}) SELECT {_cast(names)} FROM {values}", params
        )
    for counted in _chunks(sorted(repeats.items())):
        values, params = _values(("event_id", "deliveries"), counted)
        warehouse.execute(
            f"UPDATE ops.webhook_events AS e SET deliveries = e.deliveries + CAST(v.deliveries AS BIGINT) FROM {values} "
            "WHERE e.event_id = v.event_id",
            params,
        )
    return len(rows)


def read_pending(warehouse: Warehouse, limit: int) -> list[PendingEvent]:
    """Events without an outcome, oldest first. Raises WarehouseError."""
    found = warehouse.rows(
        "SELECT event_id, event, external_tenant_id, case_id, received_at FROM ops.webhook_events "
        f"WHERE handled_at IS NULL ORDER BY received_at, event_id LIMIT {int(limit)}"
    )
    return [PendingEvent(name, kind, tenant, case, at.astimezone(UTC)) for name, kind, tenant, case, at in found]


def count_pending(warehouse: Warehouse) -> tuple[int, datetime | None]:
    """The number of events without an outcome, and when the oldest was received. Raises WarehouseError."""
    count, oldest = warehouse.rows(
        "SELECT count(*), min(received_at) FROM ops.webhook_events WHERE handled_at IS NULL"
    )[0]
    return int(count), oldest.astimezone(UTC) if oldest is not None else None


def record_outcomes(warehouse: Warehouse, outcomes: Mapping[str, str], run_id: str, at: datetime) -> None:
    """Set outcome, run and instant of events, by event id. Raises WarehouseError."""
    names = ("event_id", "outcome", "run_id", "handled_at")
    for chunk in _chunks([(event_id, outcome, run_id, at) for event_id, outcome in sorted(outcomes.items())]):
        values, params = _values(names, chunk)
        assignments = ", ".join(f"{name} = CAST(v.{name} AS {TYPES[name]})" for name in names[1:])
        warehouse.execute(
            f"UPDATE ops.webhook_events AS e SET {assignments} FROM {values} WHERE e.event_id = v.event_id", params
        )


def select_in(warehouse: Warehouse, sql: str, keys: Iterable[str | None]) -> list[tuple[Any, ...]]:
    """Rows of `sql`, in which `{keys}` stands for a list of parameters, for many keys. Raises WarehouseError."""
    found: list[tuple[Any, ...]] = []
    for chunk in _chunks(sorted({key for key in keys if key is not None})):
        places = ", ".join(f"${place}" for place in range(1, len(chunk) + 1))
        found += warehouse.rows(sql.replace("{keys}", places), chunk)
    return found


def _known(warehouse: Warehouse, ids: Sequence[str]) -> dict[str, int]:
    """Which of the events are there already, each with one further delivery."""
    return {name: 1 for (name,) in select_in(warehouse, _KNOWN, ids)}


_KNOWN = "SELECT event_id FROM ops.webhook_events WHERE event_id IN ({keys})"


def _chunks(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))


def _values(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """SQL of a relation `v` whose values are parameters, and the parameters."""
    width = len(names)
    marks = ", ".join(
        f"({', '.join(f'${row * width + place}' for place in range(1, width + 1))})" for row in range(len(rows))
    )
    return f"(VALUES {marks}) AS v ({', '.join(names)})", [value for row in rows for value in row]


def _cast(names: Sequence[str]) -> str:
    return ", ".join(f"CAST(v.{name} AS {TYPES[name]})" for name in names)
