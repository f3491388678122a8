"""One round: facts in, incidents and messages out. The only writer of the state file, the metrics file and `ops.incidents`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from debitura_pipeline.api.connect import read_rate_limit_usage
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.incidents.delivery import Outgoing, name_of, send, targets_of
from debitura_pipeline.incidents.facts import Facts, WarehouseFacts
from debitura_pipeline.incidents.judge import judge
from debitura_pipeline.incidents.metrics import count_open, measure, write_metrics
from debitura_pipeline.incidents.read_warehouse import read_warehouse_facts
from debitura_pipeline.incidents.record import TABLE, read_open_incidents, write_incidents
from debitura_pipeline.incidents.state import (
    OPENED,
    OVER,
    REMINDER,
    Incident,
    State,
    StateBusy,
    exclusive_state,
    write_state,
)
from debitura_pipeline.incidents.update import (
    Recipient,
    apply_findings,
    deliverable,
    forget_old,
    is_untold,
    take_delivery,
    visible,
)
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.retention import delete_old
from debitura_pipeline.warehouse.run_lock import exclusive_run

WAREHOUSE_WAIT_S = 2.0  # a run has just ended; whoever holds it now is somebody else
_KINDS = {OPENED: "failure", REMINDER: "warning", OVER: "success"}  # Apprise's own words

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How long one round may wait for another one, and for deliveries; whether deliveries that failed are tried before they
    are due; whether messages go out although the state cannot be kept (then they are repeated)."""

    lock_s: float
    deliver_s: float
    retries_early: bool
    needs_state: bool


RUN_END = Pace(lock_s=90.0, deliver_s=60.0, retries_early=True, needs_state=False)
TICK = Pace(lock_s=0.0, deliver_s=40.0, retries_early=False, needs_state=True)  # Dagster ends a tick after 60 s


@dataclass(frozen=True)
class WarehouseReading:
    """What a run's end finds in the warehouse. `fault`: why it could not be opened. `open_`: rows of `ops.incidents`."""

    facts: WarehouseFacts | None = None
    fault: str | None = None
    open_: tuple[Incident, ...] = ()


def read_warehouse(settings: Settings, now_facts: Facts) -> WarehouseReading:
    """Open the warehouse for reading. One that is in use, or that no run has made yet, says nothing. Never raises."""
    try:
        if not warehouse_exists(settings, wait_s=WAREHOUSE_WAIT_S):
            return WarehouseReading()
        with open_warehouse(settings, read_only=True, wait_s=WAREHOUSE_WAIT_S) as warehouse:
            is_simulated = settings.environment == "sandbox"
            facts = read_warehouse_facts(warehouse, now_facts.now, is_simulated=is_simulated)
            return WarehouseReading(facts, open_=tuple(read_open_incidents(warehouse)))
    except WarehouseBusy:
        return WarehouseReading()
    except DebituraError as error:
        return WarehouseReading(fault=" ".join(str(error).split()))


def tell(settings: Settings, facts: Facts, pace: Pace, warehouse: WarehouseReading | None = None) -> State | None:
    """Judge, record, deliver and measure. `warehouse`: None where this process may not open it.

    Returns the state as it is then; None if another process is at it. Raises OSError where the data directory cannot be used.
    """
    if warehouse is not None:
        facts = replace(facts, warehouse=warehouse.facts, warehouse_fault=warehouse.fault)
    try:
        with exclusive_state(settings.data_dir, wait_s=pace.lock_s) as found:
            state = found or State()
            before = msgspec.json.encode(state)
            _seed(state, warehouse)
            _judge(settings, state, facts)
            is_kept = _keep(settings, state, before)
            if is_kept or not pace.needs_state:
                _deliver(settings, state, facts, pace)
            if warehouse is not None and warehouse.facts is not None:
                _record(settings, state, facts.now)
            forget_old(state)
            _measure(settings, state, facts)
            _keep(settings, state, before)
            return state
    except StateBusy:
        return None


def _seed(state: State, warehouse: WarehouseReading | None) -> None:
    """After the state file was lost, go on with the open incidents of the warehouse."""
    if state.is_seeded or warehouse is None or warehouse.facts is None:
        return
    known = {incident.key for incident in state.open_()}
    state.incidents += [incident for incident in warehouse.open_ if incident.key not in known]
    state.is_seeded = True


def _judge(settings: Settings, state: State, facts: Facts) -> None:
    noticed = {(kind, subject): at for kind, subject, at in state.noticed}
    findings = judge(replace(facts, noticed=noticed), [incident.key for incident in state.open_()])
    recipient = Recipient(targets_of(settings), settings.label, settings.partner)
    apply_findings(state, findings, recipient, facts.now)


def _keep(settings: Settings, state: State, before: bytes) -> bool:
    """Write the state unless nothing has changed. False if that is impossible, for instance on a full disk."""
    if msgspec.json.encode(state) == before:
        return True
    try:
        write_state(settings.data_dir, state)
    except OSError as error:
        log.debug("the state of incidents cannot be kept: %s", error.strerror)
        return False
    return True


def _deliver(settings: Settings, state: State, facts: Facts, pace: Pace) -> None:
    due = deliverable(state, targets_of(settings), facts.now, retries_early=pace.retries_early)
    outgoing = [Outgoing(m.title, m.body, _KINDS[m.event], tuple(m.pending)) for m in due]
    failed: set[str] = set()
    for message, attempts in zip(due, send(settings, outgoing, within_s=pace.deliver_s), strict=True):
        failed |= attempts.tried - attempts.delivered
        take_delivery(state, message, attempts.delivered, facts.now, was_tried=bool(attempts.tried))
    for target in sorted(failed):
        log.warning("An alert could not be delivered to %s; it is tried again later", name_of(settings, target))


def _record(settings: Settings, state: State, now: datetime) -> None:
    due = [incident for incident in state.incidents if not incident.is_recorded and not is_untold(incident)]
    if not due:
        return
    try:
        with (
            exclusive_run(settings, "incidents", uses_store=False),
            open_warehouse(settings, wait_s=WAREHOUSE_WAIT_S) as warehouse,
        ):
            write_incidents(warehouse, due, settings.partner)
            delete_old(warehouse, TABLE, "closed_at", now)
    except DebituraError as error:
        log.debug("incidents are written to the warehouse next time: %s", error)


def _measure(settings: Settings, state: State, facts: Facts) -> None:
    try:
        usage = read_rate_limit_usage(settings, facts.now)
        state.metrics = measure(facts, usage, state.metrics)
        samples = {**state.metrics, **count_open(visible(state, facts.now))}
        write_metrics(settings.data_dir, samples, settings.partner)
    except OSError as error:
        log.debug("the metrics cannot be written: %s", error.strerror)
