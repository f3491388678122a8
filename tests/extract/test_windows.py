"""Windows cover the listing without a gap, however they are split."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debitura_pipeline.contract.listings import CASES
from debitura_pipeline.extract.windows import OVERLAP, Slice, Window

UPPER = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2026, 1, 5), timezones=st.just(UTC))  # noqa: DTZ001


def assert_covers(whole: Window, parts: tuple[Window, ...]) -> None:
    assert (parts[0].start, parts[-1].end) == (whole.start, whole.end)
    for before, after in itertools.pairwise(parts):
        assert before.end == after.start, "a gap loses rows"


@given(instants)
def test_an_unbounded_window_is_split_into_months_with_open_ends(earliest: datetime) -> None:
    whole = Window(None, None)
    parts = whole.months(earliest, UPPER)
    assert_covers(whole, parts)
    assert parts[-1] == Window(UPPER, None)
    for part in parts[1:-1]:
        assert part.start is not None and part.end is not None
        assert part.end - part.start <= timedelta(days=31)


@given(instants, instants)
def test_rows_before_the_presumed_first_are_reached_by_going_back(earliest: datetime, end: datetime) -> None:
    whole = Window(None, end)
    parts = whole.split(earliest, UPPER)
    assert_covers(whole, parts)
    assert parts[0].end is not None and parts[0].end < end


@given(instants)
def test_calendar_windows_split_down_to_hours_and_no_further(at: datetime) -> None:
    month = Window(None, UPPER + timedelta(days=400)).months(at, UPPER)[1]
    for pieces in (range(3, 4), range(2, 3), range(2, 3), range(2, 4), range(24, 25)):
        parts = month.split(at, UPPER)
        assert_covers(month, parts)
        assert len(parts) in pieces
        month = parts[0]
    assert month.split(at, UPPER) == ()


@given(instants, st.integers(1, 400))
def test_a_window_is_split_into_as_few_parts_as_suffice(earliest: datetime, wanted: int) -> None:
    """Each part costs a request of its own, and a half-filled last page."""
    whole = Window(None, None)
    parts = whole.split(earliest, UPPER, wanted)
    assert_covers(whole, parts)
    months = whole.months(earliest, UPPER)
    assert len(parts) <= len(months)
    if len(parts) - 2 < wanted:
        assert parts == months


def test_a_month_cut_by_the_upper_bound_is_split_within_its_bounds() -> None:
    cut = Window(datetime(2026, 1, 1, tzinfo=UTC), UPPER)
    parts = cut.split(UPPER, UPPER, 5)
    assert_covers(cut, parts)
    assert [part.name for part in parts] == [
        "2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-05..2026-01-05T02:00:00",
    ]  # fmt: skip


def test_bounds_overlap_so_that_a_dropped_fraction_loses_nothing() -> None:
    start = datetime(2025, 3, 1, tzinfo=UTC)
    window = Window(start, datetime(2025, 4, 1, tzinfo=UTC))
    query = Slice(window).query(CASES)
    assert query.from_ == start - OVERLAP
    assert query.to == window.end


def test_names_follow_the_calendar() -> None:
    march = Window(datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
    thirds = march.split(UPPER, UPPER)
    sixths = thirds[0].split(UPPER, UPPER)
    twelfths = sixths[1].split(UPPER, UPPER)
    days = twelfths[0].split(UPPER, UPPER)
    hours = days[1].split(UPPER, UPPER)
    names = [
        window.name for window in (march, thirds[0], sixths[1], twelfths[0], days[1], hours[5], Window(None, None))
    ]
    assert names == [
        "2025-03", "2025-03-01..2025-03-11", "2025-03-06..2025-03-11", "2025-03-06..2025-03-08", "2025-03-07", "2025-03-07T05",
        "all",
    ]  # fmt: skip


def test_a_quarter_is_not_split_into_hours_because_its_days_are_one_too_few() -> None:
    quarter = Window(datetime(2025, 4, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))
    assert len(quarter.split(UPPER, UPPER, 91)) == 91
    assert len(quarter.split(UPPER, UPPER, 92)) == 91
    assert len(quarter.split(UPPER, UPPER, 600)) == 91 * 24


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="must end after"):
        Window(UPPER, UPPER)


def test_a_window_without_an_end_is_not_split() -> None:
    assert Window(UPPER, None).split(UPPER, UPPER) == ()
