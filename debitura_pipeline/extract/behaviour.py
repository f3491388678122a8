"""What a listing does with the bounds, sort and page size that it is asked for: found out from every answer, never assumed.

Source: the contract says which parameters there are, not by which of a transaction's two dates `collectionDate` goes, nor
how exactly a bound is compared. Pure; shared by the windows of one listing that are read side by side.
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
UNITS_US = (1, SECOND_US, 60 * SECOND_US, 3_600 * SECOND_US, DAY_US)  # to which an API may round a bound down
# How much earlier than the last row the next question begins: for bounds that are exclusive, or in another time zone.
LOOKBACKS_US = (0, SECOND_US, DAY_US)
TOLERANCE_US = DAY_US  # rows beyond a bound: one that covers its whole day, or another time zone


class IgnoredParameterError(UnprovenError):
    """A listing does not do what a parameter asks for, so that it cannot be read by date. `parameter` names it."""

    def __init__(self, resource: str, parameter: str, seen: str) -> None:
        super().__init__(f"The list of {resource} does not heed {parameter}: {seen}.", resource=resource)
        self.parameter, self.seen = parameter, seen


@dataclass
class Behaviour:
    """`units`: per date that the listing may go by, the unit to which it rounds a lower bound down (microseconds)."""

    resource: str
    from_name: str
    to_name: str
    page_rows: int
    units: dict[int, int] = field(default_factory=dict)
    lookback: int = 0  # place in LOOKBACKS_US
    has_smaller_pages: bool = False

    def __post_init__(self) -> None:
        self.units = dict.fromkeys(range(len(DATES[self.resource])), 1)

    @property
    def date(self) -> int:
        """The date that the listing goes by, as far as is known: of those in question the one most exactly filtered by."""
        return min(self.units, key=lambda which: (self.units[which], which))

    @property
    def unit_us(self) -> int:
        return self.units[self.date]

    @property
    def lookback_us(self) -> int:
        return LOOKBACKS_US[self.lookback]

    def check(self, response: PageResponse, lower: int | None, upper: int | None) -> None:
        """Hold an answer against its question, bounds in microseconds. Raises IgnoredParameterError when no date fits any more."""
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
        """The same for an answer in another order than that of its dates. Raises IgnoredParameterError."""
        for which in self.units:
            dates = response.outline.dates(which)
            if not dates or (min(dates) >= lower - TOLERANCE_US and max(dates) <= upper + TOLERANCE_US):
                return
        seen = f"it shows rows from {_day(min(dates))} to {_day(max(dates))} and was asked for those of {_day(lower)}"
        raise IgnoredParameterError(self.resource, f"{self.from_name} and {self.to_name}", seen)

    def accept_page_rows(self, rows: int) -> None:
        """The listing shows at most so many rows a page, whatever page size it is asked for."""
        self.page_rows, self.has_smaller_pages = rows, True

    def extend_lookback(self) -> None:
        """Begin the next questions earlier: rows at the bound itself were left out."""
        self.lookback = min(self.lookback + 1, len(LOOKBACKS_US) - 1)

    def floor(self, at: int) -> int:
        return at // self.unit_us * self.unit_us

    def ceiling(self, at: int) -> int:
        """The first instant of the next unit."""
        return self.floor(at) + self.unit_us


def _unit_of(
    response: PageResponse, which: int, lower: int | None, upper: int | None, unit: int
) -> int | tuple[str, str]:
    """The unit that explains these dates (ascending, within their bounds), or the parameter that was not heeded and how."""
    if not response.outline.is_ordered(which):
        return "Sort", "its rows are not in the order of their dates"
    first, last = response.first(which), response.last(which)
    if last is not None and upper is not None and last > upper + TOLERANCE_US:
        return "to", f"it shows a row of {_day(last)} and was asked for rows up to {_day(upper)}"
    if first is None or lower is None or first >= lower:
        return unit
    for coarser in UNITS_US:
        if coarser >= unit and first >= lower // coarser * coarser:
            return coarser
    if first >= lower - DAY_US:
        return DAY_US
    return "from", f"it shows a row of {_day(first)} and was asked for rows from {_day(lower)} on"


def _day(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d}"


def to_micros(at: datetime | None) -> int | None:
    """Microseconds since 1970 of an aware instant."""
    return None if at is None else (at - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
