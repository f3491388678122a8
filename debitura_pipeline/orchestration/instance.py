"""Dagster's own instance: its folder, its `dagster.yaml`, its first start, and what a killed process left behind.

Belongs here: opening it, and the run records of processes that no longer live. Does not: jobs and assets, what can be told
without Dagster (`home.py`). Called by `nightly.py`, `dev.py` and the tests. With DAGSTER_POSTGRES_URL its `dagster.yaml` is
`deploy/dagster.yaml`, which names the variable and not the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster_shared.check.functions import CheckError
from filelock import FileLock

from debitura_pipeline.orchestration.home import (
    CONFIG,
    PROCESS_TAG,
    REWRITTEN,
    InstanceError,
    check_database,
    is_of_living_process,
    postgres_environment,
    process_mark,
    write_config,
)
from debitura_pipeline.orchestration.liveness import lives_of
from debitura_pipeline.orchestration.pools import POOLS
from debitura_pipeline.settings import Settings, load_settings

# From a run's start to its process's first word; the daemon gives up on one after five minutes.
STARTS_WITHIN = timedelta(minutes=10)

LONGEST_REASON = 300

# SHA-256 of what earlier versions wrote as `dagster.yaml`: unchanged, it is replaced by today's.
EARLIER = {
    "5f1a0ca9963fec66029ecfd1af827978449da9bd7c9c5ad88b188ec3abd7d8e7",  # before run_retries
    "d7e0dbf16246369861ee67350adeca45e7af532cf1fc923aacfb31bad9b7d196",  # the same on Postgres
}

# Steps of an in-process run print to the terminal directly: Dagster would otherwise pass their output through a file
# and two helper processes per step.
IN_PROCESS = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}


def prepare_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME ready: folder, `dagster.yaml` where absent, tables, pool limits. Safe side by side.

    Two processes that open fresh SQLite storage at once break each other, hence the lock around the first opening.
    """
    home = settings.dagster_home
    for folder in (settings.data_dir, home):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / ".prepare.lock", mode=0o600):
        write_config(settings)
        if settings.dagster_postgres is not None:
            check_database(settings.dagster_postgres)
        with _opened(settings) as instance:
            _limit_pools(instance)
            instance.get_run_records(limit=1)
            instance.schedule_storage.all_instigator_state()  # type: ignore[union-attr]
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME, prepared, for runs inside this process."""
    prepare_home(settings)
    with _opened(settings) as instance:
        yield instance


@contextmanager
def _opened(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with postgres_environment(settings), dg.DagsterInstance.from_ref(_reference(settings)) as instance:
        yield instance


def _reference(settings: Settings) -> InstanceRef:
    """What `dagster.yaml` asks for. Dagster's own words on it list all that it would take; the first line says what is wrong."""
    try:
        return InstanceRef.from_dir(str(settings.dagster_home), overrides=IN_PROCESS)
    except (dg.DagsterError, CheckError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        wrong = next((line for line in lines if line.startswith("Error 1: ")), lines[0] if lines else "")
        why = wrong.removeprefix("Error 1: ").partition(" Expected: ")[0][:LONGEST_REASON].rstrip(".")
        raise InstanceError(
            f"{settings.dagster_home / CONFIG}: Dagster does not take it: {why}.", cure=f"Correct it. {REWRITTEN}"
        ) from None


def mark_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """This process executes the run: held as long as it lives, and written down for people. Called before its first step."""
    lives_of(instance).hold(run_id)
    mark = process_mark()
    if mark is not None and instance.has_run(run_id):
        instance.add_run_tags(run_id, {PROCESS_TAG: mark})


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed that no living process executes, and free pool slots that no such run has; returns their ids.

    A killed process cannot say that it ended: its run would stay on, and its slot taken, for ever.
    """
    storage = instance.event_log_storage
    claiming = set(storage.get_concurrency_run_ids())  # before the runs: one that ends meanwhile is then seen as ended
    claiming |= {slot.run_id for info in storage.get_concurrency_infos(POOLS).values() for slot in info.claimed_slots}
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES))
    on = {record.dagster_run.run_id: record for record in records}
    unmarked_since = datetime.now(UTC) - STARTS_WITHIN
    marks = {run_id: _own_mark(instance, record.dagster_run) for run_id, record in on.items()}
    suspects = {
        run_id
        for run_id, record in on.items()
        if (run_id in claiming or marks[run_id] or _aware(record.update_timestamp) < unmarked_since)
        and not is_of_living_process(marks[run_id])
    }
    dead = {run_id for run_id in lives_of(instance).dead(suspects) if _fail(instance, run_id)}
    for run_id in dead | (claiming - on.keys()):
        storage.free_concurrency_slots_for_run(run_id)
    lives_of(instance).tidy(set(on))
    return sorted(dead)


def _own_mark(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """The run's mark; a retry begins with the tags of the run before it, whose process is gone."""
    mark = run.tags.get(PROCESS_TAG)
    parent = instance.get_run_by_id(run.parent_run_id) if mark and run.parent_run_id else None
    return None if parent is not None and parent.tags.get(PROCESS_TAG) == mark else mark


def _fail(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, "The process of this run is gone: it was killed, or the machine restarted.")
    return True


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _limit_pools(instance: dg.DagsterInstance) -> None:
    limited = {limit.name for limit in instance.event_log_storage.get_pool_limits()}
    for pool in POOLS:
        if pool not in limited:
            instance.event_log_storage.set_concurrency_slots(pool, 1)


if __name__ == "__main__":  # before Dagster's own programs are started by hand, or by systemd
    prepare_home(load_settings())
