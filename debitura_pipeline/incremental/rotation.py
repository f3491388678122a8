"""Periodic refresh: choose the days to re-read so that every row is re-read within `refresh_days`. Pure.

This catches edits that change neither a count nor a sum and so show in no total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.extract.windows import DAY, EPOCH, Window

WINDOW_ROWS = 4_900  # below the 5,000 of one window: rows may have been added since they were counted
SPARE_DAYS = 1  # read what is due tomorrow as well, in case tomorrow's sync fails

RowsOfDay = tuple[datetime, int, datetime]  # day, rows, when the row that was verified longest ago was verified


def page_count(rows: int) -> int:
    """Requests needed to read `rows` rows; at least one."""
    return max(1, -(-rows // PAGE_ROWS))


def choose_due_days(days: Sequence[RowsOfDay], at: datetime, refresh_days: int, upper: datetime) -> list[Window]:
    """Return the windows to re-read now, with adjacent days merged into one window.

    Takes the days verified longest ago until `1 / refresh_days` of all rows is covered, and every day that would be overdue
    before the next daily sync. `at` is the time of this sync; a day that contains `upper` ends there.
    """
    share = sum(rows for _, rows, _ in days) / refresh_days
    deadline = at - timedelta(days=max(1, refresh_days - SPARE_DAYS))
    chosen: dict[Window, int] = {}
    covered = 0
    for day, rows, verified_at in sorted(days, key=lambda item: (item[2], item[0])):
        if covered >= share and verified_at > deadline:
            break
        chosen[Window(day, min(day + DAY, upper)) if day < upper else Window(day, day + DAY)] = rows
        covered += rows
    return list(join_adjacent(chosen))


def join_adjacent(rows_by_window: Mapping[Window, int]) -> dict[Window, int]:
    """Merge adjacent windows up to `WINDOW_ROWS` rows each and return the rows of each result.

    Fewer windows mean fewer partly filled last pages. Windows without a lower or upper bound are not merged with others
    beyond that bound.
    """
    joined: dict[Window, int] = {}
    previous: Window | None = None
    for window in sorted(rows_by_window, key=lambda window: window.start or EPOCH):
        rows = rows_by_window[window]
        if previous is not None and _can_join(previous, window) and joined[previous] + rows <= WINDOW_ROWS:
            rows += joined.pop(previous)
            window = Window(previous.start, window.end)
        joined[window] = rows
        previous = window
    return joined


def _can_join(first: Window, second: Window) -> bool:
    return first.start is not None and second.end is not None and first.end == second.start


def read_cost(windows: Sequence[Window], days: Sequence[RowsOfDay]) -> int:
    """Return the number of requests needed to read `windows`, given the rows of each day."""
    return sum(page_count(sum(rows for day, rows, _ in days if _contains(window, day))) for window in windows)


def _contains(window: Window, day: datetime) -> bool:
    return (window.start is None or window.start <= day) and (window.end is None or day < window.end)
