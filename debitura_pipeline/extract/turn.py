"""Whose turn it is: the days read longest ago, so many that every row is read at least once in so many nights. Pure.

Belongs here: that choice. It is for what no total shows: an edit that leaves counts and sums as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from debitura_pipeline.extract.windows import Window

PAGE_ROWS = 100
DAY = timedelta(days=1)
SPARE_NIGHTS = 1  # what is due tomorrow is read tonight, should tomorrow's sync fail

Day = tuple[datetime, int, datetime]  # day, rows, least recent verification of a row of that day


def pages_of(rows: int) -> int:
    return max(1, -(-rows // PAGE_ROWS))


def due_days(days: Sequence[Day], at: datetime, refresh_days: int, upper: datetime) -> list[Window]:
    """Windows of the days to read tonight, oldest verification first.

    An even share of all pages, and in any case every day whose turn would be over before the next night.
    """
    share = sum(pages_of(rows) for _, rows, _ in days) / refresh_days
    deadline = at - timedelta(days=max(1, refresh_days - SPARE_NIGHTS))
    chosen: list[Window] = []
    taken = 0.0
    for day, rows, seen in sorted(days, key=lambda item: (item[2], item[0])):
        if taken >= share and seen > deadline:
            break
        chosen.append(Window(day, min(day + DAY, upper)) if day < upper else Window(day, day + DAY))
        taken += pages_of(rows)
    return chosen


def cost_of(windows: Sequence[Window], days: Sequence[Day]) -> int:
    """Requests that reading these days takes."""
    rows_of = {day: rows for day, rows, _ in days}
    return sum(pages_of(rows_of.get(window.start, 0)) for window in windows if window.start is not None)
