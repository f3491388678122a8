"""Rows that no single answer can show whole: a bulk upload at one instant, or a list that cannot be read by date.

Page numbers lie while a list changes and where equal rows come in any order, so several readings are put together: in every
sort and both directions, cut by state and by client, until the distinct keys are as many as the API counts, twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from debitura_pipeline.api.listings import Listing
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.answer import Answer
from debitura_pipeline.extract.heeded import tenants_of
from debitura_pipeline.extract.windows import Filters

MAX_ROUNDS = 4
MAX_PAGES = 100  # of one reading
# Sorts by what differs from row to row come first: their pages overlap least.
SORTS = {
    "clients": ("name", "dateCreated"),
    "cases": ("GrossAmount", "DueDate", "DateCreated"),
    "transactions": ("amount", "collectionDate"),
}
STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "clients": ("OnboardingDone", ("true", "false")),
    "cases": (
        "Statuses",
        (
            "PendingContractSigning",
            "PendingVerificationInternal",
            "PendingVerification",
            "NeedsAdditionalDetails",
            "Leads",
            "LeadsQuoteGiven",
            "Active",
            "Paused",
            "Closed",
            "Merged",
        ),
    ),
    "transactions": ("RevenueStages", ("0", "1", "2", "3", "4", "5", "6")),
}

AskPage = Callable[[Listing, Filters, int], Awaitable[Answer]]


@dataclass
class _Round:
    """What one round has shown: its answers, their keys, and the most rows without a key that one reading showed."""

    answers: list[Answer] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    unkeyed: int = 0

    def is_whole(self, count: int) -> bool:
        return len(self.keys) + self.unkeyed == count


@dataclass(frozen=True)
class UnionReading:
    """`ask` gets one page of the stretch in a sort and with filters, by its number from 1. `taken`: filters in force."""

    listing: Listing
    ask: AskPage
    taken: frozenset[str] = frozenset()

    async def read(self) -> list[Answer]:
        """Answers that together show every row of the stretch. Raises UnprovenError where two rounds never agree."""
        before: _Round | None = None
        for _ in range(MAX_ROUNDS):
            found, count = await self._round()
            if found is not None and before is not None and found.keys == before.keys and found.is_whole(count):
                return found.answers
            before = found
        raise UnprovenError(
            f"The list of {self.listing.resource} holds more rows at one instant than a page, and their number would not hold "
            f"still in {MAX_ROUNDS} readings. Nothing of this sync reached the warehouse; run it again when the API is quieter.",
            resource=self.listing.resource,
        )

    async def _round(self) -> tuple[_Round | None, int]:
        """One reading in as many ways as it takes, None where it is not whole or the count moved."""
        found = _Round()
        first = await self.ask(replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:asc"), (), 1)
        if first.total > MAX_PAGES * max(first.rows, 1):
            raise UnprovenError(
                f"The list of {self.listing.resource} holds {first.total} rows that only page numbers tell apart, too many to be "
                "proven complete. Nothing of this sync reached the warehouse.",
                resource=self.listing.resource,
            )
        for listing, filters in self._ways(found):
            is_first = not found.answers
            if not await self._read_way(listing, filters, found, first.total, first if is_first else None):
                return None, first.total
            if found.is_whole(first.total):
                return found, first.total
        return None, first.total

    def _ways(self, found: _Round) -> Iterator[tuple[Listing, Filters]]:
        for sort in SORTS[self.listing.resource]:
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{sort}:{direction}"), ()
        name, values = STATES[self.listing.resource]
        cuts = [(name, value) for value in values]
        tenants = sorted({tenant for answer in found.answers for tenant in tenants_of(answer, self.listing)})
        cuts += [("ExternalTenantId", tenant) for tenant in tenants]
        for cut in (cut for cut in cuts if cut[0] not in self.taken):
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:{direction}"), (cut,)

    async def _read_way(
        self, listing: Listing, filters: Filters, found: _Round, count: int, first: Answer | None
    ) -> bool:
        """All pages in one sort, or as many as it takes; False where the count of all rows moved."""
        number = unkeyed = 0
        while True:
            number += 1
            answer = first if first is not None and number == 1 else await self.ask(listing, filters, number)
            if not filters and answer.total != count:
                return False
            found.answers.append(answer)
            found.keys |= answer.keys
            unkeyed += answer.rows - len(answer.keys)
            found.unkeyed = max(found.unkeyed, unkeyed)
            if answer.rows == 0 or number * answer.rows >= answer.total or found.is_whole(count):
                return True
