"""Resolve stored pseudonyms of tenant ids to the API's ids, from the clients listing. Kept in memory only."""

from __future__ import annotations

from dataclasses import replace

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_parts import split_page
from debitura_pipeline.contract.listings import CLIENTS, PAGE_SIZE, Query
from debitura_pipeline.errors import ApiError
from debitura_pipeline.landing.business_key import BusinessKeys, is_pseudonym
from debitura_pipeline.landing.outline import any_text_at

TENANT_FILTER = "ExternalTenantId"
MAX_PAGES = 1_000  # 100,000 clients


class UnlistedTenantError(ApiError):
    """No listed client has the tenant id behind a pseudonym."""


class TenantResolver:
    """Stored tenant id -> the API's. Reads the clients listing once, when the first pseudonym is resolved."""

    def __init__(self, client: ApiClient, keys: BusinessKeys) -> None:
        self._client, self._keys = client, keys
        self._real: dict[str, str] | None = None

    async def resolve(self, stored: str) -> str:
        """The id that the API knows. Raises UnlistedTenantError if no client has it, ApiError if the listing cannot be read."""
        if not is_pseudonym(stored):
            return stored
        if self._real is None:
            self._real = await self._read()
        if stored not in self._real:
            raise UnlistedTenantError(
                f"The API lists no client with the tenant id stored as {stored}; it may have been archived."
            )
        return self._real[stored]

    async def query(self, query: Query) -> Query:
        """The query with the API's tenant ids in its filters. Raises UnlistedTenantError, ApiError."""
        if not any(name == TENANT_FILTER and is_pseudonym(value) for name, value in query.filters):
            return query
        filters = [
            (name, await self.resolve(value) if name == TENANT_FILTER else value) for name, value in query.filters
        ]
        return replace(query, filters=tuple(filters))

    async def _read(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for number in range(1, MAX_PAGES + 1):
            page = await self._client.page(Query(CLIENTS), number)
            for row in split_page(page.body, CLIENTS).rows or ():
                if tenant := any_text_at(bytes(row), ("externalTenantId",)):
                    found[self._keys.stored(tenant)] = tenant
            if number * PAGE_SIZE >= page.metadata.total_results or not page.metadata.response_count:
                break
        return found
