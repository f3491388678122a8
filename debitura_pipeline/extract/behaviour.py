"""How a listing treats bounds, sort and page size, learned from every response. Pure.

Source: the contract names the parameters, but not which of a transaction's two dates `collectionDate` means, nor how exactly
bounds are compared. Windows of one listing that are read concurrently share one `Behaviour`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import EPOCH
from debitura_pipeline.landing.outline import DATES

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
UNITS_US = (1, SECOND_US, 60 * SECOND_US, 3_600 * SECOND_US, DAY_US)  # units to which an API may round a bound down
# How far before the last row's date the next request starts, for bounds that are exclusive or in another time zone.
LOOKBACKS_US = (0, SECOND_US, DAY_US)
TOLERANCE_US = (
    DAY_US  # how far beyond a bound rows may lie: a bound may include its whole day, or be in another time zone
)


class IgnoredParameterError(UnprovenError):
    """A listing ignores a request parameter, so it cannot be read by date. `seen` says what the response showed instead."""

    def __init__(self, resource: str, parameter: str, seen: str) -> None:
        super().__init__(f"The list of {resource} ignores {parameter}: {seen}.", resource=resource)
        self.parameter, self.seen = parameter, seen


@dataclass
class Behaviour:
    """What is known so far.

    `units` maps each date that the listing may filter and sort by to the unit, in microseconds, to which it rounds lower bounds
    down. `lookback` is an index in `LOOKBACKS_US`.
    """

    resource: str
    from_name: str
    to_name: str
    page_rows: int
    units: dict[int, int] = field(default_factory=dict)
    lookback: int = 0
    has_smaller_pages: bool = False

    def __post_init__(self) -> None:
        self.units = dict.fromkeys(range(len(DATES[self.resource])), 1)

    @property
    def date(self) -> int:
        """Index of the date that the listing most likely filters by: the candidate with the finest unit."""
        return min(self.units, key=lambda which: (self.units[which], which))

    @property
    def unit_us(self) -> int:
        """Rounding unit of `date` in microseconds."""
        return self.units[self.date]

    @property
    def lookback_us(self) -> int:
        """The current lookback in microseconds."""
        return LOOKBACKS_US[self.lookback]

    def check(self, response: PageResponse, lower: int | None, upper: int | None) -> None:
        """Check that a response fits its request, and rule out dates that do not. Bounds are microseconds since 1970.

        Raises IgnoredParameterError if no date explains the rows.
        """
        fits, faults = {}, []
        for which, unit in self.units.items():
            found = _unit_of(response, which, lower, upper, unit)
            if isinstance(found, int):
                fits[which] = found
            else:
                faults.append(found)
        if not fits:
            parameter, seen = faults[0]
            names = {"from": self.from_name, "to": self.to_name}
            raise IgnoredParameterError(self.resource, names.get(parameter, parameter), seen)
        self.units = fits

    def check_bounds(self, response: PageResponse, lower: int, upper: int) -> None:
        """Check only the bounds, for a response that is not sorted by date.

        Raises IgnoredParameterError if no date lies within them.
        """
        for which in self.units:
            dates = response.outline.dates(which)
            if not dates or (min(dates) >= lower - TOLERANCE_US and max(dates) <= upper + TOLERANCE_US):
                return
        seen = f"it returned rows from {_day(min(dates))} to {_day(max(dates))} for a request of {_day(lower)}"
        raise IgnoredParameterError(self.resource, f"{self.from_name} and {self.to_name}", seen)

    def accept_page_rows(self, rows: int) -> None:
        """Note that the listing returns at most `rows` rows per page, whatever page size is requested."""
        self.page_rows, self.has_smaller_pages = rows, True

    def extend_lookback(self) -> None:
        """Start later requests further back, because rows at the bound itself were omitted."""
        self.lookback = min(self.lookback + 1, len(LOOKBACKS_US) - 1)

    def floor(self, at: int) -> int:
        """Round an instant down to the unit, as the listing rounds a lower bound."""
        return at // self.unit_us * self.unit_us

    def ceiling(self, at: int) -> int:
        """The first instant of the next unit."""
        return self.floor(at) + self.unit_us


def _unit_of(
    response: PageResponse, which: int, lower: int | None, upper: int | None, unit: int
) -> int | tuple[str, str]:
    """Return the finest unit that explains these dates, or the parameter that was ignored and what was returned instead."""
    if not response.outline.is_ordered(which):
        return "Sort", "its rows are not sorted by date"
    first, last = response.first(which), response.last(which)
    if last is not None and upper is not None and last > upper + TOLERANCE_US:
        return "to", f"it returned a row of {_day(last)} for a request up to {_day(upper)}"
    if first is None or lower is None or first >= lower:
        return unit
    for coarser in UNITS_US:
        if coarser >= unit and first >= lower // coarser * coarser:
            return coarser
    if first >= lower - DAY_US:
        return DAY_US
    return "from", f"it returned a row of {_day(first)} for a request from {_day(lower)} on"


def _day(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d}"


def to_micros(at: datetime | None) -> int | None:
    """Convert an aware instant to microseconds since 1970; None stays None."""
    return None if at is None else (at - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC instant."""
    return EPOCH + timedelta(microseconds=micros)
