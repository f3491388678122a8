"""Base of the incremental syncs: read, compare with the API's totals, resolve missing rows, repeat until the totals match.

Which buckets are compared and how they are requested is defined in `cases.py` and `transactions.py`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import DAY, EVERYTHING, HOUR, TICK, Filters, Slice, Window, tenant_filter
from debitura_pipeline.incremental.expected_state import ExpectedState, MissingRow
from debitura_pipeline.incremental.hourly_totals import HourlyTotals
from debitura_pipeline.incremental.rotation import choose_due_days, page_count, read_cost
from debitura_pipeline.landing.tenants import UnlistedTenantError

log = logging.getLogger(__name__)

MAX_ROUNDS = 4  # comparisons with the closing totals; later rounds read only where totals still differ


@dataclass(frozen=True)
class CostEstimate:
    """Expected requests of a sync, as pairs of purpose and number."""

    parts: tuple[tuple[str, float], ...]

    @property
    def requests(self) -> int:
        """All requests, rounded."""
        return round(sum(cost for _, cost in self.parts))


@dataclass(frozen=True)
class SyncOutcome:
    """What an incremental sync read. `totals`: the API's closing totals; `deleted`: keys; `unproven`: one note each."""

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    deleted: tuple[str, ...]
    unproven: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadBatch:
    """Windows that were read together."""

    windows: tuple[VerifiedWindow, ...]

    @property
    def first_seq(self) -> int:
        """The lowest sequence number of the batch, 0 if it is empty."""
        return min((window.seq for window in self.windows), default=0)


