"""Check that a listing honours its filters by tenant and state, from the rows of the first response to each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from debitura_pipeline.api.page_parts import split_page
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.extract.behaviour import IgnoredParameterError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import Filters
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.landing.outline import Path, any_text_at

TENANT, STATUSES = "ExternalTenantId", "Statuses"
FILTERS = (TENANT, STATUSES)
TENANT_PATHS: dict[str, Path] = {
    "clients": ("externalTenantId",),
    "cases": ("client", "externalTenantId"),
    "transactions": ("client", "externalTenantId"),
}
CLOSED = ("closed", "merged")  # prefixes of the lifecycles that are not open


def check_filters(response: PageResponse, filters: Filters, listing: Listing) -> None:
    """Check the rows of a response against its filters. Raises IgnoredParameterError if a row should have been filtered out."""
    tenants = {value for name, value in filters if name == TENANT and not is_pseudonym(value)}
    if tenants and any(tenant not in tenants for tenant in tenants_of(response, listing)):
        raise IgnoredParameterError(
            listing.resource, TENANT, "it returned rows of another tenant than the one requested"
        )
    states = [_is_closed(value) for name, value in filters if name == STATUSES]
    if (
        states
        and len(set(states)) == 1
        and any(_is_closed(state) != states[0] for state in _lifecycles(response, listing))
    ):
        raise IgnoredParameterError(
            listing.resource, STATUSES, "it returned cases in other states than those requested"
        )


def tenants_of(response: PageResponse, listing: Listing) -> Sequence[str]:
    """Return the tenant ids of the rows as the API spells them. They are personal data: never store or log them."""
    return [tenant for tenant in _texts(response, listing, TENANT_PATHS[listing.resource]) if tenant is not None]


def _lifecycles(response: PageResponse, listing: Listing) -> Iterator[str]:
    return (text for text in _texts(response, listing, ("lifecycle",)) if text)


def _texts(response: PageResponse, listing: Listing, path: Path) -> Iterator[str | None]:
    return (any_text_at(bytes(row), path) for row in split_page(response.page.body, listing).rows or ())


def _is_closed(state: str) -> bool:
    return re.sub(r"[\W_]+", "", state.lower()).startswith(CLOSED)
