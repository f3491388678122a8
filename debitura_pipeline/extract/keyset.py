"""One window read by keyset: each question begins at the date of the last row shown, and page 2 is never asked for.

The rows of one answer come from one statement of the API's database: all rows from its lower bound up to the date of its
last row. So each answer proves a stretch by itself, whatever happens between two of them; page numbers prove nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from debitura_pipeline.api.page import Page
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.behaviour import LOOKBACKS_US, Behaviour, IgnoredParameterError, from_micros
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.verified_window import Stretch
from debitura_pipeline.landing.outline import RowMark

MAX_REPEATS = 3  # of a question whose answer contradicts itself: a count and its rows may come from two statements
ANCHOR_ROWS = (
    6  # last rows of an answer, of which one at least must be there again: more than may go between two answers
)

FetchFirstPage = Callable[[int | None, int | None, bool], Awaitable[PageResponse]]
ReadUnion = Callable[[int, int], Awaitable[tuple[list[PageResponse], bool]]]


@dataclass
class Keyset:
    """Reads the rows between `lower` and `upper` (microseconds since 1970, None: unbounded, both inclusive).

    `ask` gets the first page between two bounds, with totals or without; `union` all rows of a stretch
    that no single answer can show whole, and whether it is sure of that.
    """

    behaviour: Behaviour
    fetch: FetchFirstPage
    union: ReadUnion
    lower: int | None
    upper: int | None
    pages: list[Page] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    counted: int = 0  # rows that the API counts in the window at the first answer
    has_moved: bool = False
    _expected_totals: frozenset[int] = frozenset()  # rows that the next answer counts if nothing moves, by either date
    _restarts: int = 0

    async def read(self, first: PageResponse | None = None) -> None:
        """Read to the end. `first`: the answer that began at `lower`, if there is one already.

        Raises UnprovenError where the API contradicts itself, IgnoredParameterError where it does not filter or sort as asked.
        """
        lower = self.lower
        response = first if first is not None else await self._first_page(lower)
        while True:
            if not self.pages:  # also after the first question was put once more
                self.counted = response.total
            self.pages.append(response.page)
            if response.rows < self.behaviour.page_rows and response.total == response.rows:
                self._add_stretch(lower, self.upper, response.rows)
                return
            next_lower = self._next_lower(response)
            if self.upper is not None and next_lower > self.upper:  # the upper bound is not heeded to the letter
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
        """Where the next question begins: at the date of the last row, of two dates that the list may go by the earlier one."""
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
        """The first page from `lower` on, with a total that its rows do not contradict."""
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
        """An API that shows fewer rows a page than it was asked for, which can be so once; else its total cannot be true."""
        if self._is_consistent(response):  # another window has found out meanwhile
            return
        if 0 < response.rows < response.total and not self.behaviour.has_smaller_pages:
            self.behaviour.accept_page_rows(response.rows)
            return
        raise UnprovenError(
            f"The list of {self.behaviour.resource} states {response.total} rows and shows {response.rows}, in {MAX_REPEATS} "
            "answers: its total cannot be true. Nothing of this sync reached the warehouse; run it again later.",
            resource=self.behaviour.resource,
        )

    async def _next_response(
        self, before: int | None, last: PageResponse, next_lower: int
    ) -> tuple[int | None, PageResponse]:
        """The next answer and its lower bound. The row that the last answer ended with must be there again; if it is not, the
        bound is exclusive, or it was deleted or its date moved, and one of those before it must be there."""
        which = self.behaviour.date
        ended_with = last.tail(which, 1)
        response = await self._first_page(next_lower)
        # A last row that lies beyond the window is not shown again, and those before it need not be.
        if not ended_with or not self._is_within(ended_with[0]) or response.outline.has(ended_with[0].key or ""):
            return next_lower, response
        if self._is_stuck(response, next_lower):
            return next_lower, response
        anchors = [mark for mark in last.tail(which, ANCHOR_ROWS) if self._is_within(mark)]
        earlier = self.behaviour.floor(_date(anchors[0].dates, which)) - self.behaviour.lookback_us
        response = await self._first_page(earlier)
        if response.outline.has_mark(anchors[-1]):  # it is where it was: the bound leaves out what it names
            self.behaviour.extend_lookback()
        else:
            self.has_moved = True
            if not (self._shows_any(response, anchors) or self._is_stuck(response, earlier)):
                return await self._retry_from(before)
        self.stretches.pop()
        self._add_stretch(before, min(earlier, next_lower), last.rows)
        return earlier, response

    def _is_within(self, mark: RowMark) -> bool:
        """Whether a row lies in the window by whichever date the list may go; one of a wider answer may lie beyond it."""
        dates = [mark.dates[which] for which in self.behaviour.units]
        return self.upper is None or all(at is not None and at <= self.upper for at in dates)

    @staticmethod
    def _shows_any(response: PageResponse, anchors: list[RowMark]) -> bool:
        return any(response.outline.has(anchor.key or "") for anchor in anchors)

    async def _retry_from(self, before: int | None) -> tuple[int | None, PageResponse]:
        """The question before once more, its answer in the place of the last one, and the next bound taken further back."""
        if self._restarts >= len(LOOKBACKS_US):
            raise IgnoredParameterError(
                self.behaviour.resource,
                self.behaviour.from_name,
                "rows that it showed are not there when asked from their dates on",
            )
        self.behaviour.extend_lookback()
        self._restarts += 1
        self.stretches.pop()
        self.pages.pop()
        return before, await self._first_page(before)

    def _is_stuck(self, response: PageResponse, lower: int) -> bool:
        """A full page that the next question would not get beyond."""
        return response.rows >= self.behaviour.page_rows and self._next_lower(response) <= lower

    async def _read_union(self, lower: int, response: PageResponse) -> int:
        """The stretch that holds more rows than a page; returns the bound after it."""
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
    assert at is not None  # `tail` gives only rows that have it
    return at


def _from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