@dataclass
class IncrementalSync(ABC):
    """One incremental sync of a resource.

    `expected` is the state that will be merged, `at` the time of the sync, `last_upper` the upper bound of the previous sync.
    `max_windows` limits how many windows are compared first: each costs a request, and fewer ones need more bisection.
    `renamed`: tenant ids of clients whose rows still have another one, with the number of these rows.
    """

    reader: Reader
    expected: ExpectedState
    at: datetime
    refresh_days: int
    last_upper: datetime | None = None
    verified: dict[Slice, VerifiedWindow] = field(default_factory=dict)
    requested: set[Slice] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    max_windows: int = sys.maxsize
    renamed: Sequence[tuple[str, int]] = ()

    @abstractmethod
    async def initial_read(self) -> None:
        """Read what every sync reads, whatever the totals say."""

    @abstractmethod
    async def first_round(self) -> list[str]:
        """Compare totals and read what differs; return the names of the windows that differed."""

    @abstractmethod
    async def later_round(self) -> list[str]:
        """Do the same for every bucket, after a round that did not make the totals match."""

    @abstractmethod
    async def resolve_missing(self, rows: Sequence[MissingRow]) -> None:
        """Find out whether rows that no read returned have moved or been deleted."""

    @abstractmethod
    def matches(self, closing: Totals, ours: HourlyTotals) -> bool:
        """Whether the API's totals of the whole listing equal the expected state's."""

    async def find_swapped_rows(self, closing: Totals, ours: HourlyTotals) -> bool:
        """Whether rows may have changed places in this round without changing a total that `matches` compares.

        What can be read to find them is read; another round compares again.
        """
        return False

    def unsettled_notes(self) -> tuple[str, ...]:
        """What is not known of rows that were shown in this sync and then no longer; one sentence each."""
        return ()

    @abstractmethod
    async def estimate(self, full_requests: int) -> CostEstimate:
        """Estimate the cost of this sync with at most 2 % of the `full_requests` that a full sync takes."""

    @abstractmethod
    async def detailed_estimate(self) -> CostEstimate:
        """Estimate the cost of this sync from the totals of all comparison windows; reads no rows."""

    async def run(self) -> SyncOutcome:
        """Read until the API's totals match the expected state.

        Raises UnprovenError if they still differ after `MAX_ROUNDS` rounds, or the ApiError that ended the sync.
        """
        self.expected.note_shown(self.reader.files(self.reader.shown.values()))
        await self.refresh_due_days()
        await self._read_renamed_clients()
        await self.initial_read()
        names: list[str] = []
        for number in range(1, MAX_ROUNDS + 1):
            names = await (self.first_round() if number == 1 else self.later_round())
            # Withdrawn rows existed during this sync, but the read that showed them was replaced: they may be deleted by now.
            await self.resolve_missing(self.expected.withdrawn())
            closing = await self.reader.totals(Slice(EVERYTHING))
            ours = self.expected.hourly_totals()
            if self.matches(closing, ours) and not self.expected.withdrawn():
                if await self.find_swapped_rows(closing, ours):
                    if number < MAX_ROUNDS:
                        continue
                    self.unproven.append(f"rows changed while they were read, in each of {MAX_ROUNDS} rounds")
                unproven = (*self.unproven, *self.unsettled_notes())
                return SyncOutcome(tuple(self.verified.values()), closing, tuple(self.deleted), unproven)
        where = ", ".join(names[:5]) or "rows without a date"
        raise UnprovenError(
            f"{self.reader.listing.resource}: after {MAX_ROUNDS} rounds the API's totals still differ from what was read, "
            f"in {where}. Nothing of this sync reached the warehouse; run it again, or with --full.",
            resource=self.reader.listing.resource,
            windows=names,
        )

    async def refresh_due_days(self) -> None:
        """Re-read the days that are due for refresh, and mark rows deleted that are no longer there."""
        windows = self.due_windows()
        await self.read([Slice(window) for window in windows])
        for window in windows:
            self.mark_deleted([row.key for row in self.expected.missing(window, None)])

    async def _read_renamed_clients(self) -> None:
        """Read the clients of `renamed` whole: an edit of a tenant id changes no total."""
        if not self.renamed:
            return
        try:
            await self.read([Slice(EVERYTHING, tenant_filter(tenant)) for tenant, _ in self.renamed])
        except UnlistedTenantError:  # archived in these seconds; the next sync no longer asks for it
            log.warning("%s: a client with a new tenant id is no longer listed", self.reader.listing.resource)

    def due_windows(self) -> list[Window]:
        """The windows that are due for refresh."""
        return choose_due_days(self.expected.days_by_age(), self.at, self.refresh_days, self.reader.upper)

    def refresh_cost(self) -> int:
        """Requests that the periodic refresh takes in this sync."""
        return read_cost(self.due_windows(), self.expected.days_by_age())

    def fixed_costs(self) -> tuple[tuple[str, float], ...]:
        """Parts of the estimate that do not depend on what the API states."""
        renamed = sum(page_count(rows) for _, rows in self.renamed)
        return ("clients with another tenant id", float(renamed)), ("periodic refresh", float(self.refresh_cost()))

    async def read(self, slices: Sequence[Slice]) -> ReadBatch:
        """Read `slices` and apply them to the expected state; an earlier read of the same slice is replaced.

        Raises UnprovenError if a read may be incomplete, since missing rows could not be told from deleted ones.
        """
        again = [slice_ for slice_ in slices if slice_ in self.requested]
        new = [slice_ for slice_ in slices if slice_ not in self.requested]
        if again:
            self.verified = {known: window for known, window in self.verified.items() if not _is_covered(known, again)}
        found = [*await self.reader.read(new), *await self.reader.read(again, again=True)]
        if any(window.is_partial for window in found):
            raise UnprovenError(
                f"{self.reader.listing.resource}: more rows at one instant than a page holds, and their number kept changing.",
                resource=self.reader.listing.resource,
            )
        self.verified |= {window.slice: window for window in found}
        self.requested |= set(slices)
        if slices:
            self.apply_verified()
        return ReadBatch(tuple(found))

    async def reread_stale(self, regions: Sequence[tuple[Window, str | None]], batch: ReadBatch) -> None:
        """Re-read earlier windows that hold rows which `batch`, a later read of the same regions, did not return.

        A region is a window and a bucket (None: every bucket). Without this, rows deleted during the sync would survive.
        """
        stale = {
            seq for window, bucket in regions for seq in self.expected.stale_reads(window, bucket, batch.first_seq)
        }
        slices = [window.slice for window in self.verified.values() if window.seq in stale]
        await self.read([slice_ for slice_ in slices if not slice_.is_by_id])

    def apply_verified(self) -> None:
        """Apply all windows read so far to the expected state."""
        ordered = sorted(self.verified.values(), key=lambda window: window.seq)
        self.expected.apply(self.reader.files(ordered))

    def mark_deleted(self, keys: Sequence[str]) -> None:
        """Note rows as deleted after a complete read of their place did not return them; quarantined rows still exist."""
        bad = {row.row_key for window in self.verified.values() for row in window.bad}
        known = self.expected.known_keys(keys) - bad if keys else set()
        self.deleted += [key for key in keys if key in known]
        self.expected.mark_deleted(keys)

    async def resolve_missing_by_hour(self, rows: Sequence[MissingRow]) -> None:
        """Read the hours of these rows with every bucket, or the whole day if that takes no more requests."""
        windows: set[Window] = set()
        ours = self.expected.hourly_totals() if rows else None
        for day in {floor_to(row.at, DAY) for row in rows}:
            hours = {floor_to(row.at, HOUR) for row in rows if floor_to(row.at, DAY) == day}
            whole = Window(day, day + DAY)
            pages = page_count(ours.rows(whole)) if ours is not None else 0
            windows |= {whole} if pages <= len(hours) else {Window(hour, hour + HOUR) for hour in hours}
        ordered = sorted(windows, key=lambda window: window.name)
        await self.read([Slice(window) for window in ordered])
        for window in ordered:
            self.mark_deleted([row.key for row in self.expected.missing(window, None)])

    async def fetch_totals(self, window: Window, filters: Filters = ()) -> Totals:
        """What the API states of a window, end excluded; one request. Raises ApiError."""
        end = window.end - TICK if window.end is not None else None
        return await self.reader.exact_totals(window.start, end, filters)

    async def fetch_all_totals(self, windows: Sequence[Window], filters: Filters = ()) -> list[Totals]:
        """The same for several windows, concurrently and in their order. Raises ApiError."""
        return list(await asyncio.gather(*(self.fetch_totals(window, filters) for window in windows)))

    def comparison_windows(self) -> list[Window]:
        """Windows that cover the listing: before the first month, each month, and from the current hour on.

        At most `max_windows`, by using longer windows than months. Bounds are whole hours, as in `HourlyTotals`.
        """
        upper = floor_to(self.reader.upper, HOUR)
        earliest = self.expected.earliest() or upper
        windows, parts = EVERYTHING.months(earliest, upper), self.max_windows
        while len(windows) > self.max_windows and parts > 1:
            parts //= 2
            windows = EVERYTHING.split(earliest, upper, parts)
        return list(windows) if 0 < len(windows) <= self.max_windows else [EVERYTHING]


def _is_covered(known: Slice, wholes: Sequence[Slice]) -> bool:
    """Whether `known` lies within one of `wholes`; a slice that was too long has been landed in parts."""
    return any(
        known.filters == whole.filters
        and (
            whole.window.start is None or (known.window.start is not None and known.window.start >= whole.window.start)
        )
        and (whole.window.end is None or (known.window.end is not None and known.window.end <= whole.window.end))
        for whole in wholes
    )


def floor_to(at: datetime, unit: timedelta) -> datetime:
    """Round down to the hour if `unit` is `HOUR`, else to the day."""
    start = at.replace(minute=0, second=0, microsecond=0)
    return start if unit == HOUR else start.replace(hour=0)
