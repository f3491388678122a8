"""When jobs start by themselves. UTC, as everything else."""

from __future__ import annotations

import dagster as dg

from debitura_pipeline.orchestration.jobs import freshness, nightly
from debitura_pipeline.orchestration.retries import retry_tags


def _tonight(_: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The settings are read at each tick, so that a change takes effect without a restart of the schedule."""
    return dg.RunRequest(tags=retry_tags())


nightly_schedule = dg.ScheduleDefinition(
    name="nightly_schedule",
    job=nightly,
    cron_schedule="0 2 * * *",
    execution_timezone="UTC",
    execution_fn=_tonight,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 02:00 UTC.",
)

# Six hours later a nightly run is done, or something is wrong.
freshness_schedule = dg.ScheduleDefinition(
    name="freshness_schedule",
    job=freshness,
    cron_schedule="0 8 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning at 08:00 UTC: was everything read and published last night?",
)

schedules = [nightly_schedule, freshness_schedule]
