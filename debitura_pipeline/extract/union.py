"""Read rows that no single response can hold: a bulk upload at one instant, or a list that cannot be read by date.

Page numbers skip rows if the list changes or if equal rows have no fixed order. Several passes are therefore combined, in every
sort and both directions, by state and by client, until the distinct keys equal the API's count twice in a row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from debitura_pipeline.contract.lifecycles import CLOSED_STATES, OPEN_STATES
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.filter_checks import tenants_of
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import Filters

MAX_ROUNDS = 3
MAX_PAGES = 100  # of one sort
# Sorts by values that differ most between rows come first, because their pages overlap least.
SORTS = {
    "clients": ("name", "dateCreated"),
    "cases": ("GrossAmount", "DueDate", "DateCreated"),
    "transactions": ("amount", "collectionDate"),
}
STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "clients": ("OnboardingDone", ("true", "false")),
    "cases": ("Statuses", (*OPEN_STATES, *CLOSED_STATES)),
    "transactions": ("RevenueStages", tuple(str(number) for number in range(len(STAGES)))),
}

FetchPage = Callable[[Listing, Filters, int], Awaitable[PageResponse]]


@dataclass
class _Pass:
    """Result of one pass. `unkeyed`: the largest number of rows without a key in one sort. `is_exhaustive`: every variant was read,
    and rows are still missing."""

    responses: list[PageResponse] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    unkeyed: int = 0
    is_exhaustive: bool = False

    def is_complete(self, count: int) -> bool:
        """Whether the pass found `count` rows."""
        return len(self.keys) + self.unkeyed == count

    def absorb(self, later: _Pass) -> None:
        """Add the responses of a later pass, dropping earlier ones whose rows it found again."""
        self.responses = [response for response in self.responses if response.keys - later.keys] + later.responses


@dataclass(frozen=True)
class UnionReader:
    """`fetch` returns a page, by its number from 1, in the sort of a listing and with filters. `active_filters`: names of the
    filters that every request has already."""

    listing: Listing
    fetch: FetchPage
    active_filters: frozenset[str] = frozenset()

    async def read(self) -> list[PageResponse]:
        """Return responses that together hold every row.

        Raises UnprovenError if no two passes agree or if there are more than `MAX_PAGES` pages, or the ApiError of a request.
        """
        responses, is_settled = await self._read()
        if is_settled:
            return responses
        raise UnprovenError(
            f"The list of {self.listing.resource} could not be read completely by page numbers: the number of its rows kept "
            "changing, or it counts a row twice. Nothing of this sync reached the warehouse; run it again when fewer rows are "
            "being changed.",
            resource=self.listing.resource,
        )

    async def read_moving(self) -> tuple[list[PageResponse], bool]:
        """Return responses, and whether two passes agreed that they hold every row.

        If none agreed, the responses of all passes and of one more are returned. Raises UnprovenError if there are more than
        `MAX_PAGES` pages, or the ApiError of a request.
        """
        responses, is_settled = await self._read()
        if is_settled:
            return responses, True
        shown = _Pass(responses)
        shown.absorb(await self._all_pages())
        return shown.responses, False

    async def _read(self) -> tuple[list[PageResponse], bool]:
        """Return what all passes showed, and whether two of them agreed. After two passes that tried every variant and found the
        same rows, too few, a third one would find nothing else."""
        before, shown, last = _Pass(), _Pass(), _Pass()
        for _ in range(MAX_ROUNDS):
            found, is_complete = await self._run_pass()
            if found.is_exhaustive and last.is_exhaustive and found.keys == last.keys:
                break
            last = found
            if is_complete and before.is_complete(len(found.keys) + found.unkeyed) and found.keys == before.keys:
                return found.responses, True
            shown.absorb(found)
            before = found if is_complete else _Pass()
        return shown.responses, False

    async def _all_pages(self) -> _Pass:
        """Read every page in every sort, whatever changes: a row that is skipped in one sort is likely found in another."""
        found = _Pass()
        for listing, filters in self._sorts():
            await self._read_pages(listing, filters, found, None, None)
        return found

    async def _run_pass(self) -> tuple[_Pass, bool]:
        """Read in as many sorts and filters as needed, until the count changes; return the pass and whether it is complete."""
        found = _Pass()
        first = await self.fetch(replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:asc"), (), 1)
        if first.total > MAX_PAGES * max(first.rows, 1):
            raise UnprovenError(
                f"The list of {self.listing.resource} holds {first.total} rows that can only be read by page numbers, too many "
                "to be proven complete. Nothing of this sync reached the warehouse.",
                resource=self.listing.resource,
            )
        for listing, filters in self._variants(found):
            is_first = not found.responses
            if not await self._read_pages(listing, filters, found, first.total, first if is_first else None):
                return found, False
            if found.is_complete(first.total):
                return found, True
        found.is_exhaustive = True
        return found, False

    def _sorts(self) -> Iterator[tuple[Listing, Filters]]:
        for sort in SORTS[self.listing.resource]:
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{sort}:{direction}"), ()

    def _variants(self, found: _Pass) -> Iterator[tuple[Listing, Filters]]:
        yield from self._sorts()
        name, values = STATES[self.listing.resource]
        variants = [(name, value) for value in values]
        tenants = sorted({tenant for response in found.responses for tenant in tenants_of(response, self.listing)})
        variants += [("ExternalTenantId", tenant) for tenant in tenants]
        for variant in (variant for variant in variants if variant[0] not in self.active_filters):
            for direction in ("asc", "desc"):
                yield replace(self.listing, sort=f"{SORTS[self.listing.resource][0]}:{direction}"), (variant,)

    async def _read_pages(
        self, listing: Listing, filters: Filters, found: _Pass, count: int | None, first: PageResponse | None
    ) -> bool:
        """Read all pages in one sort, or until `count` rows are found. Returns False if the count of all rows changed."""
        number = shown = unkeyed = 0
        while True:
            number += 1
            response = first if first is not None and number == 1 else await self.fetch(listing, filters, number)
            if count is not None and not filters and response.total != count:
                return False
            found.responses.append(response)
            found.keys |= response.keys
            unkeyed += response.unkeyed
            found.unkeyed = max(found.unkeyed, unkeyed)
            shown += response.rows
            if response.rows == 0 or shown >= response.total or (count is not None and found.is_complete(count)):
                return True
