"""Whose turn it is: the days read longest ago, so many that every row is read at least once in so many nights. Pure.

Belongs here: that choice. It is for what no total shows: an edit that leaves counts and sums as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from debitura_pipeline.extract.windows import DAWN, Window

PAGE_ROWS = 100
WINDOW_ROWS = 4_900  # of 5,000 that are read as one window: a few may have come since they were counted
DAY = timedelta(days=1)
SPARE_NIGHTS = 1  # what is due tomorrow is read tonight, should tomorrow's sync fail

Day = tuple[datetime, int, datetime]  # day, rows, least recent verification of a row of that day


def pages_of(rows: int) -> int:
    return max(1, -(-rows // PAGE_ROWS))


def due_days(days: Sequence[Day], at: datetime, refresh_days: int, upper: datetime) -> list[Window]:
    """Windows of the days to read tonight, oldest verification first; days that follow one another in one window.

    An even share of all rows, and in any case every day whose turn would be over before the next night.
    """
    share = sum(rows for _, rows, _ in days) / refresh_days
    deadline = at - timedelta(days=max(1, refresh_days - SPARE_NIGHTS))
    chosen: dict[Window, int] = {}
    taken = 0
    for day, rows, seen in sorted(days, key=lambda item: (item[2], item[0])):
        if taken >= share and seen > deadline:
            break
        chosen[Window(day, min(day + DAY, upper)) if day < upper else Window(day, day + DAY)] = rows
        taken += rows
    return list(joined(chosen))


def joined(rows_of: Mapping[Window, int]) -> dict[Window, int]:
    """The same stretches of time, and their rows, in as few windows as hold no more than is read at once: each window ends
    with a page that is not full. Windows without a bound stay as they are."""
    found: dict[Window, int] = {}
    last: Window | None = None
    for window in sorted(rows_of, key=lambda window: window.start or DAWN):
        rows = rows_of[window]
        if last is not None and _can_join(last, window) and found[last] + rows <= WINDOW_ROWS:
            rows += found.pop(last)
            window = Window(last.start, window.end)
        found[window] = rows
        last = window
    return found


def _can_join(first: Window, second: Window) -> bool:
    return first.start is not None and second.end is not None and first.end == second.start


def cost_of(windows: Sequence[Window], days: Sequence[Day]) -> int:
    """Requests that reading these days takes."""
    return sum(pages_of(sum(rows for day, rows, _ in days if _starts_in(window, day))) for window in windows)


def _starts_in(window: Window, day: datetime) -> bool:
    return (window.start is None or window.start <= day) and (window.end is None or day < window.end)
