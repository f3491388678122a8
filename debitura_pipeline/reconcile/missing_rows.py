"""Rows that the warehouse has live and a complete reading did not show: one more question each tells whether they are gone.

A row whose date was edited can slip from a stretch not yet read into one that was; taken for gone, it would be deleted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.extract.landed_rows import UnseenRow
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.verified_window import VerifiedWindow
from debitura_pipeline.extract.windows import EVERYTHING, HOUR, Filters, Slice, Window
from debitura_pipeline.landing.tenants import UnlistedTenantError

MAX_QUESTIONS = 200  # rows asked for one by one; where more are missing, only whole clients are asked for
FEW = 20  # rows of one client up to which each is asked for

Tenants = Mapping[str, str | None]  # tenant id by creditor


@dataclass
class Resolution:
    """`gone`: keys that the API no longer has. `listed`: rows that are there and were missed, in windows of their own.
    `open`: keys of which nothing could be found out."""

    deleted: set[str] = field(default_factory=set)
    recovered: list[VerifiedWindow] = field(default_factory=list)
    unresolved: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class MissingRowResolver:
    """`tenants`: tenant id by creditor, to ask for one client's rows; `held`: rows that the reading shows, by creditor."""

    reader: Reader
    tenants: Tenants
    rows_by_creditor: Mapping[str | None, int]

    async def resolve(self, unseen: Sequence[UnseenRow]) -> Resolution:
        """Ask for these rows, whole clients first. Raises the ApiError or UnprovenError that ended the asking."""
        resolution = Resolution()
        by_creditor: dict[str | None, list[UnseenRow]] = defaultdict(list)
        for row in unseen:
            by_creditor[row.creditor].append(row)
        single: list[UnseenRow] = []
        for creditor, rows in by_creditor.items():
            if len(rows) <= FEW and len(single) + len(rows) <= MAX_QUESTIONS:
                single += rows
            elif await self._client_rows(creditor) == self.rows_by_creditor.get(creditor, 0):
                resolution.deleted |= {row.key for row in rows}
            else:
                await self._read_client(creditor, rows, resolution)
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
        """A case by its id; one that is found counts only if the list has it too, at the date that it has now."""
        found, unknown = await self.reader.read_by_id("/cases", [row.key for row in rows])
        resolution.deleted |= unknown
        for window in found:
            keys = {row.key for row in rows} - unknown
            recovered = await self.reader.listed_now(window, keys)
            resolution.deleted |= keys - recovered
            if recovered:
                resolution.recovered.append(window)

    async def _by_hour(self, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        """A transaction by the hour that it stood in, and by its client's total."""
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
                exists = tenant is not None and row.key in (await self._first(EVERYTHING, _tenant_filter(tenant))).keys
            except UnlistedTenantError:
                exists = False
            (resolution.unresolved if exists else resolution.deleted).add(row.key)

    async def _read_client(self, creditor: str | None, rows: Sequence[UnseenRow], resolution: Resolution) -> None:
        """All rows of a client whose total is not what the reading shows of it."""
        keys = {row.key for row in rows}
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            resolution.unresolved |= keys
            return
        windows = await self.reader.read([Slice(EVERYTHING, _tenant_filter(tenant))], again=True)
        missing_keys = self.reader.landed_rows(windows).missing_keys(keys)
        (resolution.unresolved if any(window.is_partial for window in windows) else resolution.deleted).update(
            missing_keys
        )
        resolution.recovered += windows if missing_keys != keys else []

    async def _client_rows(self, creditor: str | None) -> int | None:
        """Rows that the API counts for a client now, None where it cannot be asked for."""
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            return None
        try:
            return (await self._first(EVERYTHING, _tenant_filter(tenant))).total
        except UnlistedTenantError:
            return 0

    async def _hour(self, window: Window) -> PageResponse:
        return await self._first(window, ())

    async def _first(self, window: Window, filters: Filters) -> PageResponse:
        return await self.reader.first_page(Slice(window, filters))


def _tenant_filter(tenant: str) -> Filters:
    return (("ExternalTenantId", tenant),)
