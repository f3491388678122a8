"""Look for one partner: its newest clients and webhook subscriptions at the API, its roster and claims, its incidents.

Runs in a process that has this partner's secrets alone. Does not import Dagster, and opens no warehouse.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.api_fault import clear_api_fault, note_api_fault
from debitura_pipeline.incidents.webhook_facts import note_off
from debitura_pipeline.onboarding.reading import read_newest
from debitura_pipeline.orchestration import telling
from debitura_pipeline.orchestration.runs import read_daemon_beat
from debitura_pipeline.orchestration.source_looks import WantedCursor, look_at_all
from debitura_pipeline.partners.look import (
    FOLDER,
    Look,
    SourceState,
    SubscriptionsState,
    read_look,
    seen_clients,
    write_look,
)
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.source import CLAIMS, ROSTER
from debitura_pipeline.source.table import SourceTable
from debitura_pipeline.webhooks.position import inbox_state, last_event_at
from debitura_pipeline.webhooks.subscriptions import list_subscriptions
from debitura_pipeline.webhooks.watch import describe_subscriptions, switched_off, uses_webhooks
from debitura_sandbox.server import embedded

SUBSCRIPTIONS_EVERY = timedelta(hours=1)
SOURCES = "sources.json"
RIGHTS = {ROSTER.name: "clients", CLAIMS.name: "cases"}


def look(settings: Settings, now: datetime) -> Look:
    """Look once and write the result for the sensors. What cannot be read is in it. Raises OSError."""
    try:
        sources, faults = _sources(settings, now)
        found = _at_api(settings, now)
        fault = found.fault or next(iter(faults), None)
        found = Look(found.at, found.clients, found.unseen, sources, found.subscriptions, fault)
        write_look(settings.data_dir, found)
    finally:  # a disk that is full is one of the incidents
        _tell(settings, now)
    return found


def _tell(settings: Settings, now: datetime) -> None:
    daemon_beat = None
    with suppress(DebituraError):  # whether the daemon is alive is not known then
        daemon_beat = read_daemon_beat(settings)
    with suppress(DebituraError, OSError):
        telling.tick(settings, now, daemon_beat)


def _at_api(settings: Settings, now: datetime) -> Look:
    before = read_look(settings.data_dir)
    subscriptions = before.subscriptions if before else None
    if settings.uses_embedded_sandbox and embedded.found(settings.data_dir) is None:
        return Look(now, subscriptions=subscriptions)  # none is started to be looked at
    seen = seen_clients(settings.data_dir)
    try:
        with ExitStack() as stack:
            endpoint = stack.enter_context(open_endpoint(settings))
            clients = tuple(read_newest(settings, endpoint, seen.__contains__))
            if subscriptions is None or now - subscriptions.at >= SUBSCRIPTIONS_EVERY:
                subscriptions = _subscriptions(settings, endpoint, now)
    except DebituraError as error:
        note_api_fault(settings.data_dir, error, now)
        return Look(now, subscriptions=subscriptions, fault=" ".join(str(error).split()))
    clear_api_fault(settings.data_dir)
    unseen = sum(client.key not in seen for client in clients)
    return Look(now, clients, unseen, subscriptions=subscriptions)


def _subscriptions(settings: Settings, endpoint: Endpoint, now: datetime) -> SubscriptionsState | None:
    if not uses_webhooks(settings, inbox_state(settings.data_dir)):
        return None
    found = list_subscriptions(settings, endpoint)
    off = switched_off(found, last_event_at(settings.data_dir))
    note_off(settings.data_dir, off)
    may_enable = "webhooks" in settings.outbound.writes and any(one.is_automatic for one in off)
    return SubscriptionsState(now, len(found), len(off), may_enable, describe_subscriptions(off, len(found)))


def _sources(settings: Settings, now: datetime) -> tuple[dict[str, SourceState], list[str]]:
    """The sources that are set and can be read, and why others cannot."""
    wanted = list(_wanted(settings))
    if not wanted:
        return {}, []
    file = settings.data_dir / FOLDER / SOURCES
    looks, faults = look_at_all(settings, wanted, _cursor(file), now)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(file, WantedCursor(0, looks).as_text().encode(), fsync=False)
    writes = settings.outbound.writes
    return {name: SourceState(one.fingerprint, RIGHTS[name] in writes) for name, one in looks.items()}, [
        " ".join(str(fault).split()) for fault in faults
    ]


def _wanted(settings: Settings) -> Iterator[tuple[Secret, SourceTable[Any]]]:
    if settings.outbound.roster is not None:
        yield settings.outbound.roster, ROSTER
    if settings.outbound.claims is not None:
        yield settings.outbound.claims, CLAIMS


def _cursor(file: Path) -> WantedCursor:
    try:
        return WantedCursor.of(file.read_text())
    except (OSError, UnicodeDecodeError):
        return WantedCursor()


def look_now(settings: Settings) -> Look:
    """Look at the present time. Raises OSError."""
    return look(settings, datetime.now(UTC))
