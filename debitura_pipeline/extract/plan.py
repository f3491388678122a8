"""Choose what a sync reads, from the state of the warehouse. Pure; sends no requests.

Two modes read everything: `small`, because that is cheap, and `full`, for the first sync or on request. `nightly` reads what
changed and proves the rest by totals; `client` reads some tenants' part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.landing.tenants import TENANT_FILTER

SMALL_REQUESTS = 200  # below this, reading everything is cheaper than finding out what changed


@dataclass(frozen=True)
class KnownState:
    """State of a resource before the sync. `last_upper`: upper bound of the last sync, None if there was none.

    `is_contradicted`: the last sync read what had changed, and the API's totals differ from the warehouse all the same.
    """

    live_rows: int
    last_upper: datetime | None = None
    is_contradicted: bool = False


@dataclass(frozen=True)
class Plan:
    """What to read, and the approximate number of requests.

    `mode`: `full`, `small`, `nightly` or `client`. The rows read must add up to the totals of `whole`; in mode `client`, each
    slice is verified on its own.
    """

    mode: str
    whole: Slice
    slices: tuple[Slice, ...]
    requests: int


def choose_plan(
    resource: str,
    known: KnownState,
    *,
    full: bool = False,
    tenants: Sequence[str] | None = None,
    small_requests: int = SMALL_REQUESTS,
) -> Plan:
    """Return the plan for a resource, or for the part of some tenants. Never `nightly` for clients or an empty warehouse."""
    whole = Slice(Window(None, None))
    requests = max(1, -(-known.live_rows // PAGE_ROWS))
    if tenants is not None:
        return Plan("client", whole, tuple(_of_tenant(tenant) for tenant in tenants), requests)
    is_small = requests < small_requests or resource == "clients"
    needs_all = full or known.live_rows == 0
    mode = "full" if needs_all else "small" if is_small else "full" if known.is_contradicted else "nightly"
    return Plan(mode, whole, (whole,), requests)


def _of_tenant(tenant: str) -> Slice:
    filters: Filters = ((TENANT_FILTER, tenant),)
    return Slice(Window(None, None), filters)
