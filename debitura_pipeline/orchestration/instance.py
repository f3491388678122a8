"""Dagster's own instance: its folder, its `dagster.yaml`, its first start, and what a killed process left behind.

Belongs here: DAGSTER_HOME and the run records of processes that no longer live. Does not: jobs and assets. Called by
`nightly.py`, `dev.py` and the tests. A `dagster.yaml` that somebody has changed is left as it is. With DAGSTER_POSTGRES_URL
it is `deploy/dagster.yaml`, which names the variable and not the address.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from filelock import FileLock

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.liveness import lives_of
from debitura_pipeline.orchestration.pools import POOLS
from debitura_pipeline.settings import PROJECT_ROOT, Secret, Settings, load_settings

# The process that executes a run, for people: `<host>:<pid>:<its start, in ticks since boot>`. Whether it lives is not seen
# by that (a container's next start has another host name) but by the lock that it holds (`liveness.py`).
PROCESS_TAG = "debitura/process"
# From a run's start to its process's first word; the daemon gives up on one after five minutes.
STARTS_WITHIN = timedelta(minutes=10)

TEMPLATE = """\
# Dagster's instance for the pipeline. Written once; yours to change. Storage is SQLite beside this file.
telemetry:
  enabled: false
nux:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config:  # a run whose turn comes while the code server is being started again goes back into the queue
    max_user_code_failure_retries: 30
    user_code_failure_retry_delay: 10
concurrency:
  runs:
    max_concurrent_runs: 3  # each is a process of its own
  pools:
    default_limit: 1  # `warehouse` and `debitura_api`: one step at a time
    granularity: op
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 30
run_retries:
  enabled: true
  max_retries: 0  # a run asks for more by its tag dagster/max_retries, as the scheduled night does (DEBITURA_RUN_RETRIES)
retention:  # in days; the sensor ticks every half minute
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
schedules:
  use_threads: true
  num_workers: 2
sensors:
  use_threads: true
  num_workers: 2
"""

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


POSTGRES_VARIABLE = "DAGSTER_POSTGRES_URL"
POSTGRES_TEMPLATE = PROJECT_ROOT / "deploy" / "dagster.yaml"


class InstanceError(DebituraError):
    """Dagster's instance cannot be what the settings ask for."""


def prepare_home(settings: Settings) -> Path:
    """Make DAGSTER_HOME ready: folder, `dagster.yaml` where absent, tables, pool limits. Safe side by side.

    Two processes that open fresh SQLite storage at once break each other, hence the lock around the first opening.
    """
    home = settings.dagster_home
    for folder in (settings.data_dir, home):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(home / ".prepare.lock", mode=0o600):
        _write_config(settings, home / "dagster.yaml")
        with (
            postgres_environment(settings),
            dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=IN_PROCESS)) as instance,
        ):
            _limit_pools(instance)
            instance.get_run_records(limit=1)
            instance.schedule_storage.all_instigator_state()  # type: ignore[union-attr]
    return home


@contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance in DAGSTER_HOME, prepared, for runs inside this process."""
    home = prepare_home(settings)
    with (
        postgres_environment(settings),
        dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=IN_PROCESS)) as instance,
    ):
        yield instance


@contextmanager
def postgres_environment(settings: Settings) -> Iterator[None]:
    """DAGSTER_POSTGRES_URL where Dagster looks for it: in the environment, also when it was read from `.env`."""
    if settings.dagster_postgres is None:
        yield
        return
    before = os.environ.get(POSTGRES_VARIABLE)
    os.environ[POSTGRES_VARIABLE] = dagster_url(settings.dagster_postgres)
    try:
        yield
    finally:
        if before is None:
            del os.environ[POSTGRES_VARIABLE]
        else:
            os.environ[POSTGRES_VARIABLE] = before


def dagster_url(url: Secret) -> str:
    """The address as Dagster's library wants it spelled."""
    return "postgresql://" + url.reveal().partition("://")[2]


def process_mark(pid: int | None = None) -> str | None:
    """Value of PROCESS_TAG for process `pid` (default: this one); None where there is no such process, or only its exit
    status, which nobody has asked for."""
    pid = os.getpid() if pid is None else pid
    started = "0"
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            facts = stat.read_text().rpartition(")")[2].split()
            if facts[0] in "ZX":
                return None
            started = facts[19]
    except ProcessLookupError:
        return None
    except OSError:  # another user's process: it lives, and it is none of ours
        pass
    return f"{socket.gethostname()}:{pid}:{started}"


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
        and not _is_of_living_process(marks[run_id])
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


def _is_of_living_process(mark: str | None) -> bool:
    """Whether a mark names a process that lives on this machine; of another host's nothing is known by that."""
    pid = (mark or "").split(":")[1:2]
    return bool(pid) and pid[0].isdecimal() and process_mark(int(pid[0])) == mark


def _fail(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return False
    instance.report_run_failed(run, "The process of this run is gone: it was killed, or the machine restarted.")
    return True


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _write_config(settings: Settings, config: Path) -> None:
    on_postgres = POSTGRES_TEMPLATE.read_text()
    wanted = TEMPLATE if settings.dagster_postgres is None else on_postgres
    found = config.read_text() if config.exists() else None
    if found in (None, TEMPLATE, on_postgres) or hashlib.sha256(found.encode()).hexdigest() in EARLIER:
        if found != wanted:
            _write_private(config, wanted)
    elif settings.dagster_postgres is not None and POSTGRES_VARIABLE not in found:
        raise InstanceError(
            f"{POSTGRES_VARIABLE} is set, and {config}, which was changed by hand, does not use it. Add the part `storage` "
            "of deploy/dagster.yaml to it, or remove the file."
        )


def _limit_pools(instance: dg.DagsterInstance) -> None:
    limited = {limit.name for limit in instance.event_log_storage.get_pool_limits()}
    for pool in POOLS:
        if pool not in limited:
            instance.event_log_storage.set_concurrency_slots(pool, 1)


def _write_private(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    draft.replace(path)


if __name__ == "__main__":  # before Dagster's own programs are started by hand, or by systemd
    prepare_home(load_settings())
