"""Requests to one listing, counted against the request limit of a sync."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.contract.listings import PAGE_SIZE, Listing, Query
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Filters, Slice

PAGE_ROWS = PAGE_SIZE
SPARE_REQUESTS = 200  # allowed beyond twice the estimate


class RequestLimitError(UnprovenError):
    """A sync took more than twice the estimated requests plus `SPARE_REQUESTS`."""


@dataclass
class ListingClient:
    """Client of one listing.

    `request_limit`: requests after which RequestLimitError is raised; if None, it is derived from the first stated total.
    `on_response` is called after each response.
    """

    client: ApiClient
    listing: Listing
    on_response: Callable[[], None]
    request_limit: int | None = None
    requests: int = 0

    async def fetch(self, query: Query, number: int = 1, *, with_totals: bool = True) -> PageResponse:
        """Fetch one page of a query; pages count from 1. The summary is parsed only if `with_totals`.

        Raises RequestLimitError, or the ApiError of the request.
        """
        self.count_requests(1)
        response = PageResponse.of(await self.client.page(query, number, with_totals=with_totals), query.listing)
        if self.request_limit is None and query.from_ is None:
            self.request_limit = 2 * math.ceil(response.total / max(1, min(response.rows, PAGE_ROWS))) + SPARE_REQUESTS
        self.on_response()
        return response

    async def first_page(self, slice_: Slice) -> PageResponse:
        """Fetch the first page of a slice with its totals. Raises RequestLimitError, or the ApiError of the request."""
        return await self.fetch(slice_.query(self.listing))

    async def exact_totals(self, start: datetime | None, end: datetime | None, filters: Filters) -> Totals:
        """What the API states between two instants, both included. Raises RequestLimitError, or the ApiError of the request."""
        return (await self.fetch(Query(self.listing, start, end, filters))).totals

    def count_requests(self, requests: int) -> None:
        """Count requests before they are sent. Raises RequestLimitError if they exceed the limit."""
        self.requests += requests
        if self.request_limit is not None and self.requests > self.request_limit:
            raise RequestLimitError(
                f"Reading {self.listing.resource} took more than {self.request_limit} requests, twice the estimate plus "
                f"{SPARE_REQUESTS}: the list keeps growing, or its totals are wrong. Landed rows are kept.",
                resource=self.listing.resource,
            )
