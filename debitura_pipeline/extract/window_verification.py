"""Read one window by keyset pagination, and verify that it is complete.

Each request starts at the date of the last row returned; page 2 is never requested.

The rows of a response come from one statement of the API's database: all rows from its lower bound up to the date of its last
row. Each response therefore proves a stretch of the window, whatever changes between two responses. Page numbers prove nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.behaviour import LOOKBACKS_US, Behaviour, IgnoredParameterError, from_micros
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.window_record import Stretch
from debitura_pipeline.landing.outline import RowKeys

MAX_REPEATS = 3  # of a request whose count contradicts its rows, since these may come from two statements
# Last rows of a response of which the next one must contain at least one: more than may disappear between two responses.
ANCHOR_ROWS = 6

FetchFirstPage = Callable[[int | None, int | None, bool], Awaitable[PageResponse]]
ReadUnion = Callable[[int, int], Awaitable[tuple[list[PageResponse], bool]]]


@dataclass
class Keyset:
    """Reads the rows between `lower` and `upper` (microseconds since 1970, both inclusive; None: unbounded).

    `fetch` returns the first page between two bounds, with or without totals. `union` reads a stretch that holds more rows than
    a page, and says whether it is certain to have all of them.
    """

    behaviour: Behaviour
    fetch: FetchFirstPage
    union: ReadUnion
    lower: int | None
    upper: int | None
    pages: list[Page] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    counted: int = 0  # rows in the window, as stated by the first response
    has_moved: bool = False
    _expected_totals: frozenset[int] = frozenset()  # totals that the next response may state if no row moved
    _restarts: int = 0

    async def read(self, first: PageResponse | None = None) -> None:
        """Read the whole window. `first`: the response to the first request, if it was sent already.

        Raises IgnoredParameterError if the API does not filter or sort as requested, UnprovenError if its totals contradict its
        rows, or the ApiError of a request.
        """
        lower = self.lower
        response = first if first is not None else await self._first_page(lower)
        while True:
            if not self.pages:  # also true after the first request was repeated
                self.counted = response.total
            self.pages.append(response.page)
            if response.rows < self.behaviour.page_rows and response.total == response.rows:
                self._add_stretch(lower, self.upper, response.rows)
                return
            next_lower = self._next_lower(response)
            if self.upper is not None and next_lower > self.upper:  # some rows lie beyond the upper bound
                self._add_stretch(lower, self.upper, response.rows)
                return
            if lower is not None and next_lower <= lower:
                next_lower = await self._read_union(lower, response)
                if self.upper is not None and next_lower > self.upper:
                    return
                lower, response = next_lower, await self._first_page(next_lower)
                continue
            self._expect_totals(response, next_lower)
            self._add_stretch(lower, next_lower, response.rows)
            lower, response = await self._next_response(lower, response, next_lower)

    def _next_lower(self, response: PageResponse) -> int:
        """The lower bound of the next request: the date of the last row, the earliest one if several dates are candidates."""
        lasts = [last for which in self.behaviour.units if (last := response.last(which)) is not None]
        if not lasts:
            raise IgnoredParameterError(
                self.behaviour.resource, "Sort", f"a page of {response.rows} rows has none with a key and a date"
            )
        return self.behaviour.floor(min(lasts)) - self.behaviour.lookback_us

    def _expect_totals(self, response: PageResponse, next_lower: int) -> None:
        shown_again = {response.since(which, next_lower) for which in self.behaviour.units}
        self._expected_totals = frozenset(response.total - response.rows + rows for rows in shown_again)

    def _add_stretch(self, lower: int | None, end: int | None, rows: int, method: str = "answer") -> None:
        self.stretches.append(Stretch(_from_micros(lower), _from_micros(end), rows, method))

    async def _first_page(self, lower: int | None) -> PageResponse:
        """Fetch the first page from `lower` on, repeating requests whose total contradicts the rows."""
        for _ in range(MAX_REPEATS):
            response = await self.fetch(lower, self.upper, not self.pages)
            self.behaviour.check(response, lower, self.upper)
            if self._is_consistent(response):
                break
        else:
            self._accept_smaller_pages(response)
        if self._expected_totals and response.total not in self._expected_totals:
            self.has_moved = True
        self._expected_totals = frozenset()
        return response

    def _is_consistent(self, response: PageResponse) -> bool:
        return response.total == response.rows or self.behaviour.page_rows <= response.rows < response.total

    def _accept_smaller_pages(self, response: PageResponse) -> None:
        """Accept once that the API returns fewer rows per page than requested; otherwise its total must be wrong."""
        if self._is_consistent(response):  # another window has noticed it meanwhile
            return
        if 0 < response.rows < response.total and not self.behaviour.has_smaller_pages:
            self.behaviour.accept_page_rows(response.rows)
            return
        raise UnprovenError(
            f"The list of {self.behaviour.resource} states {response.total} rows and returned {response.rows}, in {MAX_REPEATS} "
            "responses: its total cannot be right. Nothing of this sync reached the warehouse; run it again later.",
            resource=self.behaviour.resource,
        )

    async def _next_response(
        self, before: int | None, last: PageResponse, next_lower: int
    ) -> tuple[int | None, PageResponse]:
        """Return the next response and its lower bound.

        It must contain the last row of the previous response. If it does not, either the bound is exclusive, or that row was
        deleted or its date was edited; then one of the rows before it must be found.
        """
        which = self.behaviour.date
        ended_with = last.tail(which, 1)
        response = await self._first_page(next_lower)
        # A row beyond the end of the window is not returned again.
        if not ended_with or not self._is_within(ended_with[0]) or response.outline.has(ended_with[0].key or ""):
            return next_lower, response
        if self._is_stuck(response, next_lower):
            return next_lower, response
        anchors = [mark for mark in last.tail(which, ANCHOR_ROWS) if self._is_within(mark)]
        earlier = self.behaviour.floor(_date(anchors[0].dates, which)) - self.behaviour.lookback_us
        response = await self._first_page(earlier)
        if response.outline.has_row(anchors[-1]):  # it has not moved, so the bound is exclusive
            self.behaviour.extend_lookback()
        else:
            self.has_moved = True
            if not (self._shows_any(response, anchors) or self._is_stuck(response, earlier)):
                return await self._retry_from(before)
        self.stretches.pop()
        self._add_stretch(before, min(earlier, next_lower), last.rows)
        return earlier, response

    def _is_within(self, mark: RowKeys) -> bool:
        """Whether a row lies in the window by every candidate date; rows of a wider response may not."""
        dates = [mark.dates[which] for which in self.behaviour.units]
        return self.upper is None or all(at is not None and at <= self.upper for at in dates)

    @staticmethod
    def _shows_any(response: PageResponse, anchors: list[RowKeys]) -> bool:
        return any(response.outline.has(anchor.key or "") for anchor in anchors)

    async def _retry_from(self, before: int | None) -> tuple[int | None, PageResponse]:
        """Repeat the previous request, replace its response, and start the next one further back."""
        if self._restarts >= len(LOOKBACKS_US):
            raise IgnoredParameterError(
                self.behaviour.resource,
                self.behaviour.from_name,
                "rows that it returned are missing when requested from their dates on",
            )
        self.behaviour.extend_lookback()
        self._restarts += 1
        self.stretches.pop()
        self.pages.pop()
        return before, await self._first_page(before)

    def _is_stuck(self, response: PageResponse, lower: int) -> bool:
        """Whether this is a full page that the next request would not get beyond."""
        return response.rows >= self.behaviour.page_rows and self._next_lower(response) <= lower

    async def _read_union(self, lower: int, response: PageResponse) -> int:
        """Read a stretch that holds more rows than a page, and return its end."""
        last = response.last(self.behaviour.date)
        end = self.behaviour.ceiling(lower if last is None else last)
        responses, is_settled = await self.union(lower, end if self.upper is None else min(end, self.upper))
        self.pages += [found.page for found in responses]
        self.has_moved |= not is_settled
        self._add_stretch(
            lower, end, len({key for found in responses for key in found.keys}), "union" if is_settled else "part"
        )
        return end


def _date(dates: tuple[int | None, ...], which: int) -> int:
    at = dates[which]
    assert at is not None  # `tail` returns only rows that have this date
    return at


def _from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
