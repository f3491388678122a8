"""Look after runs that wait on a queue: put a run there again if Redis has lost it, fail runs that nobody will take.

A run may wait for hours while all workers are busy. It is lost if Redis was restarted without its data, or if the worker that took
it was killed before the run's process had its lock. A run that is found missing twice is put again; should it not have been lost,
that does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.home import QUEUE_TAG
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.settings import WorkQueue, load_work_queue
from debitura_pipeline.work_queue.broker import no_worker, opened

INTERVAL_S = 30
LOOKED_AFTER = timedelta(seconds=60)  # its launch and the start of its process take less
UNHEARD_FOR = timedelta(seconds=120)  # a worker that is started again has as long


@dataclass
class Looks:
    """What earlier looks have found: since when nobody has listened on a queue, and the runs that were on none."""

    unheard: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def waiting_runs(instance: dg.DagsterInstance, now: datetime) -> dict[str, list[dg.DagsterRun]]:
    """Runs that have been on a queue for a while and that no process executes, by queue."""
    found: dict[str, list[dg.DagsterRun]] = {}
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
    for record in records:
        since = record.update_timestamp
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
        name = record.dagster_run.tags.get(QUEUE_TAG)
        if name and now - since >= LOOKED_AFTER:
            found.setdefault(name, []).append(record.dagster_run)
    dead = run_locks(instance).dead({run.run_id for runs in found.values() for run in runs})
    return {name: mine for name, runs in found.items() if (mine := [run for run in runs if run.run_id in dead])}


def look_after(instance: dg.DagsterInstance, queue: WorkQueue, before: Looks, now: datetime) -> tuple[Looks, list[str]]:
    """One look. Returns what is to be known at the next one, with a line for each run that was put again or failed."""
    found, lines = Looks(), list[str]()
    for name, runs in waiting_runs(instance, now).items():
        fault = _put_lost(queue, name, runs, before, found, lines)
        if fault is None:
            continue
        found.unheard[name] = before.unheard.get(name, now.isoformat())
        if now - datetime.fromisoformat(found.unheard[name]) >= UNHEARD_FOR:
            lines += _fail(instance, runs, str(fault))
    return found, lines


def _put_lost(
    queue: WorkQueue, name: str, runs: Iterable[dg.DagsterRun], before: Looks, found: Looks, lines: list[str]
) -> DebituraError | None:
    """Put again what was missing before, too. Returns why nobody will take the runs, if so."""
    try:
        with opened(queue, name) as broker:
            if not broker.has_worker():
                return no_worker(name)
            from debitura_pipeline.work_queue.app import TASK  # noqa: PLC0415 - Celery is optional

            there = broker.run_ids()
            for run in runs:
                if run.run_id in there:
                    continue
                if run.run_id not in before.missing:
                    found.missing.append(run.run_id)
                else:
                    broker.put(TASK, run.run_id)
                    lines.append(f"{run.run_id[:8]} put on queue {name} again")
    except DebituraError as error:
        return error
    return None


def _fail(instance: dg.DagsterInstance, runs: Iterable[dg.DagsterRun], reason: str) -> Iterable[str]:
    for run in runs:
        fresh = instance.get_run_by_id(run.run_id)
        if fresh is not None and fresh.status is dg.DagsterRunStatus.STARTING:
            instance.report_run_failed(fresh, reason)
            yield f"{run.run_id[:8]} failed"


@dg.sensor(
    name="waiting_for_workers",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Puts runs on their queue again that Redis has lost, and fails runs for which no worker listens.",
)
def waiting_for_workers(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One tick."""
    queue = load_work_queue()
    if queue is None:
        return dg.SkipReason("there is no queue for workers")
    before = Looks(**json.loads(context.cursor)) if context.cursor else Looks()
    found, lines = look_after(context.instance, queue, before, datetime.now(UTC))
    context.update_cursor(json.dumps(asdict(found)))
    return dg.SkipReason("; ".join(lines) or "every waiting run is on its queue")


def worker_sensors() -> list[dg.SensorDefinition]:
    """The sensor, where there is a queue for workers."""
    try:
        return [] if load_work_queue() is None else [waiting_for_workers]
    except DebituraError:  # what is wrong is said by whatever uses the setting
        return []
