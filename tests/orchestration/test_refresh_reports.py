"""What was loaded outside of a nightly run is published soon, once, and only after a good night: when that is due.

That it then reaches the published copy is shown in `test_nightly.py`, after the night there.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.jobs import NIGHTLY, REFRESH_REPORTS
from debitura_pipeline.orchestration.refresh_reports import (
    LONG_PAUSE,
    PAUSE,
    Progress,
    read_refresh_progress,
    reason_to_wait,
)

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
DUE = Progress(loaded_at=NOW - timedelta(minutes=2), published_at=NOW - timedelta(hours=10))


@pytest.mark.parametrize(
    ("progress", "word"),
    [
        (DUE, None),
        (replace(DUE, published_at=None), "first nightly"),
        (replace(DUE, loaded_at=None), "is published"),
        (replace(DUE, loaded_at=NOW - timedelta(hours=11)), "is published"),
        (replace(DUE, loaded_at=NOW - timedelta(seconds=59)), "last minute"),
        (replace(DUE, has_good_night=False), "failed"),
        (replace(DUE, busy=NIGHTLY), NIGHTLY),
        (replace(DUE, last_run_at=NOW - PAUSE + timedelta(seconds=1)), "next one starts"),
        (replace(DUE, last_run_at=NOW - PAUSE), None),
        (replace(DUE, last_run_at=NOW - PAUSE + timedelta(seconds=1), failures=1), "next one starts"),
        (replace(DUE, last_run_at=NOW - PAUSE, failures=1), None),
        (replace(DUE, last_run_at=NOW - PAUSE, failures=2), "next one starts"),
        (replace(DUE, last_run_at=NOW - LONG_PAUSE, failures=2), None),
    ],
)
def test_when_reports_are_refreshed(progress: Progress, word: str | None) -> None:
    reason = reason_to_wait(progress, NOW)
    assert (reason is None) if word is None else (reason is not None and word in reason)


def test_failures_are_counted_as_long_as_no_run_succeeds() -> None:
    """One killed run is tried again soon; if all fail, there is an hour between them."""
    done, failed, canceled = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
    counted = []
    with dg.DagsterInstance.ephemeral() as instance:
        assert read_refresh_progress(instance).last_run_at is None
        for status in (done, failed, failed, canceled, done, failed):
            instance.add_run(dg.DagsterRun(job_name=REFRESH_REPORTS, run_id=str(uuid.uuid4()), status=status))
            instance.add_run(dg.DagsterRun(job_name=NIGHTLY, run_id=str(uuid.uuid4()), status=done))
            counted.append(read_refresh_progress(instance).failures)
    assert counted == [0, 1, 2, 2, 0, 1]


def test_the_checks_that_stop_a_night_run_before_the_models() -> None:
    """A total that differs is not published in the middle of the day either."""
    inputs = defs.resolve_job_def(REFRESH_REPORTS).dependencies
    upstream = {
        output.node
        for node, sources in inputs.items()
        if node.name == "dbt_build"
        for source in sources.values()
        for output in source.get_node_dependencies()
    }
    assert "checks_of_transactions" in upstream
