"""Whose turn it is: an even share each night, nobody forgotten, neighbours read in one window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.rotation import DAY, WINDOW_ROWS, cost_of, due_days, joined

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)
REFRESH_DAYS = 30


def day(number: int) -> datetime:
    return FIRST + number * DAY


def window(first: int, end: int) -> Window:
    return Window(day(first), day(end))


@pytest.mark.parametrize("rows", [1, 40, 1_644, 20_000])
def test_every_day_is_read_within_so_many_nights(rows: int) -> None:
    """Three hundred days, all read the same night long ago; each night its share, and after the last one none is older."""
    seen = {day(number): NIGHT - timedelta(days=1) for number in range(300)}
    for night in range(REFRESH_DAYS):
        at = NIGHT + timedelta(days=night)
        days = [(start, rows, verified) for start, verified in seen.items()]
        windows = due_days(days, at, REFRESH_DAYS, at)
        read = [start for start in seen if any(w.start <= start < w.end for w in windows if w.start and w.end)]
        assert len(read) <= 20  # ten a night, and what would be due tomorrow
        seen |= dict.fromkeys(read, at)
    assert min(seen.values()) >= NIGHT


def test_what_would_be_overdue_before_the_next_night_is_read_however_much_it_is() -> None:
    days = [(day(number), 100, NIGHT - timedelta(days=29)) for number in range(50)]
    assert sum((w.end - w.start) // DAY for w in due_days(days, NIGHT, REFRESH_DAYS, NIGHT) if w.start and w.end) == 50


def test_days_that_follow_one_another_are_one_window_up_to_what_is_read_at_once() -> None:
    rows = WINDOW_ROWS // 2
    assert joined({window(0, 1): rows, window(1, 2): rows, window(2, 3): rows}) == {
        window(0, 2): 2 * rows,
        window(2, 3): rows,
    }
    assert joined({window(3, 4): 1, window(0, 1): 1}) == {window(0, 1): 1, window(3, 4): 1}


def test_windows_without_a_bound_stay_as_they_are() -> None:
    before, after = Window(None, day(0)), Window(day(1), None)
    assert joined({after: 1, window(0, 1): 2, before: 3}) == {before: 3, window(0, 1): 2, after: 1}


def test_the_last_day_ends_with_the_listing() -> None:
    upper = day(5) + timedelta(hours=3)
    assert due_days([(day(5), 10, FIRST)], NIGHT, REFRESH_DAYS, upper) == [Window(day(5), upper)]


def test_joined_days_cost_fewer_pages() -> None:
    days = [(day(number), 250, FIRST) for number in range(4)]
    assert cost_of([window(number, number + 1) for number in range(4)], days) == 12
    assert cost_of([window(0, 4)], days) == 10
