"""What a sync reads and what it costs: a pure function of what the warehouse knows.

Belongs here: the choice of plan. Does not: requests. Used by `sync/`. Two plans read everything: `small`, where that is
cheap and so always right, and `full`, the first one or one asked for. `nightly` reads what changed and proves the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.extract.requests import PAGE_ROWS
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.landing.tenants import TENANT_FILTER

SMALL_REQUESTS = 200  # below this, reading all is cheaper than finding out what could be left out


@dataclass(frozen=True)
class KnownState:
    """What the warehouse knows of a resource before the sync: rows that are live, how far it was read last."""

    live_rows: int
    last_upper: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """What to read, and roughly how many requests it will take. `whole` is what the reading has to add up to; of some tenants'
    part of a listing each slice is a whole by itself."""

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
    """The plan for one resource, or for some tenants' part of it. An empty warehouse is read in full, clients always."""
    whole = Slice(Window(None, None))
    requests = max(1, -(-known.live_rows // PAGE_ROWS))
    if tenants is not None:
        return Plan("client", whole, tuple(_of_tenant(tenant) for tenant in tenants), requests)
    is_small = requests < small_requests or resource == "clients"
    mode = "full" if full or known.live_rows == 0 else "small" if is_small else "nightly"
    return Plan(mode, whole, (whole,), requests)


def _of_tenant(tenant: str) -> Slice:
    filters: Filters = ((TENANT_FILTER, tenant),)
    return Slice(Window(None, None), filters)
