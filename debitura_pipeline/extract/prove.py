"""Proves the reading of a whole listing: known rows that it did not show are settled, and the API's totals asked once more.

Keyset reading shows every row that keeps its date. A row whose date is edited meanwhile can slip from a stretch not yet
read into one that was, so windows whose rows moved, or whose totals are no longer what was landed, are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.answer import EPOCH, Answer
from debitura_pipeline.extract.comparison import bucket_differs, stated_step
from debitura_pipeline.extract.evidence import FLOATING, Totals, VerifiedWindow
from debitura_pipeline.extract.landed_rows import COLUMNS, ZERO, Figures, LandedRows, Unseen
from debitura_pipeline.extract.read import PAGE_ROWS, CeilingError, Reader
from debitura_pipeline.extract.settle import Settlement, Tenants
from debitura_pipeline.extract.stages import STAGES
from debitura_pipeline.extract.windows import Slice

MAX_ROUNDS = 5  # each reads again only what moved since the round before
SMALL_PAGES = 60  # a reading this short is repeated as a whole: asking window by window where it moved costs as much
TICK = timedelta(microseconds=1)

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class Proof:
    """The windows that make up the reading, the API's totals at its close, keys that are gone, and what is not proven.

    `is_settled`: of every known row that was not shown it is known whether it is gone.
    """

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    gone: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    is_settled: bool = True


@dataclass
class Prover:
    """`whole`: a slice without dates. `before`: the warehouse's live rows in a file, None on a first load. `mode`: the
    partner's invoicing trigger. `tenants`: tenant id by creditor."""

    reader: Reader
    whole: Slice
    mode: str | None
    before: Path | None = None
    tenants: Tenants = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    missed: list[VerifiedWindow] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    superseded: list[VerifiedWindow] = field(default_factory=list)
    current: list[VerifiedWindow] = field(default_factory=list)

    async def prove(self, windows: Sequence[VerifiedWindow]) -> Proof:
        """Show that `windows` hold what the API has of `whole`, reading again what moved meanwhile.

        Raises UnprovenError or the ApiError that ended the reading.
        """
        self.current = list(windows)
        try:
            return await self._prove()
        except CeilingError as error:
            if not self.superseded:
                raise
            self.gone, self.missed = set(), []
            self.open = {row.key for row in await self._unseen(self.current)}
            totals = self.reader.opening[self.whole]
            return self._proof(self.current, totals, (str(error),))

    async def _prove(self) -> Proof:
        current, faults = self.current, list[str | None]()
        for number in range(MAX_ROUNDS):
            found_more = await self._settle(current)
            if number == 0 and not found_more and self._is_one_answer(current):
                return self._proof(current, current[0].totals, ())
            closing = await self.reader.closing(self.whole)
            fault = await self._fault(current, closing)
            if fault is None and not found_more:
                return self._proof(current, closing.totals, ())
            if number and fault == faults[-1] and (paged := await self._by_pages(fault)) is not None:
                return self._proof([paged], paged.totals, ())
            faults.append(fault)
            again = await self._outdated(current)
            if not again:
                return await self._accept(current, closing, found_more)
            self.reader.opening[self.whole] = closing.totals
            self.current = current = await self._read_again(current, again)
        await self._settle(current)
        closing = await self.reader.closing(self.whole)
        fault = await self._fault(current, closing)
        notes = (f"{fault}, after {MAX_ROUNDS} readings of what moved",) if fault is not None else ()
        return self._proof(current, closing.totals, notes)

    async def _by_pages(self, fault: str | None) -> VerifiedWindow | None:
        """For a list that stands still and whose rows by date are not all its rows, as those without a date are not."""
        if fault is None or self.reader.listing.resource not in fault or "counts" not in fault:
            return None
        try:
            return await self.reader.read_by_pages(self.whole, f"{fault}.")
        except UnprovenError:
            return None

    async def _accept(self, windows: Sequence[VerifiedWindow], closing: Answer, found_more: bool) -> Proof:
        """No window differs from what the API states of it now; what differs of the whole is said."""
        self.reader.opening[self.whole] = closing.totals
        fault = await self._fault(windows, closing)
        if fault is None and found_more:
            fault = "rows are there that no window shows"
        return self._proof(windows, closing.totals, (fault,) if fault is not None else ())

    def _proof(self, windows: Sequence[VerifiedWindow], totals: Totals, unproven: tuple[str, ...]) -> Proof:
        if self.open:
            unproven = (
                *unproven,
                f"of {len(self.open)} rows that were not shown it is not known whether they are gone",
            )
        return Proof((*windows, *self.missed), totals, tuple(sorted(self.gone)), unproven, not self.open)

    def _is_one_answer(self, windows: Sequence[VerifiedWindow]) -> bool:
        """Read in one answer, that was whole at one moment."""
        if len(windows) != 1 or len(windows[0].stretches) != 1 or windows[0].has_moved:
            return False
        return windows[0].stretches[0].method == "answer" and not self.missed

    async def _settle(self, windows: Sequence[VerifiedWindow]) -> bool:
        """Whether known rows that the reading did not show are there after all. Runs after each reading."""
        self.gone, self.missed, self.open = set(), [], set()
        unseen = await self._unseen(windows)
        if not unseen:
            return False
        held = await _in_thread(self.reader.landed_rows(windows).per_creditor)
        settled = await Settlement(self.reader, self.tenants, held).settle(unseen)
        self.gone, self.missed, self.open = settled.gone, settled.listed, settled.open
        return bool(settled.listed or settled.open)

    async def _unseen(self, windows: Sequence[VerifiedWindow]) -> list[Unseen]:
        """Rows that the warehouse has, or that an earlier reading of this sync showed, and these windows do not."""
        landed = self.reader.landed_rows(windows)
        date = COLUMNS[landed.resource][self.reader.behaviour.date]
        bad = {row.row_key for window in windows for row in window.bad}
        found: dict[str, Unseen] = {}
        if self.before is not None:
            found |= {row.key: row for row in await _in_thread(landed.unseen, self.before, date)}
        earlier = self.reader.landed_rows(self.superseded)
        if earlier.files:
            found |= {row.key: row for row in await _in_thread(landed.unseen_of, earlier, date)}
        return [row for key, row in found.items() if key not in bad]

    async def _fault(self, windows: Sequence[VerifiedWindow], closing: Answer) -> str | None:
        """What of the closing answer does not fit the rows that were landed, or that they moved; None: nothing."""
        keys, stages = await _in_thread(self._landed(windows).totals, self.mode)
        bad = {row.row_key or row.payload_sha256 for window in (*windows, *self.missed) for row in window.bad}
        keys += len(bad)
        resource = self.reader.listing.resource
        if keys != closing.total:
            return f"the API counts {closing.total} {resource}, and {keys} were read"
        if differing := _differing(closing.totals, stages, is_judged=resource == "transactions" and not bad):
            return f"the API's totals of {', '.join(differing)} are not those of the rows that were read"
        known = {row.row_key for window in windows for row in window.bad}
        first = [window for window in windows if self._reaches(window, closing)]
        if await _in_thread(self._landed(first).lacking, closing.keys - known):
            return f"the list of {resource} shows rows that were not there when they were read past"
        opening = self.reader.opening.get(self.whole, closing.totals)
        if any(window.has_moved for window in windows) or opening.version != closing.totals.version:
            return f"{resource} moved while they were read"
        return None

    def _reaches(self, window: VerifiedWindow, closing: Answer) -> bool:
        """Whether the closing answer's rows may stand in this window."""
        start, last = window.window.start, closing.last(self.reader.behaviour.date)
        return start is None or last is None or (start - EPOCH) // TICK <= last

    def _landed(self, windows: Sequence[VerifiedWindow]) -> LandedRows:
        return self.reader.landed_rows([*windows, *self.missed])

    async def _outdated(self, windows: Sequence[VerifiedWindow]) -> list[VerifiedWindow]:
        """The windows to read again: all where they are few pages, else those that moved or whose totals are others now."""
        pages = sum(max(len(window.stretches), -(-window.rows // PAGE_ROWS)) for window in windows)
        if pages <= SMALL_PAGES or len(windows) == 1:
            return list(windows)
        plain = [window for window in windows if not window.slice.filters or window.slice.filters == self.whole.filters]
        date = COLUMNS[self.reader.listing.resource][self.reader.behaviour.date]
        ours = await _in_thread(self._landed(windows).by_window, [window.window for window in plain], date, self.mode)
        asked = [
            self.reader.exact_totals(w.window.start, w.window.end - TICK if w.window.end else None, w.slice.filters)
            for w in plain
        ]
        now = await asyncio.gather(*asked)
        return [
            window
            for window, totals, figures in zip(plain, now, ours, strict=True)
            if window.has_moved
            or totals.count != sum(count for count, _ in figures.values())
            or _differing(totals, figures, is_judged=self.reader.listing.resource == "transactions")
        ]

    async def _read_again(
        self, current: Sequence[VerifiedWindow], again: Sequence[VerifiedWindow]
    ) -> list[VerifiedWindow]:
        self.superseded += [*again, *self.missed]
        outdated = {window.slice for window in again}
        slices = [self.whole] if len(outdated) == len(current) else [window.slice for window in again]
        kept = [window for window in current if window.slice not in outdated] if len(outdated) < len(current) else []
        return [*kept, *await self.reader.read(slices, again=True)]


def _differing(totals: Totals, ours: Figures, *, is_judged: bool) -> list[str]:
    """Stages of which the API states another count or settled sum."""
    if not is_judged:
        return []
    stated = {stage: total for stage, total in totals.summary.items() if stage in STAGES}
    step = stated_step(total.usd for stage, total in stated.items() if stage not in FLOATING)
    return [stage for stage, total in stated.items() if bucket_differs(stage, total, *ours.get(stage, (0, ZERO)), step)]


async def _in_thread(count: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    return await asyncio.to_thread(count, *args, **options)
