"""The schedule means what Dagster's scheduler takes it for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import hours_later, load_settings, next_due

START = datetime(2026, 1, 1, tzinfo=UTC)


def fields(limit: int) -> st.SearchStrategy[str]:
    number = st.integers(0, limit - 1)
    span = st.sets(number, min_size=2, max_size=2).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.integers(1, limit)
    part = st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step.map(lambda every: f"*/{every}"),
        st.tuples(st.integers(0, limit - 2), step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.tuples(span, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )
    return st.lists(part, min_size=1, max_size=3).map(",".join)


INSTANTS = st.integers(0, 366 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes, seconds=minutes % 60))


@settings(max_examples=60)
@given(fields(60), fields(24), INSTANTS)
def test_the_next_run_is_when_dagster_starts_it(minute: str, hour: str, now: datetime) -> None:
    schedule = f"{minute} {hour} * * *"
    ticks = schedule_execution_time_iterator(now.timestamp(), schedule, "UTC", ascending=True)
    expected = next(tick for tick in ticks if tick > now)
    assert next_due(schedule, now) == expected
    assert load_settings({"DEBITURA_SCHEDULE": schedule}, Path()).schedule == schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 2 * *", "five fields"),
        ("@daily", "five fields"),
        ("0 2 1 * *", "does not run every day"),
        ("0 2 * * 1-5", "does not run every day"),
        ("60 2 * * *", "the minute is outside 0 to 59"),
        ("0 24 * * *", "the hour is outside 0 to 23"),
        ("0 5-2 * * *", "the hour is outside"),
        ("0 5-5 * * *", "the hour has a range of one value"),
        ("0 23/1 * * *", "the hour has a range of one value"),
        ("*/0 2 * * *", "the minute is not a number"),
        ("a 2 * * *", "the minute is not a number"),
        ("-1 2 * * *", "the minute is not a number"),
        ("1, 2 * * *", "the minute is not a number"),
    ],
)
def test_what_does_not_run_every_day_is_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"^DEBITURA_SCHEDULE .*{words}.* Example: DEBITURA_SCHEDULE=0 2"):
        load_settings({"DEBITURA_SCHEDULE": text}, Path())


def test_freshness_is_checked_six_hours_later() -> None:
    assert hours_later("0 2 * * *", 6) == "0 8 * * *"
    assert hours_later("30 20,6 * * *", 6) == "30 12 * * *"
    assert hours_later("15 23 * * *", 6) == "15 5 * * *"


def test_runs_of_a_day_follow_each_other() -> None:
    now = datetime(2026, 11, 27, 1, 59, tzinfo=UTC)
    runs = [now]
    while len(runs) < 5:
        runs.append(next_due("0 2,14 * * *", runs[-1]))
    assert {later - earlier for earlier, later in pairwise(runs[1:])} == {timedelta(hours=12)}
