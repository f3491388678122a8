"""What was loaded outside of a nightly run is published soon, once, and only after a good night."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import duckdb
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.jobs import NIGHTLY, REFRESH_REPORTS
from debitura_pipeline.orchestration.refresh_reports import (
    PAUSE,
    PAUSE_AFTER_FAILURE,
    Progress,
    read_refresh_progress,
    reason_to_wait,
)
from debitura_pipeline.settings import Settings
from tests.orchestration.ticks import Ticks
from tests.support.parsed import reuse_parse
from tests.support.sandbox import RunningSandbox

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
        (replace(DUE, last_run_at=NOW - PAUSE, has_failed=True), "next one starts"),
        (replace(DUE, last_run_at=NOW - PAUSE_AFTER_FAILURE, has_failed=True), None),
    ],
)
def test_when_reports_are_refreshed(progress: Progress, word: str | None) -> None:
    reason = reason_to_wait(progress, NOW)
    assert (reason is None) if word is None else (reason is not None and word in reason)


def run(instance: dg.DagsterInstance, job: str) -> None:
    assert defs.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False).success


def published_clients(settings: Settings) -> list[str]:
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as published:
        found = published.execute(
            "SELECT external_tenant_id FROM marts.dim_clients WHERE client_record <> 'unknown' ORDER BY 1"
        ).fetchall()
        return [name for (name,) in found]


def test_a_client_that_was_onboarded_reaches_the_published_copy(ticks: tuple[RunningSandbox, Ticks]) -> None:
    sandbox, daemon = ticks
    reuse_parse(daemon.settings)
    run(daemon.instance, NIGHTLY)
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert reason_to_wait(read_refresh_progress(daemon.instance), later) == "everything that was loaded is published"
    before = published_clients(daemon.settings)
    sandbox.admin("change", {"op": "add_client", "cases": 3, "transactions": 4})
    keys, _ = daemon.tick()
    assert daemon.run(*keys).success
    assert published_clients(daemon.settings) == before
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert reason_to_wait(read_refresh_progress(daemon.instance), later) is None
    run(daemon.instance, REFRESH_REPORTS)
    assert len(published_clients(daemon.settings)) == len(before) + 1
    assert reason_to_wait(read_refresh_progress(daemon.instance), later) == "everything that was loaded is published"


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
