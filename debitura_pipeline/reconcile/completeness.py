"""Proves the reading of a whole listing: known rows that it did not show are settled, and the API's totals asked once more.

Keyset reading shows every row that keeps its date. A row whose date is edited meanwhile can slip from a stretch not yet
read into one that was, so windows whose rows moved, or whose totals are no longer what was landed, are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.answer import Answer
from debitura_pipeline.extract.comparison import CENT, bucket_differs, stated_precision
from debitura_pipeline.extract.landed_rows import COLUMNS, ZERO, Figures, Unseen
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.requests import PAGE_ROWS, SPARE_REQUESTS, CeilingError
from debitura_pipeline.extract.verified_window import FLOATING, Totals, VerifiedWindow
from debitura_pipeline.extract.windows import EPOCH, TICK, Slice
from debitura_pipeline.reconcile.missing_rows import Settlement, Tenants

MAX_ROUNDS = 5  # each reads again only what moved since the round before
FEW_FLOATING = 0.25  # of the windows
SMALL_PAGES = 60  # a reading this short is repeated as a whole, and one of short windows: asking each costs as much

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
    in_part: str | None = None

    async def prove(self, windows: Sequence[VerifiedWindow]) -> Proof:
        """Show that `windows` hold what the API has of `whole`, reading again what moved meanwhile.

        Raises UnprovenError or the ApiError that ended the reading.
        """
        self.current = list(windows)
        try:
            return await self._prove()
        except CeilingError:
            return await self._unproven()

    async def _unproven(self) -> Proof:
        """What was read last, where no requests are left to prove it; some are spared for known rows that it did not show."""
        asker = self.reader.asker
        spent, asker.ceiling = asker.requests, asker.requests + SPARE_REQUESTS
        try:
            await self._settle()
        except CeilingError:
            self.gone, self.missed = set(), []
            self.open = {row.key for row in await self._unseen()}
        totals = self.reader.opening.get(self.whole, self.current[0].totals)
        resource = self.reader.listing.resource
        return self._proof(totals, (f"{resource} moved while they were read, until {spent} requests were spent",))

    async def _prove(self) -> Proof:
        faults: list[str] = []
        for number in range(MAX_ROUNDS):
            self.gone, self.missed, self.open = set(), [], set()
            totals, fault = await self._closing(is_first=number == 0)
            if fault is None and not await self._settle():
                return self._proof(totals, ())
            fault = fault or "rows are there that no window shows"
            if number and fault == faults[-1] and (paged := await self._by_pages(fault)) is not None:
                self.current, self.missed = [paged], []
                return self._proof(paged.totals, ())
            faults.append(fault)
            again = await self._outdated()
            if not again:
                await self._settle()
                return self._proof(totals, (fault,))
            self.reader.opening[self.whole] = totals
            await self._read_again(again)
        await self._settle()
        totals, fault = await self._closing()
        return self._proof(
            totals, (f"{fault}, after {MAX_ROUNDS} readings of what moved",) if fault is not None else ()
        )

    async def _closing(self, *, is_first: bool = False) -> tuple[Totals, str | None]:
        """The API's totals now, and what of them does not fit; of a list read in one answer those of that answer."""
        if is_first and self._is_one_answer():
            return self.current[0].totals, None
        closing = await self.reader.closing(self.whole)
        return closing.totals, await self._fault(closing)

    async def _by_pages(self, fault: str | None) -> VerifiedWindow | None:
        """For a list that stands still and whose rows by date are not all its rows, as those without a date are not."""
        if fault is None or self.reader.listing.resource not in fault or "counts" not in fault:
            return None
        try:
            return await self.reader.read_by_pages(self.whole, f"{fault}.")
        except UnprovenError:
            return None

    def _proof(self, totals: Totals, unproven: tuple[str, ...]) -> Proof:
        if self.in_part is not None and len(self.current) > 1:
            unproven = (*unproven, self.in_part)
        if self.open:
            unproven = (
                *unproven,
                f"of {len(self.open)} rows that were not shown it is not known whether they are gone",
            )
        return Proof((*self.current, *self.missed), totals, tuple(sorted(self.gone)), unproven, not self.open)

    def _is_one_answer(self) -> bool:
        """Read in one answer, that was whole at one moment, and whose totals are at hand."""
        stretches = [stretch for window in self.current for stretch in window.stretches]
        is_one = len(self.current) == len(stretches) == 1 and stretches[0].method == "answer"
        return is_one and not self.current[0].has_moved

    async def _settle(self) -> bool:
        """Whether known rows that the reading did not show are there after all."""
        unseen = await self._unseen()
        if not unseen:
            return False
        held = await _in_thread(self.reader.landed_rows(self.current).per_creditor)
        settled = await Settlement(self.reader, self.tenants, held).settle(unseen)
        self.gone, self.missed, self.open = settled.gone, settled.listed, settled.open
        return bool(settled.listed or settled.open)

    async def _unseen(self) -> list[Unseen]:
        """Rows that the warehouse has, or that an earlier reading of this sync showed, and the last one did not."""
        landed = self.reader.landed_rows(self.current)
        date = COLUMNS[landed.resource][self.reader.behaviour.date]
        bad = {row.row_key for window in self.current for row in window.bad}
        found: dict[str, Unseen] = {}
        if self.before is not None:
            found |= {row.key: row for row in await _in_thread(landed.unseen, self.before, date)}
        earlier = self.reader.landed_rows(self.superseded)
        if earlier.files:
            found |= {row.key: row for row in await _in_thread(landed.unseen_of, earlier, date)}
        return [row for key, row in found.items() if key not in bad]

    async def _fault(self, closing: Answer) -> str | None:
        """What of the closing answer does not fit the rows that were landed, or that they moved; None: nothing."""
        windows = [*self.current, *self.missed]
        keys, stages = await _in_thread(self.reader.landed_rows(windows).totals, self.mode)
        bad = {row.row_key or row.payload_sha256 for window in windows for row in window.bad}
        keys += len(bad)
        resource = self.reader.listing.resource
        if keys != closing.total:
            return f"the API counts {closing.total} {resource}, and {keys} were read"
        if differing := _differing(closing.totals, stages, is_judged=resource == "transactions" and not bad):
            return f"the API's totals of {', '.join(differing)} are not those of the rows that were read"
        known = {row.row_key for window in windows for row in window.bad}
        first = [window for window in windows if self._reaches(window, closing)]
        if await _in_thread(self.reader.landed_rows(first).lacking, closing.keys - known):
            return f"the list of {resource} shows rows that were not there when they were read past"
        opening = self.reader.opening.get(self.whole, closing.totals)
        if any(window.has_moved for window in windows) or opening.version != closing.totals.version:
            return f"{resource} moved while they were read"
        return None

    def _reaches(self, window: VerifiedWindow, closing: Answer) -> bool:
        """Whether the closing answer's rows may stand in this window."""
        start, last = window.window.start, closing.last(self.reader.behaviour.date)
        return start is None or last is None or (start - EPOCH) // TICK <= last

    async def _outdated(self) -> list[VerifiedWindow]:
        """The windows to read again: all where they are few pages, else those that moved or whose totals are others now."""
        windows = self.current
        pages = sum(max(len(window.stretches), -(-window.rows // PAGE_ROWS)) for window in windows)
        if pages <= max(SMALL_PAGES, 2 * len(windows)):
            return list(windows)
        plain = [window for window in windows if not window.slice.filters or window.slice.filters == self.whole.filters]
        date = COLUMNS[self.reader.listing.resource][self.reader.behaviour.date]
        ours = await _in_thread(
            self.reader.landed_rows(windows).by_window, [window.window for window in plain], date, self.mode
        )
        asked = [
            self.reader.exact_totals(w.window.start, w.window.end - TICK if w.window.end else None, w.slice.filters)
            for w in plain
        ]
        now = list(zip(plain, await asyncio.gather(*asked), ours, strict=True))
        is_judged = self.reader.listing.resource == "transactions"
        outdated = {
            window.slice
            for window, totals, figures in now
            if window.has_moved
            or totals.count != sum(count for count, _ in figures.values())
            or _differing(totals, figures, is_judged=is_judged)
        }
        # Exchange rates move the estimates of all windows at once: where few have other sums, other rows are in them.
        floated = {window.slice for window, totals, figures in now if is_judged and _floats(totals, figures)}
        if len(floated) <= len(now) * FEW_FLOATING:
            outdated |= floated
        return [window for window in windows if window.slice in outdated]

    async def _read_again(self, again: Sequence[VerifiedWindow]) -> None:
        """Replace these windows by readings of now; all of them by one reading of the whole."""
        self.superseded += again
        outdated = {window.slice for window in again}
        kept = [window for window in self.current if window.slice not in outdated]
        slices = [window.slice for window in again] if kept else [self.whole]
        # New rows come after the sync's upper bound; where others moved, one may have slipped where no total shows it.
        if kept and any(window.window.start is None or window.window.start < self.reader.upper for window in again):
            self.in_part = (
                f"rows moved while they were read: {len(again)} of {len(self.current)} windows were read again, the others "
                "compared by the API's totals alone"
            )
        self.current = [*kept, *await self.reader.read(slices, again=True)]


def _floats(totals: Totals, ours: Figures) -> bool:
    """Whether the USD of estimates is another than that of the rows that were read."""
    return any(
        total.usd is not None and abs(total.usd - ours.get(stage, (0, ZERO))[1]) > CENT
        for stage, total in totals.summary.items()
        if stage in STAGES and stage in FLOATING
    )


def _differing(totals: Totals, ours: Figures, *, is_judged: bool) -> list[str]:
    """Stages of which the API states another count or settled sum."""
    if not is_judged:
        return []
    stated = {stage: total for stage, total in totals.summary.items() if stage in STAGES}
    precision = stated_precision(total.usd for stage, total in stated.items() if stage not in FLOATING)
    return [
        stage for stage, total in stated.items() if bucket_differs(stage, total, *ours.get(stage, (0, ZERO)), precision)
    ]


async def _in_thread(count: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    return await asyncio.to_thread(count, *args, **options)
