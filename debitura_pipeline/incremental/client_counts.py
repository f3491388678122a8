"""Compare the number of rows of clients that seem to have lost some: a row that no read returned may have moved meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from debitura_pipeline.incremental.expected_state import ExpectedState


@dataclass
class ClientCounts:
    """`tenants`: tenant id by creditor; several creditors may have one. `compared`: tenants of earlier rounds.

    Each tenant is compared once: what differs after its rows were read has another reason, such as rows in quarantine.
    """

    tenants: Mapping[str, str | None] = field(default_factory=dict)
    compared: set[str] = field(default_factory=set)

    async def differing(
        self, expected: ExpectedState, rows_of_client: Callable[[str], Awaitable[int | None]]
    ) -> list[str]:
        """Return the tenants of which the API counts other rows than are expected, among those with uncertain deletions.

        `rows_of_client`: the API's number of rows of a tenant, None if it lists it no more. Raises ApiError.
        """
        suspects = {self.tenants.get(creditor) for creditor in expected.creditors_of_uncertain_deletions()}
        asked = sorted(tenant for tenant in suspects if tenant and tenant not in self.compared)
        if not asked:
            return []
        self.compared |= {*asked}
        ours: Counter[str | None] = Counter()
        for creditor, (rows, _) in expected.counts_by_client().items():
            ours[self.tenants.get(creditor)] += rows
        stated = await asyncio.gather(*map(rows_of_client, asked))
        return [tenant for tenant, rows in zip(asked, stated, strict=True) if rows not in (None, ours[tenant])]
