"""Rebuild and publish the reports soon after data was loaded outside of a nightly run, by onboarding or an event.

The sensor compares states and keeps no cursor: what was loaded last, what was published last, and what is running.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord

from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, REFRESH_REPORTS, refresh_reports
from debitura_pipeline.orchestration.keys import PUBLISHED, RAW
from debitura_pipeline.orchestration.partner_view import Instance

QUIET = timedelta(minutes=1)  # more clients or events often follow
PAUSE = timedelta(
    minutes=10
)  # between the starts of two runs, also if the first one failed: a killed run says nothing of the data
LONG_PAUSE = timedelta(hours=1)  # once so many have failed in a row: the next one is likely to fail, too
MAX_FAILURES = 2
DONE = dg.DagsterRunStatus.SUCCESS


@dataclass(frozen=True)
class Progress:
    """What the sensor goes by; instants are aware UTC, None if there was none yet.

    `loaded_at`: the last load outside of nightly runs. `busy`: job of a run that is queued or running. `has_good_night`: the last
    nightly run succeeded. `last_run_at`: the last run of job `refresh_reports`. `failures`: how many of them have failed in a row,
    counted up to MAX_FAILURES.
    """

    loaded_at: datetime | None
    published_at: datetime | None
    busy: str | None = None
    has_good_night: bool = True
    last_run_at: datetime | None = None
    failures: int = 0


def reason_to_wait(progress: Progress, now: datetime) -> str | None:
    """Why no run is requested now; None if one is. Pure."""
    loaded_at, published_at = progress.loaded_at, progress.published_at
    if published_at is None:
        return "nothing is published yet; the first nightly run does that"
    if loaded_at is None or loaded_at <= published_at:
        return "everything that was loaded is published"
    if not progress.has_good_night:
        return "the last nightly run failed; the next one publishes what was loaded since"
    if progress.busy is not None:
        return f"job {progress.busy} is queued or running"
    if now < loaded_at + QUIET:
        return "data was loaded within the last minute"
    pause = LONG_PAUSE if progress.failures >= MAX_FAILURES else PAUSE
    if progress.last_run_at is not None and now < progress.last_run_at + pause:
        return f"the last run started at {progress.last_run_at:%H:%M:%S} UTC; the next one starts {pause} later"
    return None


def read_refresh_progress(instance: Instance) -> Progress:
    """The progress as Dagster's event log and run records tell it; never opens the warehouse."""
    active = instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    busy = next((record.dagster_run.job_name for record in active if record.dagster_run.job_name != FRESHNESS), None)
    last = _last_runs(instance, REFRESH_REPORTS, MAX_FAILURES)
    nights = _last_runs(instance, NIGHTLY, 1)
    return Progress(
        loaded_at=_loaded_at(instance),
        published_at=_materialized_at(instance, PUBLISHED),
        busy=busy,
        has_good_night=not any(map(_has_failed, nights)),
        last_run_at=last[0].create_timestamp if last else None,
        failures=len(list(takewhile(_has_failed, last))),
    )


def _loaded_at(instance: Instance) -> datetime | None:
    """The newest load of a raw table by another job than the nightly one."""
    found = []
    for key in RAW.values():
        event = instance.get_latest_materialization_event(key)
        run = instance.get_run_by_id(event.run_id) if event is not None else None
        if event is not None and run is not None and run.job_name != NIGHTLY:
            found.append(datetime.fromtimestamp(event.timestamp, UTC))
    return max(found, default=None)


def _materialized_at(instance: Instance, key: dg.AssetKey) -> datetime | None:
    event = instance.get_latest_materialization_event(key)
    return datetime.fromtimestamp(event.timestamp, UTC) if event is not None else None


def _last_runs(instance: Instance, job: str, count: int) -> list[RunRecord]:
    """The newest first."""
    return list(instance.get_run_records(dg.RunsFilter(job_name=job), limit=count))


def _has_failed(record: RunRecord) -> bool:
    return record.dagster_run.status is not DONE


@dg.sensor(
    name="reports_outdated",
    job=refresh_reports,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Rebuilds and publishes the reports a minute after clients or events were loaded, every ten minutes at most.",
)
def reports_outdated(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One tick."""
    reason = reason_to_wait(read_refresh_progress(context.instance), datetime.now(UTC))
    return dg.RunRequest() if reason is None else dg.SkipReason(reason)
