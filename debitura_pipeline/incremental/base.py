"""The nightly reading of a large listing: what both kinds, cases and transactions, have in common.

Belongs here: laying what is read over what was known, settling rows that were not shown, the turn, the closing question.
Does not: which buckets there are and how they are asked for (`night_cases.py`, `night_transactions.py`). Used by `sync/`.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.verified_window import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.incremental.expected_state import Missing, Overlay
from debitura_pipeline.incremental.hourly_totals import Ledger
from debitura_pipeline.incremental.rotation import cost_of, due_days, pages_of

MAX_ROUNDS = 4  # closing questions; each round looks only where totals still differ
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
EVERYTHING = Window(None, None)


@dataclass(frozen=True)
class Forecast:
    """Requests that a nightly reading will take, by what they are for."""

    parts: tuple[tuple[str, float], ...]

    @property
    def requests(self) -> int:
        return round(sum(cost for _, cost in self.parts))


@dataclass(frozen=True)
class NightReading:
    """What was read and what it proves: windows, the API's totals at the close, keys that are gone, what stays unproven."""

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    gone: tuple[str, ...]
    unproven: tuple[str, ...] = ()


@dataclass
class Night(ABC):
    """One night's reading. `overlay` is the state as it will be merged; `at` the sync's clock; `last` the last upper bound."""

    reader: Reader
    overlay: Overlay
    at: datetime
    refresh_days: int
    last: datetime | None = None
    verified: dict[Slice, VerifiedWindow] = field(default_factory=dict)
    asked: set[Slice] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    since: int = 0  # the first window of the reading done last
    most_windows: int = (
        sys.maxsize
    )  # whose totals are asked for: each is a request, and coarser ones take more halvings

    @abstractmethod
    async def first_look(self) -> None:
        """Read what is read every night."""

    @abstractmethod
    async def look_closer(self, number: int) -> list[str]:
        """Find and read where totals differ; names of the windows that did. `number` counts rounds from 1."""

    @abstractmethod
    async def settle(self, rows: Sequence[Missing]) -> None:
        """Find out of rows that no reading shows whether they are gone."""

    @abstractmethod
    def agrees(self, closing: Totals, ledger: Ledger) -> bool:
        """Our state has what the API states of everything."""

    @abstractmethod
    async def estimate(self, full: int) -> Forecast:
        """What the night will cost, for at most 2 % of the `full` requests that reading everything takes."""

    @abstractmethod
    async def forecast(self) -> Forecast:
        """What the night will cost; asks for the windows' totals and reads nothing else."""

    async def read(self) -> NightReading:
        """Read until the API's totals and ours agree, or say by UnprovenError where they do not."""
        await self.take_turn()
        await self.first_look()
        names: list[str] = []
        for number in range(1, MAX_ROUNDS + 1):
            names = await self.look_closer(number)
            # What a reading showed that was replaced since, and no other shows: it was there tonight, and may be gone.
            await self.settle(self.overlay.withdrawn())
            closing = await self.reader.totals(Slice(EVERYTHING))
            if self.agrees(closing, self.overlay.ledger()) and not self.overlay.withdrawn():
                return NightReading(tuple(self.verified.values()), closing, tuple(self.gone), tuple(self.unproven))
        where = ", ".join(names[:5]) or "rows without a date"
        raise UnprovenError(
            f"{self.reader.listing.resource}: after {MAX_ROUNDS} rounds the API's totals still differ from what was read, "
            f"in {where}. Nothing of this sync reached the warehouse; run it again, or with --full.",
            resource=self.reader.listing.resource,
            windows=names,
        )

    async def take_turn(self) -> None:
        """Read the days whose turn it is whole, and note which of their rows are gone."""
        windows = self.turn()
        await self.take([Slice(window) for window in windows])
        for window in windows:
            self.lose(self.overlay.missing(window, None))

    def turn(self) -> list[Window]:
        return due_days(self.overlay.days_by_age(), self.at, self.refresh_days, self.reader.upper)

    def turn_cost(self) -> int:
        return cost_of(self.turn(), self.overlay.days_by_age())

    async def take(self, slices: Sequence[Slice]) -> None:
        """Read these and lay them over what was known; what was read before of the same slice is replaced."""
        again = [slice_ for slice_ in slices if slice_ in self.asked]
        fresh = [slice_ for slice_ in slices if slice_ not in self.asked]
        if again:
            self.verified = {known: found for known, found in self.verified.items() if not _is_part(known, again)}
        found = [*await self.reader.read(fresh), *await self.reader.read(again, again=True)]
        if any(verified.is_in_part for verified in found):  # what it does not show is not known to be gone
            raise UnprovenError(
                f"{self.reader.listing.resource}: more rows at one instant than a page, and their number would not hold still.",
                resource=self.reader.listing.resource,
            )
        self.verified |= {verified.slice: verified for verified in found}
        self.asked |= set(slices)
        self.since = min((verified.seq for verified in found), default=0)
        if slices:
            self.lay()

    async def look_again(self, regions: Sequence[tuple[Window, str | None]]) -> None:
        """Rows shown earlier tonight in these regions, which the reading just done should have shown, too, and did not:
        what showed them is read again, so that it does not say of rows that are gone meanwhile that they are there."""
        outdated = {seq for window, bucket in regions for seq in self.overlay.seen_before(window, bucket, self.since)}
        slices = [verified.slice for verified in self.verified.values() if verified.seq in outdated]
        await self.take([slice_ for slice_ in slices if not slice_.is_by_id])

    def lay(self) -> None:
        """Lay all that was read over what was known."""
        ordered = sorted(self.verified.values(), key=lambda verified: verified.seq)
        self.overlay.use([self.reader.folder.path / verified.file for verified in ordered if verified.file])

    def lose(self, rows: Sequence[Missing]) -> None:
        """These rows are gone: a complete reading of where they stood did not show them."""
        bad = {row.row_key for verified in self.verified.values() for row in verified.bad}
        keys = [row.key for row in rows if row.key not in bad]
        self.gone += keys
        self.overlay.drop([row.key for row in rows])

    async def settle_by_hours(self, rows: Sequence[Missing]) -> None:
        """Rows that left a bucket and turned up in none: read the hours that they stood in whole, or the day if shorter."""
        windows: set[Window] = set()
        ledger = self.overlay.ledger() if rows else None
        for day in {floor(row.at, DAY) for row in rows}:
            hours = {floor(row.at, HOUR) for row in rows if floor(row.at, DAY) == day}
            whole = Window(day, day + DAY)
            pages = pages_of(ledger.rows(whole)) if ledger is not None else 0
            windows |= {whole} if pages <= len(hours) else {Window(hour, hour + HOUR) for hour in hours}
        ordered = sorted(windows, key=lambda window: window.name)
        await self.take([Slice(window) for window in ordered])
        for window in ordered:
            self.lose(self.overlay.missing(window, None))

    async def ask(self, window: Window, filters: Filters = ()) -> Totals:
        """What the API states of a window by its own bounds exactly, its end not included."""
        end = window.end - TICK if window.end is not None else None
        return await self.reader.exact_totals(window.start, end, filters)

    async def ask_all(self, windows: Sequence[Window], filters: Filters = ()) -> list[Totals]:
        return list(await asyncio.gather(*(self.ask(window, filters) for window in windows)))

    def months(self) -> list[Window]:
        """Windows that cover the listing: before the first month, each month or a longer unit, what is left, and from this
        hour on. All begin and end with an hour, as our own counts do."""
        upper = floor(self.reader.upper, HOUR)
        earliest = self.overlay.earliest() or upper
        cut, parts = EVERYTHING.months(earliest, upper), self.most_windows
        while len(cut) > self.most_windows and parts > 1:
            parts //= 2
            cut = EVERYTHING.split(earliest, upper, parts)
        return list(cut) if 0 < len(cut) <= self.most_windows else [EVERYTHING]


def _is_part(known: Slice, wholes: Sequence[Slice]) -> bool:
    """Whether one of `wholes`, read again, covers `known`: a slice is kept in parts where it was too long."""
    return any(
        known.filters == whole.filters
        and (
            whole.window.start is None or (known.window.start is not None and known.window.start >= whole.window.start)
        )
        and (whole.window.end is None or (known.window.end is not None and known.window.end <= whole.window.end))
        for whole in wholes
    )


def floor(at: datetime, unit: timedelta) -> datetime:
    start = at.replace(minute=0, second=0, microsecond=0)
    return start if unit == HOUR else start.replace(hour=0)
