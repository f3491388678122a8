"""Runs that fail under `debitura dev` are told once, with the reason and a link."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.errors import RefusedError
from debitura_pipeline.orchestration.failed_runs import FailedRuns


@dg.op
def refused() -> None:
    raise RefusedError("The key is refused.\nCheck DEBITURA_API_KEY.", 403)


@dg.job
def nightly() -> None:
    refused()


def test_a_failed_run_is_told_once_with_its_reason_and_link(instance: dg.DagsterInstance) -> None:
    """A night that fails unseen is found out a day later, by somebody who misses the numbers."""
    said: list[str] = []
    nightly.execute_in_process(instance=instance, raise_on_error=False)  # before: not ours to tell
    failures = FailedRuns(instance, "http://127.0.0.1:3000", datetime.now(UTC))
    step = nightly.execute_in_process(instance=instance, raise_on_error=False).run_id
    killed = instance.create_run_for_job(nightly, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(killed, "The process of this run is gone.")
    failures.report(said.append)
    failures.report(said.append)
    assert sorted(said) == sorted(
        [
            f"Run {step[:8]} of job nightly failed: The key is refused. Check DEBITURA_API_KEY. "
            f"http://127.0.0.1:3000/runs/{step}",
            f"Run {killed.run_id[:8]} of job nightly failed: The process of this run is gone. "
            f"http://127.0.0.1:3000/runs/{killed.run_id}",
        ]
    )
