"""Periodic refresh: an even share each day, no day forgotten, adjacent days read in one window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from debitura_pipeline.extract.windows import DAY, Window
from debitura_pipeline.incremental.rotation import WINDOW_ROWS, choose_due_days, join_adjacent, read_cost

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
SYNC_TIME = datetime(2026, 1, 1, 2, tzinfo=UTC)
REFRESH_DAYS = 30


def day(number: int) -> datetime:
    return FIRST + number * DAY


def window(first: int, end: int) -> Window:
    return Window(day(first), day(end))


@pytest.mark.parametrize("rows", [1, 40, 1_644, 20_000])
def test_every_day_is_re_read_within_refresh_days(rows: int) -> None:
    """Three hundred days verified by the same sync; each sync reads a share, and after 30 all have been re-read."""
    seen = {day(number): SYNC_TIME - timedelta(days=1) for number in range(300)}
    for number in range(REFRESH_DAYS):
        at = SYNC_TIME + timedelta(days=number)
        days = [(start, rows, verified) for start, verified in seen.items()]
        windows = choose_due_days(days, at, REFRESH_DAYS, at)
        read = [start for start in seen if any(w.start <= start < w.end for w in windows if w.start and w.end)]
        assert len(read) <= 20  # ten per sync, and what is due tomorrow
        seen |= dict.fromkeys(read, at)
    assert min(seen.values()) >= SYNC_TIME


def test_everything_that_would_be_overdue_tomorrow_is_read_however_much_it_is() -> None:
    days = [(day(number), 100, SYNC_TIME - timedelta(days=29)) for number in range(50)]
    assert (
        sum(
            (w.end - w.start) // DAY
            for w in choose_due_days(days, SYNC_TIME, REFRESH_DAYS, SYNC_TIME)
            if w.start and w.end
        )
        == 50
    )


def test_adjacent_days_are_joined_up_to_the_window_size() -> None:
    rows = WINDOW_ROWS // 2
    assert join_adjacent({window(0, 1): rows, window(1, 2): rows, window(2, 3): rows}) == {
        window(0, 2): 2 * rows,
        window(2, 3): rows,
    }
    assert join_adjacent({window(3, 4): 1, window(0, 1): 1}) == {window(0, 1): 1, window(3, 4): 1}


def test_windows_without_a_bound_are_not_joined() -> None:
    before, after = Window(None, day(0)), Window(day(1), None)
    assert join_adjacent({after: 1, window(0, 1): 2, before: 3}) == {before: 3, window(0, 1): 2, after: 1}


def test_the_last_day_ends_at_the_upper_bound() -> None:
    upper = day(5) + timedelta(hours=3)
    assert choose_due_days([(day(5), 10, FIRST)], SYNC_TIME, REFRESH_DAYS, upper) == [Window(day(5), upper)]


def test_joined_days_cost_fewer_pages() -> None:
    days = [(day(number), 250, FIRST) for number in range(4)]
    assert read_cost([window(number, number + 1) for number in range(4)], days) == 12
    assert read_cost([window(0, 4)], days) == 10
