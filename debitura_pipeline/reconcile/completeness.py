"""Prove that a listing was read completely: resolve known rows that were not returned, and compare the closing totals.

Keyset reading returns every row that keeps its date. A row whose date is edited meanwhile can move to a stretch that was read
before, so windows whose rows moved, or whose totals no longer match the landed rows, are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.comparison import CENT, bucket_differs, stated_precision
from debitura_pipeline.extract.landed_rows import DATE_COLUMNS, ZERO, BucketTotals, UnseenRow
from debitura_pipeline.extract.listing_client import PAGE_ROWS, SPARE_REQUESTS, RequestLimitError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import FLOATING, Totals, VerifiedWindow
from debitura_pipeline.extract.windows import EPOCH, TICK, Slice
from debitura_pipeline.plural import counted
from debitura_pipeline.reconcile.missing_rows import MissingRowResolver, Tenants

MAX_ROUNDS = 5  # each re-reads only what moved since the previous one
FEW_FLOATING = 0.25  # share of the windows
SMALL_PAGES = 60  # up to this many pages everything is read again: requesting the totals of each window costs as much
NOT_ON_PAGES = "rows exist that two equal passes by page numbers did not show"

T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True)
class CompletenessProof:
    """What was read. `totals`: the API's closing totals; `deleted`: keys; `unproven`: one note each.

    `is_settled`: it is known of every row that was not returned whether it was deleted.
    """

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    deleted: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    is_settled: bool = True


@dataclass
class Prover:
    """Proves that `whole`, a slice without dates, was read completely.

    `baseline`: file of the warehouse's live rows, None on a first load. `invoicing_mode`: the partner's invoicing trigger.
    `tenants`: tenant id by creditor.
    """

    reader: Reader
    whole: Slice
    invoicing_mode: str | None
    baseline: Path | None = None
    tenants: Tenants = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    recovered: list[VerifiedWindow] = field(default_factory=list)
    unresolved: set[str] = field(default_factory=set)
    current: list[VerifiedWindow] = field(default_factory=list)
    partial_note: str | None = None

    def __post_init__(self) -> None:
        self.reader.whole = self.whole

    async def prove(self, windows: Sequence[VerifiedWindow]) -> CompletenessProof:
        """Show that `windows` hold what the API has of `whole`, re-reading what moved meanwhile.

        What cannot be shown is noted as unproven. Raises UnprovenError if rows cannot be read by date or page number, or the
        ApiError of a request.
        """
        self.current = list(windows)
        try:
            return await self._prove()
        except RequestLimitError:
            return await self._unproven()

    async def _unproven(self) -> CompletenessProof:
        """Return what was read last when the request limit is reached; a few more requests resolve rows that were not returned."""
        listing_client = self.reader.listing_client
        spent, listing_client.request_limit = listing_client.requests, listing_client.requests + SPARE_REQUESTS
        try:
            await self._resolve_unseen()
        except RequestLimitError:
            self.deleted, self.recovered = set(), []
            self.unresolved = {row.key for row in await self._unseen()}
        totals = self.reader.opening_totals.get(self.whole, self.current[0].totals)
        resource = self.reader.listing.resource
        return self._result(totals, (f"reading {resource} was stopped after {spent} requests",))

    async def _prove(self) -> CompletenessProof:
        mismatches: list[str] = []
        for number in range(MAX_ROUNDS):
            self.deleted, self.recovered, self.unresolved = set(), [], set()
            totals, mismatch = await self._closing(is_first=number == 0)
            if mismatch is None and not await self._resolve_unseen():
                return self._result(totals, ())
            mismatch = mismatch or "rows exist that no window contains"
            if number and mismatch == mismatches[-1] and (paged := await self._by_pages(mismatch)) is not None:
                self.current = [paged]
                was_incomplete = await self._resolve_unseen()
                return self._result(paged.totals, (NOT_ON_PAGES,) if was_incomplete else ())
            mismatches.append(mismatch)
            again = await self._windows_to_reread()
            if not again:
                await self._resolve_unseen()
                return self._result(totals, (mismatch,))
            self.reader.opening_totals[self.whole] = totals
            await self._read_again(again)
        await self._resolve_unseen()
        totals, mismatch = await self._closing()
        return self._result(
            totals, (f"{mismatch}, after {MAX_ROUNDS} reads of what moved",) if mismatch is not None else ()
        )

    async def _closing(self, *, is_first: bool = False) -> tuple[Totals, str | None]:
        """Return the API's current totals and how they differ from what was read, None if they match.

        A list that was read in a single response needs no other request.
        """
        if is_first and self._is_single_response():
            return self.current[0].totals, None
        closing = await self.reader.first_page(self.whole)
        return closing.totals, await self._mismatch(closing, is_first=is_first)

    async def _by_pages(self, mismatch: str | None) -> VerifiedWindow | None:
        """Read a list by page numbers that does not change but has rows without a date; None if that is not possible."""
        if mismatch is None or self.reader.listing.resource not in mismatch or "counts" not in mismatch:
            return None
        try:
            return await self.reader.read_by_pages(self.whole, f"{mismatch}.")
        except UnprovenError:
            return None

    def _result(self, totals: Totals, unproven: tuple[str, ...]) -> CompletenessProof:
        if self.partial_note is not None and len(self.current) > 1:
            unproven = (*unproven, self.partial_note)
        if self.unresolved:
            unproven = (
                *unproven,
                f"{counted(len(self.unresolved), 'known row')} not returned, and it is not known whether deleted",
            )
        return CompletenessProof(
            (*self.current, *self.recovered), totals, tuple(sorted(self.deleted)), unproven, not self.unresolved
        )

    def _is_single_response(self) -> bool:
        """Whether everything was read in a single response, which has the totals of the same moment."""
        stretches = [stretch for window in self.current for stretch in window.stretches]
        is_one = len(self.current) == len(stretches) == 1 and stretches[0].method == "answer"
        return is_one and not self.current[0].has_moved

    async def _resolve_unseen(self) -> bool:
        """Resolve known rows that were not returned; return whether some still exist or remain unresolved."""
        self.deleted, self.recovered, self.unresolved = set(), [], set()
        unseen = await self._unseen()
        if not unseen:
            return False
        rows_by_creditor = await _in_thread(self.reader.landed_rows(self.current).keys_by_creditor)
        resolved = await MissingRowResolver(self.reader, self.tenants, rows_by_creditor).resolve(unseen)
        self.deleted, self.recovered, self.unresolved = resolved.deleted, resolved.recovered, resolved.unresolved
        return bool(resolved.recovered or resolved.unresolved)

    async def _unseen(self) -> list[UnseenRow]:
        """Rows that the warehouse or an earlier read has, and the last read does not; also of reads before an interruption."""
        landed = self.reader.landed_rows(self.current)
        date = DATE_COLUMNS[landed.resource][self.reader.behaviour.date]
        bad = {row.row_key for window in self.current for row in window.bad}
        found: dict[str, UnseenRow] = {}
        if self.baseline is not None:
            found |= {row.key: row for row in await _in_thread(landed.unseen_rows, self.baseline, date)}
        current, filters = {window.seq for window in self.current}, {*self.whole.filters}
        earlier = self.reader.landed_rows(
            [w for w in self.reader.shown.values() if w.seq not in current and filters <= {*w.slice.filters}]
        )
        if earlier.files:
            found |= {row.key: row for row in await _in_thread(landed.unseen_rows_of, earlier, date)}
        return [row for key, row in found.items() if key not in bad]

    async def _mismatch(self, closing: PageResponse, *, is_first: bool) -> str | None:
        """Return how the closing response differs from the landed rows, or that rows moved; None if all matches.

        `is_first`: nothing has been read again yet, so a window with other opening totals was landed by an interrupted process.
        """
        windows = [*self.current, *self.recovered]
        keys, stages = await _in_thread(self.reader.landed_rows(windows).totals, self.invoicing_mode)
        bad = {row.row_key or row.payload_sha256 for window in windows for row in window.bad}
        keys += len(bad)
        resource = self.reader.listing.resource
        if keys != closing.total:
            return f"the API counts {closing.total} {resource}, and {keys} were read"
        if differing := _differing(closing.totals, stages, has_sums=resource == "transactions" and not bad):
            return f"the API's totals of {', '.join(differing)} are not those of the rows that were read"
        known = {row.row_key for window in windows for row in window.bad}
        first = [window for window in windows if self._reaches(window, closing)]
        if await _in_thread(self.reader.landed_rows(first).missing_keys, closing.keys - known):
            return f"the list of {resource} has rows that were missing when their dates were read"
        opening = self.reader.opening_totals.get(self.whole, closing.totals)
        if (
            any(window.has_moved for window in windows)
            or opening.fingerprint != closing.totals.fingerprint
            or (is_first and any(window.opening not in (None, closing.totals.digest) for window in windows))
        ):
            return f"{resource} moved while they were read"
        return None

    def _reaches(self, window: VerifiedWindow, closing: PageResponse) -> bool:
        """Whether rows of the closing response may lie in this window."""
        start, last = window.window.start, closing.last(self.reader.behaviour.date)
        return start is None or last is None or (start - EPOCH) // TICK <= last

    async def _windows_to_reread(self) -> list[VerifiedWindow]:
        """Return the windows to re-read: all if they are few pages, else those that moved or whose totals differ."""
        windows = self.current
        pages = sum(max(len(window.stretches), -(-window.rows // PAGE_ROWS)) for window in windows)
        if pages <= max(SMALL_PAGES, 2 * len(windows)):
            return list(windows)
        plain = [window for window in windows if not window.slice.filters or window.slice.filters == self.whole.filters]
        date = DATE_COLUMNS[self.reader.listing.resource][self.reader.behaviour.date]
        ours = await _in_thread(
            self.reader.landed_rows(windows).by_window, [window.window for window in plain], date, self.invoicing_mode
        )
        requests = [
            self.reader.exact_totals(w.window.start, w.window.end - TICK if w.window.end else None, w.slice.filters)
            for w in plain
        ]
        now = list(zip(plain, await asyncio.gather(*requests), ours, strict=True))
        has_sums = self.reader.listing.resource == "transactions"
        outdated = {
            window.slice
            for window, totals, bucket_totals in now
            if window.has_moved
            or totals.count != sum(count for count, _ in bucket_totals.values())
            or _differing(totals, bucket_totals, has_sums=has_sums)
        }
        # Exchange rates move the estimates of all windows at once: if only a few sums changed, their rows changed.
        moved_sums = {
            window.slice for window, totals, bucket_totals in now if has_sums and _floats(totals, bucket_totals)
        }
        if len(moved_sums) <= len(now) * FEW_FLOATING:
            outdated |= moved_sums
        return [window for window in windows if window.slice in outdated]

    async def _read_again(self, again: Sequence[VerifiedWindow]) -> None:
        """Re-read these windows; if that is all of them, re-read the whole at once."""
        outdated = {window.slice for window in again}
        kept = [window for window in self.current if window.slice not in outdated]
        slices = [window.slice for window in again] if kept else [self.whole]
        # New rows are dated after the upper bound. If older rows moved, one may have moved without changing any total.
        if kept and any(window.window.start is None or window.window.start < self.reader.upper for window in again):
            self.partial_note = (
                f"rows moved while they were read: {len(again)} of {len(self.current)} windows were read again, the others "
                "compared by the API's totals only"
            )
        self.current = [*kept, *await self.reader.read(slices, again=True)]


def _floats(totals: Totals, ours: BucketTotals) -> bool:
    """Whether the USD of estimates differs from that of the rows that were read."""
    return any(
        total.usd is not None and abs(total.usd - ours.get(stage, (0, ZERO))[1]) > CENT
        for stage, total in totals.summary.items()
        if stage in STAGES and stage in FLOATING
    )


def _differing(totals: Totals, ours: BucketTotals, *, has_sums: bool) -> list[str]:
    """Return the stages whose stated count or settled sum differs."""
    if not has_sums:
        return []
    stated = {stage: total for stage, total in totals.summary.items() if stage in STAGES}
    precision = stated_precision(total.usd for stage, total in stated.items() if stage not in FLOATING)
    return [
        stage for stage, total in stated.items() if bucket_differs(stage, total, *ours.get(stage, (0, ZERO)), precision)
    ]


async def _in_thread(count: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    return await asyncio.to_thread(count, *args, **options)
