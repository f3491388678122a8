"""Clients that need attention: refused, in doubt, or without an approval for too long. For `debitura status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.registration.states import NEEDS_LINKING, NO_ROW, REFUSED, SENT
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse

MAX_NAMED = 3


def read_attention(settings: Settings, now: datetime, *, wait_s: float) -> dict[str, Any]:
    """`registrations`: number of clients by state; `problems`: what needs attention, one line each.

    `now`: this machine's clock. Raises WarehouseBusy, WarehouseError.
    """
    with open_warehouse(settings, read_only=True, wait_s=wait_s) as warehouse:
        if not warehouse.columns("ops", "registrations"):
            return {"registrations": {}, "problems": []}
        found = warehouse.rows(
            "SELECT external_tenant_id, state, outcome_at, error_types FROM ops.registrations "
            "WHERE message IS NULL OR message <> $1 ORDER BY external_tenant_id",
            (NO_ROW,),
        )
    counts: dict[str, int] = {}
    for _, state, _, _ in found:
        counts[state] = counts.get(state, 0) + 1
    since = now - timedelta(days=settings.alerts.stuck_days)
    return {"registrations": dict(sorted(counts.items())), "problems": list(_problems(found, since, settings))}


def _problems(found: list[tuple[Any, ...]], since: datetime, settings: Settings) -> Iterator[str]:
    refused = [tenant for tenant, state, _, _ in found if state == REFUSED]
    doubtful = [tenant for tenant, state, _, _ in found if state == SENT]
    stuck = [tenant for tenant, state, at, _ in found if state == NEEDS_LINKING and at is not None and at < since]
    if refused:
        yield f"{_clients(refused)} refused by Debitura: correct the row in the roster (`debitura clients status`)"
    if doubtful:
        yield f"{_clients(doubtful)} sent without a known outcome: run `debitura clients apply`"
    if stuck:
        days = settings.alerts.stuck_days
        yield f"{_clients(stuck)} not linked for more than {days} days: pass on the link of `debitura clients links`"


def _clients(tenants: list[str]) -> str:
    more = f" and {len(tenants) - MAX_NAMED} more" if len(tenants) > MAX_NAMED else ""
    named = f"{', '.join(tenants[:MAX_NAMED])}{more}"
    return f"{len(tenants)} client{'' if len(tenants) == 1 else 's'} ({named})"
