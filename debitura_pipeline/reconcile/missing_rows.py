"""Rows that the warehouse has live and a complete reading did not show: one more question each tells whether they are gone.

A row whose date was edited can slip from a stretch not yet read into one that was; taken for gone, it would be deleted.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.extract.answer import Answer
from debitura_pipeline.extract.landed_rows import Unseen
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.verified_window import VerifiedWindow
from debitura_pipeline.extract.windows import EVERYTHING, HOUR, Filters, Slice, Window
from debitura_pipeline.landing.tenants import UnlistedTenantError

MAX_QUESTIONS = 200  # rows asked for one by one; where more are missing, only whole clients are asked for
FEW = 20  # rows of one client up to which each is asked for

Tenants = Mapping[str, str | None]  # tenant id by creditor


@dataclass
class Settled:
    """`gone`: keys that the API no longer has. `listed`: rows that are there and were missed, in windows of their own.
    `open`: keys of which nothing could be found out."""

    gone: set[str] = field(default_factory=set)
    listed: list[VerifiedWindow] = field(default_factory=list)
    open: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Settlement:
    """`tenants`: tenant id by creditor, to ask for one client's rows; `held`: rows that the reading shows, by creditor."""

    reader: Reader
    tenants: Tenants
    held: Mapping[str | None, int]

    async def settle(self, unseen: Sequence[Unseen]) -> Settled:
        """Ask for these rows, whole clients first. Raises the ApiError or UnprovenError that ended the asking."""
        settled = Settled()
        by_creditor: dict[str | None, list[Unseen]] = defaultdict(list)
        for row in unseen:
            by_creditor[row.creditor].append(row)
        single: list[Unseen] = []
        for creditor, rows in by_creditor.items():
            if len(rows) <= FEW and len(single) + len(rows) <= MAX_QUESTIONS:
                single += rows
            elif await self._client_has(creditor) == self.held.get(creditor, 0):
                settled.gone |= {row.key for row in rows}
            else:
                await self._read_client(creditor, rows, settled)
        await self._settle_single(single, settled)
        return settled

    async def _settle_single(self, rows: Sequence[Unseen], settled: Settled) -> None:
        resource = self.reader.listing.resource
        if not rows:
            return
        if resource == "cases":
            await self._by_id(rows, settled)
        elif resource == "transactions":
            await self._by_hour(rows, settled)
        else:
            await self._by_client(rows, settled)

    async def _by_id(self, rows: Sequence[Unseen], settled: Settled) -> None:
        """A case by its id; one that is found counts only if the list has it too, at the date that it has now."""
        found, unknown = await self.reader.read_by_id("/cases", [row.key for row in rows])
        settled.gone |= unknown
        for window in found:
            keys = {row.key for row in rows} - unknown
            listed = await self.reader.listed_now(window, keys)
            settled.gone |= keys - listed
            if listed:
                settled.listed.append(window)

    async def _by_hour(self, rows: Sequence[Unseen], settled: Settled) -> None:
        """A transaction by the hour that it stood in, and by its client's total."""
        hours = {row.at.replace(minute=0, second=0, microsecond=0) for row in rows if row.at is not None}
        answers = await asyncio.gather(*(self._hour(Window(hour, hour + HOUR)) for hour in sorted(hours)))
        seen = {key for answer in answers for key in answer.keys}
        by_creditor: dict[str | None, list[Unseen]] = defaultdict(list)
        for row in rows:
            by_creditor[row.creditor].append(row)
        for creditor, ours in by_creditor.items():
            has = await self._client_has(creditor)
            is_gone = not {row.key for row in ours} & seen and has in (None, self.held.get(creditor, 0))
            if is_gone:
                settled.gone |= {row.key for row in ours}
            else:
                await self._read_client(creditor, ours, settled)

    async def _by_client(self, rows: Sequence[Unseen], settled: Settled) -> None:
        for row in rows:
            tenant = self.tenants.get(row.key)
            try:
                is_there = tenant is not None and row.key in (await self._first(EVERYTHING, _of(tenant))).keys
            except UnlistedTenantError:
                is_there = False
            (settled.open if is_there else settled.gone).add(row.key)

    async def _read_client(self, creditor: str | None, rows: Sequence[Unseen], settled: Settled) -> None:
        """All rows of a client whose total is not what the reading shows of it."""
        keys = {row.key for row in rows}
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            settled.open |= keys
            return
        windows = await self.reader.read([Slice(EVERYTHING, _of(tenant))], again=True)
        lacking = self.reader.landed_rows(windows).lacking(keys)
        (settled.open if any(window.is_partial for window in windows) else settled.gone).update(lacking)
        settled.listed += windows if lacking != keys else []

    async def _client_has(self, creditor: str | None) -> int | None:
        """Rows that the API counts for a client now, None where it cannot be asked for."""
        tenant = self.tenants.get(creditor) if creditor is not None else None
        if tenant is None:
            return None
        try:
            return (await self._first(EVERYTHING, _of(tenant))).total
        except UnlistedTenantError:
            return 0

    async def _hour(self, window: Window) -> Answer:
        return await self._first(window, ())

    async def _first(self, window: Window, filters: Filters) -> Answer:
        return await self.reader.closing(Slice(window, filters))


def _of(tenant: str) -> Filters:
    return (("ExternalTenantId", tenant),)
