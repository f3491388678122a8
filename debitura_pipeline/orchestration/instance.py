"""Open Dagster's instance in DAGSTER_HOME, prepare it on first use, and end runs whose process was killed.

`home.py` has what does not need Dagster.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster_shared.check.functions import CheckError
from filelock import FileLock

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.beating import heartbeats_of
from debitura_pipeline.orchestration.event_log import open_event_log
from debitura_pipeline.orchestration.heartbeats import RHYTHM, Rhythm
from debitura_pipeline.orchestration.home import (
    CONFIG,
    QUEUE_TAG,
    REWRITTEN,
    InstanceError,
    check_database,
    is_of_living_process,
    postgres_environment,
    process_mark,
    read_config,
    write_config,
)
from debitura_pipeline.orchestration.keys import POOLS
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.orchestration.runs import PROCESS_TAG
from debitura_pipeline.settings import Settings, load_common, load_settings, served_partners

# From a run's start until its process takes its lock; the daemon gives up on a run after five minutes.
STARTS_WITHIN = timedelta(minutes=10)

MAX_REASON_LENGTH = 300
GONE = "The process of this run is gone: it was killed, or the machine restarted."
SILENT = (
    "This run gave no sign of life for {s:.0f} s, so its pool slots were freed. Its process ({process}) ends itself if it "
    "continues; until then it may keep the run lock of its data directory and warehouse."
)

log = logging.getLogger(__name__)

# Steps of an in-process run print directly to the terminal. Dagster would otherwise use a file and two helper processes per step.
IN_PROCESS = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}


def prepare_home(settings: Settings) -> Path:
    """Prepare DAGSTER_HOME: folder, `dagster.yaml`, tables, pool limits. Safe to call from several processes.

    A file lock guards this, because two processes that create SQLite storage at the same time corrupt it. Raises InstanceError
    and WarehouseError.
    """
    home = settings.dagster_home
    for folder in (settings.data_dir, home):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / ".prepare.lock", mode=0o600):
        write_config(settings)
        if settings.dagster_postgres is not None:
            check_database(settings.dagster_postgres)
        with _opened(settings) as instance:
            if not settings.serves:
                _limit_pools(instance)
            instance.get_run_records(limit=1)
            instance.schedule_storage.all_instigator_state()  # type: ignore[union-attr]
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME, prepared, for runs in this process. Raises InstanceError and WarehouseError."""
    prepare_home(settings)
    with _opened(settings) as instance:
        yield instance


