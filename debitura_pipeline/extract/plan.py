"""What a sync reads and what it costs: a pure function of what the warehouse knows.

Belongs here: the choice of plan. Does not: requests. Used by `sync.py`. Two plans so far, both reading everything: `small`,
where that is cheap and so always right, and `full`, the first one or one asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from debitura_pipeline.extract.read import PAGE_ROWS
from debitura_pipeline.extract.windows import Filters, Slice, Window

SMALL_REQUESTS = 200  # below this, reading all is cheaper than finding out what could be left out


@dataclass(frozen=True)
class Knowledge:
    """What the warehouse knows of a resource before the sync: rows that are live now."""

    live_rows: int


@dataclass(frozen=True)
class Plan:
    """What to read, and roughly how many requests it will take. `whole` is what the reading has to add up to."""

    mode: str
    whole: Slice
    slices: tuple[Slice, ...]
    requests: int


def plan(known: Knowledge, *, full: bool = False, tenant: str | None = None) -> Plan:
    """The plan for one resource, or for one tenant's part of it. An empty warehouse is read in full."""
    filters: Filters = (("ExternalTenantId", tenant),) if tenant is not None else ()
    whole = Slice(Window(None, None), filters)
    requests = max(1, -(-known.live_rows // PAGE_ROWS))
    is_small = known.live_rows > 0 and requests < SMALL_REQUESTS
    mode = "client" if tenant is not None else "small" if is_small and not full else "full"
    return Plan(mode, whole, (whole,), requests)
