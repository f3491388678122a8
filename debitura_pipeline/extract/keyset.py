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
from debitura_pipeline.extract.answer import Answer
from debitura_pipeline.extract.behaviour import LEADS_US, Behaviour, NotHeededError, instant_of
from debitura_pipeline.extract.verified_window import Stretch
from debitura_pipeline.landing.outline import RowMark

MAX_REPEATS = 3  # of a question whose answer contradicts itself: a count and its rows may come from two statements
WITNESSES = 6  # last rows of an answer, of which one at least must be there again: more than may go between two answers

Ask = Callable[[int | None, int | None, bool], Awaitable[Answer]]
Union = Callable[[int, int], Awaitable[tuple[list[Answer], bool]]]


@dataclass
class Keyset:
    """Reads the rows between `lower` and `upper` (microseconds since 1970, None: unbounded, both inclusive).

    `ask` gets the first page between two bounds, with totals or without; `union` all rows of a stretch
    that no single answer can show whole, and whether it is sure of that.
    """

    behaviour: Behaviour
    ask: Ask
    union: Union
    lower: int | None
    upper: int | None
    pages: list[Page] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    counted: int = 0  # rows that the API counts in the window at the first answer
    has_moved: bool = False
    _expected: frozenset[int] = frozenset()  # rows that the next answer counts if nothing moves, by either date
    _restarts: int = 0

    async def read(self, first: Answer | None = None) -> None:
        """Read to the end. `first`: the answer that began at `lower`, if there is one already.

        Raises UnprovenError where the API contradicts itself, NotHeededError where it does not filter or sort as asked.
        """
        lower = self.lower
        answer = first if first is not None else await self._whole(lower)
        while True:
            if not self.pages:  # also after the first question was put once more
                self.counted = answer.total
            self.pages.append(answer.page)
            if answer.rows < self.behaviour.page_rows and answer.total == answer.rows:
                self._prove(lower, self.upper, answer.rows)
                return
            following = self._following(answer)
            if self.upper is not None and following > self.upper:  # the upper bound is not heeded to the letter
                self._prove(lower, self.upper, answer.rows)
                return
            if lower is not None and following <= lower:
                following = await self._read_union(lower, answer)
                if self.upper is not None and following > self.upper:
                    return
                lower, answer = following, await self._whole(following)
                continue
            self._expect(answer, following)
            self._prove(lower, following, answer.rows)
            lower, answer = await self._follow(lower, answer, following)

    def _following(self, answer: Answer) -> int:
        """Where the next question begins: at the date of the last row, of two dates that the list may go by the earlier one."""
        lasts = [last for which in self.behaviour.units if (last := answer.last(which)) is not None]
        if not lasts:
            raise NotHeededError(
                self.behaviour.resource, "Sort", f"a page of {answer.rows} rows has none with a key and a date"
            )
        return self.behaviour.floor(min(lasts)) - self.behaviour.lead_us

    def _expect(self, answer: Answer, following: int) -> None:
        shown_again = {answer.since(which, following) for which in self.behaviour.units}
        self._expected = frozenset(answer.total - answer.rows + rows for rows in shown_again)

    def _prove(self, lower: int | None, end: int | None, rows: int, method: str = "answer") -> None:
        self.stretches.append(Stretch(_instant(lower), _instant(end), rows, method))

    async def _whole(self, lower: int | None) -> Answer:
        """The first page from `lower` on, with a total that its rows do not contradict."""
        for _ in range(MAX_REPEATS):
            answer = await self.ask(lower, self.upper, not self.pages)
            self.behaviour.check(answer, lower, self.upper)
            if self._is_consistent(answer):
                break
        else:
            self._accept_smaller_pages(answer)
        if self._expected and answer.total not in self._expected:
            self.has_moved = True
        self._expected = frozenset()
        return answer

    def _is_consistent(self, answer: Answer) -> bool:
        return answer.total == answer.rows or self.behaviour.page_rows <= answer.rows < answer.total

    def _accept_smaller_pages(self, answer: Answer) -> None:
        """An API that shows fewer rows a page than it was asked for, which can be so once; else its total cannot be true."""
        if self._is_consistent(answer):  # another window has found out meanwhile
            return
        if 0 < answer.rows < answer.total and not self.behaviour.has_smaller_pages:
            self.behaviour.accept_page_rows(answer.rows)
            return
        raise UnprovenError(
            f"The list of {self.behaviour.resource} states {answer.total} rows and shows {answer.rows}, in {MAX_REPEATS} "
            "answers: its total cannot be true. Nothing of this sync reached the warehouse; run it again later.",
            resource=self.behaviour.resource,
        )

    async def _follow(self, before: int | None, last: Answer, following: int) -> tuple[int | None, Answer]:
        """The next answer and its lower bound. The row that the last answer ended with must be there again; if it is not, the
        bound is exclusive, or it was deleted or its date moved, and one of those before it must be there."""
        which = self.behaviour.date
        ended_with = last.tail(which, 1)
        answer = await self._whole(following)
        # A last row that lies beyond the window is not shown again, and those before it need not be.
        if not ended_with or not self._is_within(ended_with[0]) or answer.outline.has(ended_with[0].key or ""):
            return following, answer
        if self._is_stuck(answer, following):
            return following, answer
        witnesses = [mark for mark in last.tail(which, WITNESSES) if self._is_within(mark)]
        earlier = self.behaviour.floor(_date(witnesses[0].dates, which)) - self.behaviour.lead_us
        answer = await self._whole(earlier)
        if answer.outline.has_mark(witnesses[-1]):  # it is where it was: the bound leaves out what it names
            self.behaviour.lengthen_lead()
        else:
            self.has_moved = True
            if not (self._shows_any(answer, witnesses) or self._is_stuck(answer, earlier)):
                return await self._restart(before)
        self.stretches.pop()
        self._prove(before, min(earlier, following), last.rows)
        return earlier, answer

    def _is_within(self, mark: RowMark) -> bool:
        """Whether a row lies in the window by whichever date the list may go; one of a wider answer may lie beyond it."""
        dates = [mark.dates[which] for which in self.behaviour.units]
        return self.upper is None or all(at is not None and at <= self.upper for at in dates)

    @staticmethod
    def _shows_any(answer: Answer, witnesses: list[RowMark]) -> bool:
        return any(answer.outline.has(witness.key or "") for witness in witnesses)

    async def _restart(self, before: int | None) -> tuple[int | None, Answer]:
        """The question before once more, its answer in the place of the last one, and the next bound taken further back."""
        if self._restarts >= len(LEADS_US):
            raise NotHeededError(
                self.behaviour.resource,
                self.behaviour.from_name,
                "rows that it showed are not there when asked from their dates on",
            )
        self.behaviour.lengthen_lead()
        self._restarts += 1
        self.stretches.pop()
        self.pages.pop()
        return before, await self._whole(before)

    def _is_stuck(self, answer: Answer, lower: int) -> bool:
        """A full page that the next question would not get beyond."""
        return answer.rows >= self.behaviour.page_rows and self._following(answer) <= lower

    async def _read_union(self, lower: int, answer: Answer) -> int:
        """The stretch that holds more rows than a page; returns the bound after it."""
        last = answer.last(self.behaviour.date)
        end = self.behaviour.ceiling(lower if last is None else last)
        answers, is_settled = await self.union(lower, end if self.upper is None else min(end, self.upper))
        self.pages += [found.page for found in answers]
        self.has_moved |= not is_settled
        self._prove(
            lower, end, len({key for found in answers for key in found.keys}), "union" if is_settled else "part"
        )
        return end


def _date(dates: tuple[int | None, ...], which: int) -> int:
    at = dates[which]
    assert at is not None  # `tail` gives only rows that have it
    return at


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else instant_of(micros)
