"""Rows that no single answer can show whole: a bulk upload at one instant, or a list that cannot be read by date.

Page numbers lie while a list changes and where equal rows come in any order, so several readings are put together: in every
sort and both directions, cut by state and by client, until the distinct keys are as many as the API counts, twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.filter_checks import tenants_of
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import Filters

MAX_ROUNDS = 3
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

FetchPage = Callable[[Listing, Filters, int], Awaitable[PageResponse]]


@dataclass
class _Pass:
    """What one round has shown: its answers, their keys, and the most rows without a key that one reading showed."""

    responses: list[PageResponse] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    unkeyed: int = 0

    def is_whole(self, count: int) -> bool:
        return len(self.keys) + self.unkeyed == count

    def keep(self, later: _Pass) -> None:
        """Take a later round's answers, and of the earlier ones those that show rows which it did not."""
        self.responses = [response for response in self.responses if response.keys - later.keys] + later.responses


@dataclass(frozen=True)
class UnionReader:
    """`ask` gets one page of the stretch in a sort and with filters, by its number from 1. `taken`: filters in force."""

    listing: Listing
    fetch: FetchPage
    active_filters: frozenset[str] = frozenset()

    async def read(self) -> list[PageResponse]:
        """Answers that together show every row of the stretch. Raises UnprovenError where two rounds never agree."""
        responses, is_settled = await self._read()
        if is_settled:
            return responses
        raise UnprovenError(
            f"The list of {self.listing.resource} holds more rows at one instant than a page, and their number would not hold "
            f"still in {MAX_ROUNDS} readings. Nothing of this sync reached the warehouse; run it again when the API is quieter.",
            resource=self.listing.resource,
        )

    async def read_moving(self) -> tuple[list[PageResponse], bool]:
        """Answers, and whether two rounds agreed that they show every row; if not, all that any round showed, and one more.

        Raises UnprovenError where there are more rows than page numbers can tell apart.
        """
        responses, is_settled = await self._read()
        if is_settled:
            return responses, True
        shown = _Pass(responses)
        shown.keep(await self._all_pages())
        return shown.responses, False

    async def _read(self) -> tuple[list[PageResponse], bool]:
        before, shown = _Pass(), _Pass()
        for _ in range(MAX_ROUNDS):
            found, is_whole = await self._run_pass()
            if is_whole and before.is_whole(len(found.keys) + found.unkeyed) and found.keys == before.keys:
                return found.responses, True
            shown.keep(found)
            before = found if is_whole else _Pass()
        return shown.responses, False

    async def _all_pages(self) -> _Pass:
        """Every page in every sort, whatever moves meanwhile: a row that one reading passes over is in another's way."""
        found = _Pass()
        for listing, filters in self._sorts():
            await self._read_pages(listing, filters, found, None, None)
        return found

    async def _run_pass(self) -> tuple[_Pass, bool]:
        """One reading in as many ways as it takes, and whether it is whole; it ends where the count moves."""
        found = _Pass()
        first = await self.fetch(replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:asc"), (), 1)
        if first.total > MAX_PAGES * max(first.rows, 1):
            raise UnprovenError(
                f"The list of {self.listing.resource} holds {first.total} rows that only page numbers tell apart, too many to be "
                "proven complete. Nothing of this sync reached the warehouse.",
                resource=self.listing.resource,
            )
        for listing, filters in self._variants(found):
            is_first = not found.responses
            if not await self._read_pages(listing, filters, found, first.total, first if is_first else None):
                return found, False
            if found.is_whole(first.total):
                return found, True
        return found, False

    def _sorts(self) -> Iterator[tuple[Listing, Filters]]:
        for sort in SORTS[self.listing.resource]:
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{sort}:{direction}"), ()

    def _variants(self, found: _Pass) -> Iterator[tuple[Listing, Filters]]:
        yield from self._sorts()
        name, values = STATES[self.listing.resource]
        cuts = [(name, value) for value in values]
        tenants = sorted({tenant for response in found.responses for tenant in tenants_of(response, self.listing)})
        cuts += [("ExternalTenantId", tenant) for tenant in tenants]
        for cut in (cut for cut in cuts if cut[0] not in self.active_filters):
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:{direction}"), (cut,)

    async def _read_pages(
        self, listing: Listing, filters: Filters, found: _Pass, count: int | None, first: PageResponse | None
    ) -> bool:
        """All pages in one sort, or as many as it takes to show `count` rows; False where the count of all rows moved."""
        number = shown = unkeyed = 0
        while True:
            number += 1
            response = first if first is not None and number == 1 else await self.fetch(listing, filters, number)
            if count is not None and not filters and response.total != count:
                return False
            found.responses.append(response)
            found.keys |= response.keys
            unkeyed += response.rows - len(response.keys)
            found.unkeyed = max(found.unkeyed, unkeyed)
            shown += response.rows
            if response.rows == 0 or shown >= response.total or (count is not None and found.is_whole(count)):
                return True
