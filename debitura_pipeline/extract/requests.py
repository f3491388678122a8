"""Questions to one listing, counted against the ceiling of a sync."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.contract.listings import Listing, Query
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Filters, Slice

PAGE_ROWS = 100  # the API's largest page
SPARE_REQUESTS = 200  # above twice the forecast: the ceiling of a sync


class RequestLimitError(UnprovenError):
    """A reading took more requests than twice its forecast and some to spare."""


@dataclass
class ListingClient:
    """`ceiling`: requests after which RequestLimitError is raised; None: set from the first total that the API states.
    `tell` is called after each answer."""

    client: ApiClient
    listing: Listing
    on_response: Callable[[], None]
    request_limit: int | None = None
    requests: int = 0

    async def fetch(self, query: Query, number: int = 1, *, with_totals: bool = True) -> PageResponse:
        """One page of a query, by its number from 1; its summary is read only where it is looked at."""
        self.count_requests(1)
        response = PageResponse.of(await self.client.page(query, number, with_totals=with_totals), query.listing)
        if self.request_limit is None and query.from_ is None:
            self.request_limit = 2 * math.ceil(response.total / max(1, min(response.rows, PAGE_ROWS))) + SPARE_REQUESTS
        self.on_response()
        return response

    async def first_page(self, slice_: Slice) -> PageResponse:
        """The first page of a slice as it is now, with its totals."""
        return await self.fetch(slice_.query(self.listing))

    async def exact_totals(self, start: datetime | None, end: datetime | None, filters: Filters) -> Totals:
        """What the API states between two instants, both included, without overlap."""
        return (await self.fetch(Query(self.listing, start, end, filters))).totals

    def count_requests(self, requests: int) -> None:
        """Count requests that are about to be sent. Raises RequestLimitError."""
        self.requests += requests
        if self.request_limit is not None and self.requests > self.request_limit:
            raise RequestLimitError(
                f"Reading {self.listing.resource} took more than {self.request_limit} requests, twice what was to be expected and "
                f"{SPARE_REQUESTS} more: the list grows without end, or its totals are not true. What is landed is kept.",
                resource=self.listing.resource,
            )
