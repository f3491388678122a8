"""Whose clock a sync goes by, and that a wrong one, once, keeps no later sync from running and hides no row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.sync import replay, sync, verify
from debitura_pipeline.sync.clock import after, after_all_syncs, sync_clock
from tests.support.day import of_the_day
from tests.support.mirror import assert_mirrors
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

NOW = datetime(2026, 5, 1, 2, 0, tzinfo=UTC)
YEARS = timedelta(days=3650)


@pytest.mark.parametrize(
    ("skew", "is_simulated", "believed", "told"),
    [
        (timedelta(seconds=2), False, True, ""),
        (timedelta(hours=-7), False, True, "the API's is used"),
        (timedelta(hours=23), False, True, "the API's is used"),
        (timedelta(days=3), False, False, "this machine's is used"),
        (-YEARS, False, False, "this machine's is used"),
        (YEARS, True, True, ""),
    ],
    ids=str,
)
def test_the_api_is_believed_within_a_day(skew: timedelta, is_simulated: bool, believed: bool, told: str) -> None:
    clock = sync_clock(NOW + skew, NOW, lambda: 5.0, is_simulated=is_simulated)
    assert clock.now() == (NOW + skew if believed else NOW)
    assert told in (clock.message or "") and bool(told) == bool(clock.message)
    assert clock.latest() >= clock.now()
    assert believed or clock.latest() >= NOW + max(skew, timedelta(0)), "rows of the API's own days are not left out"


def test_without_a_dated_answer_the_machine_counts() -> None:
    clock = sync_clock(None, NOW, lambda: 5.0, is_simulated=False)
    assert (clock.now(), clock.message) == (NOW, None)


def test_instants_go_up_whatever_the_clocks_did() -> None:
    assert after(NOW, None) == (NOW, None)
    assert after(NOW, NOW - timedelta(days=1)) == (NOW, None)
    assert after(NOW, NOW) == (NOW + timedelta(microseconds=1), None)
    at, told = after(NOW, NOW + YEARS)
    assert at == NOW + YEARS + timedelta(microseconds=1)
    assert told is not None and "ahead of now" in told


Night = Callable[..., None]


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> Night:
    """`night(pipeline, header=…)`: one sync whose API's `Date` is off from the machine's clock by that much."""

    def run(pipeline: Pipeline, *, header: timedelta, is_simulated: bool = False, small: int = 200) -> None:
        now = datetime.now(UTC)
        monkeypatch.setattr(ApiClient, "server_time", property(lambda _: now + header))
        endpoint = replace(pipeline.endpoint, is_simulated=is_simulated)
        sync(pipeline.settings, endpoint, runtime=Runtime(now=lambda: now), small_requests=small)

    return run


@pytest.mark.parametrize("days", of_the_day([400, -400]))
def test_a_simulated_world_in_other_years_loses_no_row(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, night: Night, days: int
) -> None:
    """Its `Date` is its own and true of its rows; taken for a real API it is not believed, and yet all of it is read."""
    sandbox = sandbox_factory(cases=60, transactions=60, start=f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}")
    pipeline = Pipeline(tmp_path / "data", sandbox)
    for small in (200, 1):
        night(pipeline, header=timedelta(days=days), small=small)
        assert_mirrors(pipeline)
        sandbox.admin("advance", {"days": 1})


@pytest.mark.parametrize(
    ("wrong", "is_simulated", "small"),
    of_the_day([(YEARS, False, 200), (timedelta(days=3), True, 200), (YEARS, True, 1), (-YEARS, True, 1)], 2),
    ids=str,
)
def test_a_wrong_clock_once_stops_nothing_and_hides_nothing(
    sandbox_factory: Callable[..., RunningSandbox],
    tmp_path: Path,
    night: Night,
    wrong: timedelta,
    small: int,
    is_simulated: bool,
) -> None:
    sandbox = sandbox_factory(cases=60, transactions=60, start=f"{datetime.now(UTC) - timedelta(days=40):%Y-%m-%d}")
    pipeline = Pipeline(tmp_path / "data", sandbox)
    for header in (timedelta(0), wrong, timedelta(0)):
        night(pipeline, header=header, small=small, is_simulated=is_simulated)
        if (
            header >= timedelta(0) or not is_simulated
        ):  # one that is believed and lags leaves the newest rows to the next night
            assert_mirrors(pipeline)
        sandbox.admin("advance", {"days": 2})
    now = datetime.now(UTC)
    if not is_simulated:
        assert pipeline.rows("SELECT max(as_of) <= CAST($1 AS TIMESTAMPTZ) FROM ops.syncs", (now,)) == [(True,)]
        messages = pipeline.rows("SELECT message FROM ops.syncs WHERE message LIKE '%this machine''s is used%'")
        assert len(messages) == 3, "one per resource"
    assert pipeline.rows("SELECT count(*) FROM ops.syncs WHERE status = 'done'") == [(9,)]
    for resource in ("clients", "cases", "transactions"):
        inverted = f"SELECT count(*) FROM raw.{resource}_history WHERE _valid_to < _valid_from"
        assert pipeline.rows(inverted) == [(0,)]
    before = pipeline.state()
    replay(pipeline.settings)
    assert pipeline.state() == before
    assert not [finding for finding in verify(pipeline.settings) if finding.faults]


@pytest.mark.parametrize(
    ("behind", "moved"), [("0.2", True), ("0", True), ("1.9", True), ("2.5", False), ("-0.1", False), ("86400", False)]
)
def test_a_sync_is_dated_after_the_one_that_was_merged_a_moment_before(behind: str, moved: bool) -> None:
    """Whole seconds in a Date header: clients read first could seem to be read after the cases of the same night."""
    others = datetime(2026, 3, 1, 2, tzinfo=UTC)
    at = others - timedelta(seconds=float(behind))
    found = after_all_syncs(at, others)
    assert found == (others + timedelta(microseconds=1) if moved else at)
    assert after_all_syncs(at, None) == at
