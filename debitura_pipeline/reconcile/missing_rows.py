"""Find out whether live rows that a complete read did not return were deleted.

A row whose date is edited during the read can move to a stretch that was read before. Without another request it would be
marked deleted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.extract.landed_rows import UnseenRow
from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.extract.windows import EVERYTHING, HOUR, Filters, Slice, Window, tenant_filter
from debitura_pipeline.landing.tenants import UnlistedTenantError

MAX_REQUESTED_ROWS = 200  # rows requested one by one; beyond that, whole clients are read
FEW_ROWS = 20  # up to this many missing rows of a client are requested one by one

Tenants = Mapping[str, str | None]  # tenant id by creditor


@dataclass
class Resolution:
    """`deleted`: keys that the API no longer has; `recovered`: windows with rows that still exist; `unresolved`: other keys."""

    deleted: set[str] = field(default_factory=set)
    recovered: list[VerifiedWindow] = field(default_factory=list)
    unresolved: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class MissingRowResolver:
    """`tenants`: tenant id by creditor, needed to request the rows of a client; `rows_by_creditor`: rows that were read."""

    reader: Reader
    tenants: Tenants
    rows_by_creditor: Mapping[str | None, int]

    async def resolve(self, unseen: Sequence[UnseenRow]) -> Resolution:
        """Find out what became of these rows, whole clients first. Raises UnprovenError, or the ApiError of a request."""
        resolution = Resolution()
        by_creditor: dict[str | None, list[UnseenRow]] = defaultdict(list)
        for row in unseen:
            by_creditor[row.creditor].append(row)
        single: list[UnseenRow] = []
        whole: list[str | None] = []
        for creditor, rows in by_creditor.items():
            if len(rows) <= FEW_ROWS and len(single) + len(rows) <= MAX_REQUESTED_ROWS:
                single += rows
            else:
                whole.append(creditor)
        if len(single) + len(whole) > self._pages():
            await self._read_all({row.key for row in unseen}, resolution)
            return resolution
        for creditor in whole:
            if await self._client_rows(creditor) == self.rows_by_creditor.get(creditor, 0):
                resolution.deleted |= {row.key for row in by_creditor[creditor]}
            else:
                await self._read_client(creditor, by_creditor[creditor], resolution)
        await self._resolve_single(single, resolution)
        return resolution

    async def _resolve_single(self, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        resource = self.reader.listing.resource
        if not rows:
            return
        if resource == "cases":
            await self._by_id(rows, resolution)
        elif resource == "transactions":
            await self._by_hour(rows, resolution)
        else:
            await self._by_client(rows, resolution)

    async def _by_id(self, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        """Request cases by id. A case that is found must also be in the list, at its current date."""
        found, unknown = await self.reader.read_by_id("/cases", [row.key for row in rows])
        resolution.deleted |= unknown
        for window in found:
            keys = {row.key for row in rows} - unknown
            recovered = await self.reader.listed_now(window, keys)
            resolution.deleted |= keys - recovered
            if recovered:
                resolution.recovered.append(window)

    async def _by_hour(self, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        """Request the hours of these transactions, and compare the total of their clients."""
        hours = {row.at.replace(minute=0, second=0, microsecond=0) for row in rows if row.at is not None}
        responses = await asyncio.gather(*(self._hour(Window(hour, hour + HOUR)) for hour in sorted(hours)))
        seen = {key for response in responses for key in response.keys}
        by_creditor: dict[str | None, list[UnseenRow]] = defaultdict(list)
        for row in rows:
            by_creditor[row.creditor].append(row)
        for creditor, ours in by_creditor.items():
            has = await self._client_rows(creditor)
            is_deleted = not {row.key for row in ours} & seen and has in (None, self.rows_by_creditor.get(creditor, 0))
            if is_deleted:
                resolution.deleted |= {row.key for row in ours}
            else:
                await self._read_client(creditor, ours, resolution)

    async def _by_client(self, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        for row in rows:
            tenant = self.tenants.get(row.key)
            try:
                exists = tenant is not None and row.key in (await self._first(EVERYTHING, tenant_filter(tenant))).keys
            except UnlistedTenantError:
                exists = False
            (resolution.unresolved if exists else resolution.deleted).add(row.key)

    async def _read_client(self, creditor: str | None, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        """Read all rows of a client whose total differs from the rows that were read."""
        keys = {row.key for row in rows}
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            resolution.unresolved |= keys
            return
        windows = await self.reader.read([Slice(EVERYTHING, tenant_filter(tenant))], again=True)
        missing_keys = self.reader.landed_rows(windows).missing_keys(keys)
        is_sure = not any(window.is_partial or _hides_rows(window) for window in windows)
        (resolution.deleted if is_sure else resolution.unresolved).update(missing_keys)
        resolution.recovered += windows if missing_keys != keys else []

    def _pages(self) -> int:
        """The number of requests above which the whole listing is read again: its pages, and more for few rows."""
        few = FEW_ROWS if self.reader.listing.resource == "clients" else MAX_REQUESTED_ROWS
        return max(few, sum(self.rows_by_creditor.values()) // PAGE_ROWS)

    async def _read_all(self, keys: set[str], resolution: Resolution) -> None:
        """Read the whole listing once more, which is cheaper than requesting the rows of many clients. What is missing from both
        readings was deleted, unless rows moved during the second one, too."""
        windows = await self.reader.read([self.reader.whole or Slice(EVERYTHING, ())], again=True)
        missing = self.reader.landed_rows(windows).missing_keys(keys)
        is_sure = not any(window.is_partial or window.has_moved or _hides_rows(window) for window in windows)
        (resolution.deleted if is_sure else resolution.unresolved).update(missing)
        resolution.recovered += windows if missing != keys else []

    async def _client_rows(self, creditor: str | None) -> int | None:
        """Number of rows that the API states for a client; None if its tenant id is unknown."""
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            return None
        try:
            return (await self._first(EVERYTHING, tenant_filter(tenant))).total
        except UnlistedTenantError:
            return 0

    async def _hour(self, window: Window) -> PageResponse:
        return await self._first(window, ())

    async def _first(self, window: Window, filters: Filters) -> PageResponse:
        return await self.reader.first_page(Slice(window, filters))


def _hides_rows(window: VerifiedWindow) -> bool:
    """Whether a list that stood still counts more rows than it shows: it may show one twice in the place of another."""
    return not window.has_moved and window.distinct < window.totals.count
