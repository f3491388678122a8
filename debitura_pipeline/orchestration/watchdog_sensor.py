"""The sensor that fails runs of dead processes and silent runs, whatever engine executes them. Needs no settings and no API."""

from __future__ import annotations

import dagster as dg

from debitura_pipeline.orchestration.instance import end_dead_runs

INTERVAL_S = 30  # a run that is silent for 90 s is failed 30 s later at the latest


@dg.sensor(
    name="watchdog",
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs whose process is dead or has given no sign of life for 90 seconds. Requests no runs.",
)
def watchdog(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """One tick."""
    ended = end_dead_runs(context.instance)
    return dg.SkipReason(f"failed: {', '.join(run_id[:8] for run_id in ended)}" if ended else "every run is alive")
