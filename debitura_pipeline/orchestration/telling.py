"""When incidents are reported: at the end of a run, at each tick of the daemon's sensor, and by `debitura watch`.

Gathers the facts that need the record of nights and Dagster's storage; the rest is in `incidents/`. Does not import Dagster,
because `watch` needs no daemon. Nothing here fails a run: what goes wrong is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from debitura_pipeline import address_space
from debitura_pipeline.disk_space import existing, free_space, run_folders
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.heartbeats import silent_runs
from debitura_pipeline.orchestration.held_locks import ENDS_WITHIN, find_held_locks
from debitura_pipeline.orchestration.nightly_runs import DONE, STILL_THERE, NightlyRun, last_nights
from debitura_pipeline.orchestration.nights import read_nights
from debitura_pipeline.orchestration.runs import read_daemon_beat, read_runs
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.run_lock import current_run

if TYPE_CHECKING:
    from debitura_pipeline.incidents.facts import Facts, LockFact, NightFact, OutboundFault
    from debitura_pipeline.incidents.state import Incident

MAX_NIGHTS = 60  # two months of failures in a row

log = logging.getLogger(__name__)


@contextmanager
def incidents_told(settings: Settings) -> Iterator[None]:
    """Report incidents once the block is over, whether it has failed or not. An interrupted command just ends."""
    since = datetime.now(UTC)
    try:
        yield
    except Exception:
        conclude_run(settings, since)
        raise
    conclude_run(settings, since)


def conclude_run(settings: Settings, since: datetime) -> None:
    """After a run: open and close incidents, deliver messages, write the metrics, and ping for a night that ended after `since`.

    Never raises.
    """
    if address_space.shortage(address_space.SYNC) is not None:  # reading the warehouse would abort the process
        return
    try:
        _conclude(settings, since)
    except Exception as error:  # noqa: BLE001 - a night does not fail for what is told about it
        log.debug("incidents could not be reported: %s", error)
        if settings.alerts.urls or settings.alerts.heartbeat_url:
            log.warning("Incidents could not be reported: %s; the next run reports them", type(error).__name__)


def _conclude(settings: Settings, since: datetime) -> None:
    from debitura_pipeline.incidents.api_fault import clear_api_fault  # noqa: PLC0415
    from debitura_pipeline.incidents.heartbeat import ping  # noqa: PLC0415 - nothing of this before the run
    from debitura_pipeline.incidents.tell import RUN_END, read_warehouse, tell  # noqa: PLC0415

    facts = gather(settings, datetime.now(UTC))
    if any(night.is_done and night.ended_at >= since for night in facts.nights or ()):  # it has read the API
        clear_api_fault(settings.data_dir)
        facts = replace(facts, api_fault=None)
    reading = read_warehouse(settings, facts)
    own = [night for night in facts.nights or () if night.ended_at >= since]
    is_contradicted = any(resource.contradicted for resource in reading.facts.resources) if reading.facts else False
    fault = ping(settings, is_good=own[-1].is_done and not is_contradicted) if own else None
    if fault is not None:
        log.warning("DEBITURA_HEARTBEAT_URL could not be pinged: %s", fault.rstrip("."))
    if settings.data_dir.exists():
        tell(settings, facts, RUN_END, reading)


def tick(settings: Settings, now: datetime, beat: datetime | None = None) -> list[Incident]:
    """What is done between the runs, in the daemon's sensor or, at a time when the daemon's last heartbeat was `beat`, elsewhere.

    Returns the open incidents. Raises OSError.
    """
    from debitura_pipeline.incidents.facts import DaemonFact  # noqa: PLC0415
    from debitura_pipeline.incidents.tell import TICK, tell  # noqa: PLC0415
    from debitura_pipeline.incidents.update import visible  # noqa: PLC0415

    if not settings.data_dir.exists():
        return []
    state = tell(settings, replace(gather(settings, now), daemon=DaemonFact(beat or now)), TICK)
    return visible(state, now) if state else []


def check_staleness(settings: Settings, now: datetime) -> list[str]:
    """Why the pipeline is not well, from nights, heartbeats and the run lock; empty if it is. Tells incidents, too."""
    from debitura_pipeline.incidents.facts import DaemonFact  # noqa: PLC0415
    from debitura_pipeline.incidents.judge import stale_reasons  # noqa: PLC0415
    from debitura_pipeline.incidents.tell import RUN_END, tell  # noqa: PLC0415

    facts, faults = gather(settings, now), []
    try:
        facts = replace(facts, daemon=DaemonFact(read_daemon_beat(settings)))
    except DebituraError as error:
        faults = [str(error)]
    if settings.data_dir.exists():
        with suppress(OSError):  # what is wrong is printed anyway
            tell(settings, facts, RUN_END)
    held = [f"{lock.what}." for lock in facts.held_locks or ()]
    return [*stale_reasons(facts), *held, *_silent(settings), *faults]


def _silent(settings: Settings) -> list[str]:
    """Runs that are silent. They are failed by the daemon, so that this lasts only where none is running."""
    with suppress(DebituraError):  # the same storage as that of the daemon's heartbeat, which is reported
        return [
            f"Run {run.run_id[:8]} has given no sign of life for {run.silent_s:.0f} s (process {run.where})."
            for run in silent_runs(settings)
        ]
    return []


def gather(settings: Settings, now: datetime) -> Facts:
    """The facts that need no warehouse. What cannot be read is left out."""
    from debitura_pipeline.incidents.api_fault import read_api_fault  # noqa: PLC0415
    from debitura_pipeline.incidents.facts import Facts  # noqa: PLC0415
    from debitura_pipeline.incidents.webhook_facts import read_webhook_facts  # noqa: PLC0415

    return Facts(
        now=now,
        stuck_days=settings.alerts.stuck_days,
        nights=_nights(settings, now),
        webhooks=read_webhook_facts(settings),
        full_folders=_full_folders(settings),
        api_fault=read_api_fault(settings.data_dir),
        outbound=_outbound(settings),
        held_locks=_held_locks(settings, now),
    )


def _nights(settings: Settings, now: datetime) -> tuple[NightFact, ...]:
    try:
        runs, _ = read_runs(settings, now)
    except DebituraError:  # the record alone knows enough
        runs = []
    found = last_nights(read_nights(settings.data_dir), runs, current_run(settings), MAX_NIGHTS)
    return tuple(_fact(night) for night in reversed(found) if night.is_over and not _may_be_ending(night, now))


def _may_be_ending(night: NightlyRun, now: datetime) -> bool:
    """A failed run whose process is still there. If that lasts, the lock that it holds is reported, and explains the failure."""
    return night.reason == STILL_THERE and now - (night.finished_at or night.started_at) < ENDS_WITHIN


def _held_locks(settings: Settings, now: datetime) -> tuple[LockFact, ...] | None:
    from debitura_pipeline.incidents.facts import LockFact  # noqa: PLC0415

    try:
        return tuple(LockFact(lock.run_id, lock.fault, lock.ended_at) for lock in find_held_locks(settings, now))
    except DebituraError:
        return None


def _outbound(settings: Settings) -> tuple[OutboundFault, ...]:
    """Faults of the sources that are set."""
    from debitura_pipeline.incidents.outbound_fault import read_faults  # noqa: PLC0415

    is_set = {"roster": settings.outbound.roster is not None, "claims": settings.outbound.claims is not None}
    return tuple(fault for fault in read_faults(settings.data_dir) if is_set.get(fault.source))


def _fact(night: NightlyRun) -> NightFact:
    from debitura_pipeline.incidents.facts import NightFact  # noqa: PLC0415

    ended_at = night.finished_at or night.started_at  # of a killed one, nobody noted the end
    return NightFact(night.started_at, ended_at, night.status == DONE, night.cause, night.reason)


def _full_folders(settings: Settings) -> str:
    """The folders of runs without space, by device; an empty string if there are none."""
    found: dict[int, str] = {}
    for name, folder in run_folders(settings):
        if name == "TMPDIR":  # not the pipeline's own
            continue
        with suppress(OSError):
            parent = existing(folder)
            if free_space(parent).is_scarce:
                found.setdefault(parent.stat().st_dev, str(folder))
    return " and ".join(found.values())
