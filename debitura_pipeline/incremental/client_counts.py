"""Decide which clients' rows are read whole: a row that no read returned may have moved instead of having been deleted."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.incremental.expected_state import ExpectedState

MAX_PAGES = 20  # a client of more pages is read only if the API counts other rows of it than are expected

KeysByTenant = dict[str, set[str]]


@dataclass
class ClientCounts:
    """`tenants`: tenant id by creditor; several creditors may have one. `compared`: deleted keys that were checked, by tenant.

    A tenant is checked again only for other keys: what differs after its rows were read has another reason, such as rows in
    quarantine. `unsettled`: rows that were shown in this sync, then no longer, of clients that are too large to be read, or that
    have no tenant id to be asked for.
    """

    tenants: Mapping[str, str | None] = field(default_factory=dict)
    compared: KeysByTenant = field(default_factory=lambda: defaultdict(set))
    unsettled: set[str] = field(default_factory=set)

    async def to_read(
        self, expected: ExpectedState, rows_of_client: Callable[[str], Awaitable[int | None]]
    ) -> list[str]:
        """Return the tenants to read whole, sorted: counted differently, or with rows that vanished during this sync.

        `rows_of_client`: the API's number of rows of a tenant, None if it lists it no more. Raises ApiError.
        """
        shown_before = expected.vanished()
        for creditor, keys in shown_before.items():
            if not self.tenants.get(creditor or ""):
                self.unsettled |= keys
        vanished = self._new_keys(shown_before)
        deleted = self._new_keys(expected.uncertain_deletions())
        asked = sorted({*vanished, *deleted})
        if not asked:
            return []
        ours = self._rows_by_tenant(expected)
        stated = dict(zip(asked, await asyncio.gather(*map(rows_of_client, asked)), strict=True))
        wanted = []
        for tenant, rows in stated.items():
            self.compared[tenant] |= vanished.get(tenant, set()) | deleted.get(tenant, set())
            if rows is None:
                continue
            # A count cannot tell a row that was deleted from one that took the place of another.
            if rows != ours[tenant] or (tenant in vanished and rows <= MAX_PAGES * PAGE_ROWS):
                wanted.append(tenant)
            else:
                self.unsettled |= vanished.get(tenant, set())
        return wanted

    def _new_keys(self, keys_by_creditor: Mapping[str | None, set[str]]) -> KeysByTenant:
        """Keys that were not checked before, by tenant; without those of clients that have no tenant id."""
        found: KeysByTenant = defaultdict(set)
        for creditor, keys in keys_by_creditor.items():
            tenant = self.tenants.get(creditor or "")
            if tenant and (new := keys - self.compared[tenant]):
                found[tenant] |= new
        return found

    def _rows_by_tenant(self, expected: ExpectedState) -> Counter[str | None]:
        ours: Counter[str | None] = Counter()
        for creditor, (rows, _) in expected.counts_by_client().items():
            ours[self.tenants.get(creditor)] += rows
        return ours