@contextmanager
def _opened(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with postgres_environment(settings), dg.DagsterInstance.from_ref(_reference(settings)) as instance:
        yield instance


def _reference(settings: Settings) -> InstanceRef:
    """The instance that `dagster.yaml` describes. Only the first line of Dagster's validation error is kept."""
    try:
        return InstanceRef.from_dir(str(settings.dagster_home), overrides={**IN_PROCESS, **_event_log(settings)})
    except (dg.DagsterError, CheckError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        wrong = next((line for line in lines if line.startswith("Error 1: ")), lines[0] if lines else "")
        why = wrong.removeprefix("Error 1: ").partition(" Expected: ")[0][:MAX_REASON_LENGTH].rstrip(".")
        raise InstanceError(
            f"{settings.dagster_home / CONFIG}: Dagster rejects it: {why}.", cure=f"Correct it. {REWRITTEN}"
        ) from None


def _event_log(settings: Settings) -> dict[str, Any]:
    """Our event log, where `dagster.yaml` is ours and its storage SQLite."""
    is_ours = settings.dagster_postgres is None and read_config(settings) is None
    return open_event_log(settings.dagster_home) if is_ours else {}


def mark_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Record that this process executes the run, by a lock and a tag. Called before the run's first step."""
    run_locks(instance).hold(run_id)
    mark = process_mark()
    if mark is not None and instance.has_run(run_id):
        instance.add_run_tags(run_id, {PROCESS_TAG: mark})


def end_dead_runs(instance: dg.DagsterInstance, rhythm: Rhythm = RHYTHM) -> list[str]:
    """Mark runs as failed that no live process executes, or that are silent, and free their pool slots. Returns their ids, sorted.

    A killed process cannot report its end, so its run would be in progress and hold its slot forever. Its lock is free at once.
    A process that is stopped, or a connection that the server still believes in, keeps the lock; its heartbeats stop. A silent
    run takes two calls, since the first one only suspects it (`Rhythm`).
    """
    storage = instance.event_log_storage
    # Read before the runs, so that a run that ends in between is seen as ended.
    claiming = set(storage.get_concurrency_run_ids())
    claiming |= {slot.run_id for info in storage.get_concurrency_infos(POOLS).values() for slot in info.claimed_slots}
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    on = {record.dagster_run.run_id: record for record in records}
    unmarked_since = datetime.now(UTC) - STARTS_WITHIN
    marks = {run_id: _own_mark(instance, record.dagster_run) for run_id, record in on.items()}
    suspects = {
        run_id
        for run_id, record in on.items()
        if (run_id in claiming or marks[run_id] or _should_be_marked(instance, record, unmarked_since))
        and not is_of_living_process(marks[run_id])
    }
    silent = _silent_runs(instance, rhythm)
    reasons = dict.fromkeys(_unlocked(instance, suspects - silent.keys()), GONE) | silent
    dead = {run_id for run_id in on.keys() & reasons.keys() if _fail(instance, run_id, reasons[run_id])}
    for run_id in dead | (claiming - on.keys()):
        storage.free_concurrency_slots_for_run(run_id)
    run_locks(instance).tidy(set(on))
    return sorted(dead)


def _unlocked(instance: dg.DagsterInstance, suspects: set[str]) -> set[str]:
    """Runs whose lock is free. Should a process come back that only had lost its connection, its next heartbeat ends it."""
    found = run_locks(instance).dead(suspects)
    for run_id in found:
        with suppress(DebituraError):  # heartbeats find out from the run's status, too
            heartbeats_of(instance).fail(run_id)
    return found


def _silent_runs(instance: dg.DagsterInstance, rhythm: Rhythm) -> dict[str, str]:
    """Runs that were failed for their silence, with the reason. Without heartbeats, locks alone tell."""
    if instance.is_ephemeral:
        return {}
    try:
        found = heartbeats_of(instance).fail_silent(rhythm)
    except DebituraError as error:
        log.warning("Silent runs cannot be found: %s", error)
        return {}
    return {row.run_id: SILENT.format(s=row.silent_s, process=row.where) for row in found}


def _own_mark(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """The run's process tag; None if it was copied from the run of which this one is a retry."""
    mark = run.tags.get(PROCESS_TAG)
    parent = instance.get_run_by_id(run.parent_run_id) if mark and run.parent_run_id else None
    return None if parent is not None and parent.tags.get(PROCESS_TAG) == mark else mark


def _should_be_marked(instance: dg.DagsterInstance, record: dg.RunRecord, since: datetime) -> bool:
    """Whether its process should have taken its lock by now. A run may wait on a queue for as long as workers are busy.

    Events are dated in seconds; the instants of a row depend on the time zone of the session that wrote it.
    """
    run = record.dagster_run
    if run.status is dg.DagsterRunStatus.STARTING and QUEUE_TAG in run.tags:
        return False
    stats = instance.get_run_stats(run.run_id)
    began = stats.start_time or stats.launch_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
    return began < since.timestamp()


def _fail(instance: dg.DagsterInstance, run_id: str, reason: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, reason)
    return True


def _limit_pools(instance: dg.DagsterInstance) -> None:
    limited = {limit.name for limit in instance.event_log_storage.get_pool_limits()}
    for pool in POOLS:
        if pool not in limited:
            instance.event_log_storage.set_concurrency_slots(pool, 1)


if __name__ == "__main__":  # to be run before Dagster's own programs are started by hand or by systemd
    prepare_home(load_common() if served_partners() else load_settings())
