"""Read the inbox into `ops.webhook_events`, and what its events name from the API into `raw`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync import SyncReport, TargetedSync, sync, sync_targets
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.retention import delete_old
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.webhooks.events import (
    PendingEvent,
    count_pending,
    read_pending,
    record_outcomes,
    record_received,
    select_in,
)
from debitura_pipeline.webhooks.position import (
    MAX_READ,
    Position,
    inbox_state,
    read_batch,
    read_position,
    write_position,
)
from debitura_pipeline.webhooks.segments import Received
from debitura_pipeline.webhooks.targets import Choice, KnownRows, choose_targets, outcomes_of

SWEPT = ("clients", "cases")  # what events tell of
LINK_EVENTS = ("client.link_expired", "client.link_declined")


@dataclass(frozen=True)
class RefreshResult:
    """`received`: new events. `handled`: events with an outcome now. `pending`: events without one.

    `clients`: tenants of the handled events that are about a client, not about a case.
    """

    received: int = 0
    handled: int = 0
    pending: int = 0
    reports: tuple[SyncReport, ...] = ()
    clients: tuple[str, ...] = ()


def refresh(settings: Settings, endpoint: Endpoint, run_id: str, runtime: Runtime | None = None) -> RefreshResult:
    """Handle what waits in the inbox, at most MAX_READ events. Does nothing, and needs no warehouse, if nothing waits.

    Raises ApiError, WarehouseError and LandingError; events keep waiting then.
    """
    if not inbox_state(settings.data_dir).waiting:
        return RefreshResult()
    runtime = runtime or Runtime()
    with exclusive_run(settings, "refresh"):
        received = take_in(settings)
        with open_warehouse(settings) as warehouse:
            events = read_pending(warehouse, MAX_READ)
            known = read_known_rows(warehouse, events)
        choice = choose_targets(events, known)
        found = _read(settings, endpoint, choice, runtime)
        outcomes = outcomes_of(events, known, choice, found, runtime.now())
        with open_warehouse(settings) as warehouse:
            record_outcomes(warehouse, outcomes, run_id, runtime.now())
            delete_old(warehouse, "ops.webhook_events", "handled_at", runtime.now())
            pending = _write_pending(settings, warehouse, read_position(settings.data_dir))
    clients = [event.tenant for event in events if event.id in outcomes and event.tenant and not event.case_id]
    return RefreshResult(received, len(outcomes), pending, found.reports, tuple(dict.fromkeys(clients)))


def sweep(settings: Settings, endpoint: Endpoint, runtime: Runtime | None = None) -> tuple[SyncReport, ...]:
    """Read what may have changed while no events arrived: an ordinary sync of clients and cases. Raises DebituraError."""
    return tuple(sync(settings, endpoint, SWEPT, runtime=runtime))


def take_in(settings: Settings) -> int:
    """Read the next part of the inbox into `ops.webhook_events`; returns the number of new events.

    Doing it twice changes nothing but the number of deliveries. Raises WarehouseError.
    """
    position = read_position(settings.data_dir)
    try:
        batch = read_batch(settings.data_dir, position)
        with open_warehouse(settings) as warehouse:
            received = record_received(warehouse, batch.entries)
            links = [one.received_at for one in batch.entries if isinstance(one, Received) and one.type in LINK_EVENTS]
            position = msgspec.structs.replace(
                position,
                segment=batch.segment,
                offset=batch.offset,
                checksum=batch.checksum,
                link_event_at=max([*links, *filter(None, [position.link_event_at])], default=None),
            )
            _write_pending(settings, warehouse, position)
    except OSError as error:
        raise WarehouseError(f"The position in the inbox of webhooks cannot be written: {error.strerror}.") from None
    return received


def _read(settings: Settings, endpoint: Endpoint, choice: Choice, runtime: Runtime) -> TargetedSync:
    found = sync_targets(settings, endpoint, choice.targets, runtime) if choice.targets else TargetedSync()
    if choice.is_listing_read:
        found = replace(found, reports=(*found.reports, *sync(settings, endpoint, ("cases",), runtime=runtime)))
    return found


def read_known_rows(warehouse: Warehouse, events: Sequence[PendingEvent]) -> KnownRows:
    """What of the events' subjects is in `raw`. Raises WarehouseError."""
    of_case = dict(select_in(warehouse, _CASES, [event.case_id for event in events]))
    tenants = {event.tenant for event in events} | set(of_case.values())
    return KnownRows(
        clients=frozenset(tenant for (tenant,) in select_in(warehouse, _CLIENTS, tenants)),
        tenant_of_case=of_case,
        transactions=dict(select_in(warehouse, _TRANSACTIONS, tenants)),
        cases=int(warehouse.rows("SELECT count(*) FROM raw.cases WHERE _deleted_at IS NULL")[0][0]),
    )


def _write_pending(settings: Settings, warehouse: Warehouse, position: Position) -> int:
    pending, oldest = count_pending(warehouse)
    write_position(settings.data_dir, msgspec.structs.replace(position, pending=pending, oldest_pending_at=oldest))
    return pending


_LIVE = "_deleted_at IS NULL AND"
_CASES = f"SELECT case_id, external_tenant_id FROM raw.cases WHERE {_LIVE} case_id IN ({{keys}})"
_CLIENTS = f"SELECT external_tenant_id FROM raw.clients WHERE {_LIVE} external_tenant_id IN ({{keys}})"
_TRANSACTIONS = (
    f"SELECT external_tenant_id, count(*) FROM raw.transactions WHERE {_LIVE} external_tenant_id IN ({{keys}}) "
    "GROUP BY external_tenant_id"
)
