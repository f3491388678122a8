"""Windows of a listing, split along the calendar so that they are the same in every sync, and slices of them. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from debitura_pipeline.contract.listings import Listing, Query

TICK = timedelta(microseconds=1)  # resolution of the API's instants
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OVERLAP = timedelta(seconds=1)  # both bounds are inclusive; one second allows for an API that drops fractions
MONTHS_BEFORE = 12  # how far to go back if rows are older than the presumed first
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # windows are not split before this
STATE_FILTERS = {"Statuses", "RevenueStages"}  # filters whose values are states and may appear in messages
# Days on which thirds, sixths and twelfths of a month begin.
PARTS_OF_MONTH = {
    "third": (1, 11, 21),
    "sixth": (1, 6, 11, 16, 21, 26),
    "twelfth": (1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28),
}
LEVELS = ("year", "quarter", "month", *PARTS_OF_MONTH, "day", "hour")  # from coarse to fine
MAX_EXCESS = 4  # stop at a coarser level if a finer one gives this many times the wanted parts

BY_ID = "Id"  # not a filter of the API: marks rows that were requested by id

Filters = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Window:
    """Rows from `start` to `end` (aware UTC; None: unbounded), end excluded. Raises ValueError if it would be empty."""

    start: datetime | None
    end: datetime | None

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"a window must end after it starts: {self.start} to {self.end}")

    @property
    def name(self) -> str:
        """Short name: `all`, `2026`, `2026-03`, `2026-03-01..2026-03-11`, `2026-03-07`, `2026-03-07T05`."""
        if self.start is None:
            return "all" if self.end is None else f"before-{_stamp(self.end)}"
        if self.end is None:
            return f"after-{_stamp(self.start)}"
        for level, text in (("year", "%Y"), ("month", "%Y-%m"), ("day", "%Y-%m-%d"), ("hour", "%Y-%m-%dT%H")):
            if (self.start, self.end) == _calendar_unit(self.start, level):
                return self.start.strftime(text)
        return f"{_stamp(self.start)}..{_stamp(self.end)}"

    def split(self, earliest: datetime, upper: datetime, parts: int = 1) -> tuple[Window, ...]:
        """Return smaller windows that cover this one, or none if it cannot be split further.

        Uses the coarsest calendar level that gives at least `parts` windows, but none that gives more than `MAX_EXCESS` times as
        many. `earliest`, the presumed first row, and `upper`, the upper bound of the sync, stand in for missing bounds; such a
        window is split into months at the finest.
        """
        if self.start is None or self.end is None:
            return self._split_unbounded(earliest, upper, parts)
        return _split_by_calendar(self.start, self.end, LEVELS, parts)

    def months(self, earliest: datetime, upper: datetime) -> tuple[Window, ...]:
        """Split a window without bounds into months: before the first month, each month, and after the upper bound."""
        return self._split_unbounded(earliest, upper, sys.maxsize)

    def _split_unbounded(self, earliest: datetime, upper: datetime, parts: int) -> tuple[Window, ...]:
        if self.start is not None:  # rows dated after the upper bound are few and not split
            return ()
        end = self.end or upper
        begin = _calendar_unit(min(earliest, end - timedelta(hours=1)), "month")[0]
        if self.end is not None and begin >= _months_back(self.end, 1):
            begin = _months_back(self.end, MONTHS_BEFORE)
        if begin <= EPOCH:
            return ()
        tail = (Window(upper, None),) if self.end is None else ()
        cut = _split_by_calendar(begin, end, LEVELS[: LEVELS.index("month") + 1], parts) or (Window(begin, end),)
        return (Window(None, begin), *cut, *tail)


EVERYTHING = Window(None, None)


@dataclass(frozen=True)
class Slice:
    """A window, restricted by filters such as states or a tenant."""

    window: Window
    filters: Filters = ()

    @property
    def name(self) -> str:
        """Short name: the window and its state filters. Values of other filters, such as tenant ids, are not shown."""
        shown = (f"{name}={value}" if name in STATE_FILTERS else name for name, value in self.filters)
        described = ",".join(dict.fromkeys(shown))
        return f"{self.window.name}[{described}]" if described else self.window.name

    @property
    def is_by_id(self) -> bool:
        """Whether its rows were requested by id."""
        return any(name == BY_ID for name, _ in self.filters)

    def query(self, listing: Listing) -> Query:
        """Return the query of this slice. Its lower bound is a second earlier, see `OVERLAP`."""
        start = self.window.start - OVERLAP if self.window.start is not None else None
        return Query(listing, start, self.window.end, self.filters)

    def split(self, earliest: datetime, upper: datetime, parts: int = 1) -> tuple[Slice, ...]:
        """Split the window and keep the filters, see `Window.split`."""
        return tuple(Slice(part, self.filters) for part in self.window.split(earliest, upper, parts))


def _split_at(start: datetime, end: datetime, level: str) -> Iterator[Window]:
    at = start
    while at < end:
        following = min(_calendar_unit(at, level)[1], end)
        yield Window(at, following)
        at = following


def _split_by_calendar(start: datetime, end: datetime, levels: Sequence[str], parts: int) -> tuple[Window, ...]:
    """Split at the coarsest of `levels` that gives enough parts, else at the finest that splits at all; empty if none does.

    A level with far too many parts is not used: if 91 days are one too few, 2,184 hours would each cost a request and a file.
    """
    best: tuple[Window, ...] = ()
    for level in levels:
        cut = tuple(_split_at(start, end, level))
        if len(cut) > 1:
            if best and len(cut) > MAX_EXCESS * parts:
                break
            best = cut
            if len(cut) >= parts:
                break
    return best


def _calendar_unit(at: datetime, level: str) -> tuple[datetime, datetime]:
    """Return the bounds of the calendar unit that contains `at`."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if level == "hour":
        hour = day.replace(hour=at.hour)
        return hour, hour + timedelta(hours=1)
    if level == "day":
        return day, day + timedelta(days=1)
    month = day.replace(day=1)
    if level in ("year", "quarter"):
        length = 12 if level == "year" else 3
        first = month.replace(month=(month.month - 1) // length * length + 1)
        return first, _months_back(first, -length)
    next_month = (month + timedelta(days=32)).replace(day=1)
    return (month, next_month) if level == "month" else _part_of_month(day, next_month, level)


def _part_of_month(day: datetime, next_month: datetime, level: str) -> tuple[datetime, datetime]:
    begin = max(first for first in PARTS_OF_MONTH[level] if first <= day.day)
    later = [first for first in PARTS_OF_MONTH[level] if first > day.day]
    return day.replace(day=begin), day.replace(day=later[0]) if later else next_month


def _months_back(at: datetime, months: int) -> datetime:
    number = at.year * 12 + at.month - 1 - months
    if number < EPOCH.year * 12:
        return EPOCH
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _stamp(at: datetime) -> str:
    if (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0):
        return at.strftime("%Y-%m-%d")
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def tenant_filter(tenant: str) -> Filters:
    """The API's filter for the rows of one client. `tenant`: its id as stored."""
    return (("ExternalTenantId", tenant),)
