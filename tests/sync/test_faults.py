"""What goes wrong on the wire, over real HTTP: it is survived with the warehouse equal to the world, or ends cleanly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.errors import RateLimitExhausted, ShapeError, TransientApiError
from debitura_pipeline.extract import calendar_parts
from debitura_pipeline.landing.landing_zone import sync_folders
from tests.support.command import debitura
from tests.support.day import of_the_day
from tests.support.mirror import assert_mirrors
from tests.support.outside import JumpingClock
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

LISTS = ("/clients", "/cases", "/reporting/transactions")
SHORT = Timeouts(connect=5, read=1.0, whole=20)


@pytest.fixture(scope="module")
def served() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=6, cases=320, transactions=450, seed=7, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture
def sandbox(served: RunningSandbox) -> Iterator[RunningSandbox]:
    yield served
    served.faults()
    served.admin("log", method="DELETE")


REFUSALS = ["500", "502", "503", "504"]
SURVIVED: dict[str, dict[str, Any]] = {
    "truncated body": {"kind": "truncate"},
    "reset connection": {"kind": "reset"},
    "500": {"kind": "status", "status": 500},
    "502": {"kind": "status", "status": 502},
    "503": {"kind": "status", "status": 503},
    "504": {"kind": "status", "status": 504},
    "HTML with status 200": {"kind": "html"},
    "no rows where some are announced": {"kind": "null_rows"},
    "429 with the wait in the body": {"kind": "rate_limited", "retry_after": 7.5},
    "stalled halfway": {"kind": "stall", "delay_s": 60.0},
}


@pytest.mark.parametrize(
    "fault", [*of_the_day(REFUSALS), *of_the_day([name for name in SURVIVED if name not in REFUSALS], 2)]
)
def test_a_passing_fault_on_each_listing_is_survived(sandbox: RunningSandbox, tmp_path: Path, fault: str) -> None:
    """Both on a first page, which decides what else is read, and on a later one."""
    pipeline, clock = Pipeline(tmp_path / "data", sandbox), JumpingClock()
    rules = [{**SURVIVED[fault], "path": path} for path in LISTS]
    sandbox.faults(*rules, {**SURVIVED[fault], "path": "/cases", "query": "FromDate=", "nth": 2})
    reports = pipeline.sync(runtime=clock.runtime(SHORT))
    assert_mirrors(pipeline)
    assert [report.verdict for report in reports] == ["equal"] * 3
    assert sum(report.retries for report in reports) == 4
    assert sandbox.log()[f"fault {SURVIVED[fault]['kind']}"] == 4
    if fault.startswith("429"):
        assert sum(clock.slept) >= 4 * 7.4, "as long as the body asked for, each time"


def test_many_kinds_at_once(sandbox: RunningSandbox, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "data", sandbox)
    kinds: list[dict[str, Any]] = [
        {"kind": "truncate"},
        {"kind": "reset"},
        {"kind": "status", "status": 503},
        {"kind": "html"},
    ]
    sandbox.faults(*({**kind, "nth": nth} for nth, kind in enumerate(kinds, start=2)))
    pipeline.sync(runtime=JumpingClock().runtime())
    assert_mirrors(pipeline)


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    of_the_day([({"kind": "null_rows"}, ShapeError, 2), ({"kind": "html"}, TransientApiError, 6)]),
)
def test_rows_that_stay_away_are_an_error_and_never_an_empty_list(
    sandbox: RunningSandbox, tmp_path: Path, fault: dict[str, Any], error: type[Exception], tries: int
) -> None:
    """Taken for an empty page, this would mark every case deleted."""
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync()
    before = pipeline.state()
    sandbox.faults({**fault, "path": "/cases", "times": 0})
    with pytest.raises(error, match=f"Tried {tries} times"):
        pipeline.sync("cases", allow_shrink=True, runtime=JumpingClock().runtime())
    assert pipeline.state() == before
    assert pipeline.rows("SELECT status FROM ops.syncs ORDER BY as_of DESC LIMIT 1") == [("failed",)]
    sandbox.faults()
    pipeline.sync("cases")
    assert_mirrors(pipeline)


def test_a_429_for_two_hours_ends_cleanly_and_the_next_start_goes_on_from_there(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was landed before the wait is not asked for again: requests are what ran out."""
    sandbox = sandbox_factory(cases=1_600)
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", 60)
    undisturbed = Pipeline(tmp_path / "undisturbed", sandbox)
    needed = undisturbed.sync("cases")[0].requests
    pipeline, clock = Pipeline(tmp_path / "data", sandbox), JumpingClock()
    sandbox.faults({"kind": "rate_limited", "retry_after": 7_200, "path": "/cases", "nth": needed * 2 // 3, "times": 0})
    asked_at = clock.now()
    with pytest.raises(RateLimitExhausted, match=r"used up until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC") as spent:
        pipeline.sync("cases", runtime=clock.runtime())
    assert clock.slept == [], "nobody waits for two hours"
    assert spent.value.resume_at is not None
    assert timedelta(0) <= spent.value.resume_at - asked_at - timedelta(hours=2) < timedelta(minutes=1)
    landed = windows_of(pipeline)
    assert landed > 3
    sandbox.faults()
    sandbox.admin("log", method="DELETE")
    pipeline.sync("cases", runtime=clock.runtime())
    assert 0 < sandbox.log()["GET /cases"] < needed, "what was landed is not asked for again"
    assert pipeline.state() == undisturbed.state()
    assert len(list(sync_folders(pipeline.settings.landing_dir, "cases"))) == 1


def windows_of(pipeline: Pipeline) -> int:
    """Windows landed so far for which a request was asked."""
    return sum(line.rows > 0 for line in next(sync_folders(pipeline.settings.landing_dir, "cases")).windows)


def test_a_refused_key_ends_with_one_clear_line_and_status_1(sandbox: RunningSandbox, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "data", sandbox)
    said = debitura("sync", env={**pipeline.env, "DEBITURA_API_KEY": "not-the-key-3141592"})
    assert said.status == 1
    assert "HTTP 401" in said.error_line
    assert "check DEBITURA_API_KEY" in said.error_line
    assert "3141592" not in said.err + said.out


def test_a_key_refused_halfway_leaves_what_was_merged_and_says_so_in_ops(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path / "data", sandbox)
    sandbox.faults({"kind": "status", "status": 401, "path": "/cases", "times": 0})
    said = debitura("sync", env=pipeline.env)
    assert said.status == 1
    assert "HTTP 401" in said.error_line
    assert_mirrors(pipeline, "clients", "transactions")
    status = dict(pipeline.rows("SELECT resource, status FROM ops.syncs"))
    assert status == {"clients": "done", "transactions": "done", "cases": "failed"}


def test_filter_that_the_api_refuses_makes_a_night_read_everything(tmp_path: Path, sandbox: RunningSandbox) -> None:
    """Not every deployment need know each state, and every night failed."""
    pipeline = Pipeline(tmp_path, sandbox)
    pipeline.sync()
    sandbox.faults({"kind": "status", "status": 400, "path": "/cases", "query": "Statuses=Merged", "times": 0})
    report = pipeline.sync("cases", small_requests=1)[0]
    assert (report.mode, report.is_proven) == ("full", True)
    assert_mirrors(pipeline, "cases")
