"""Entry points of a sync: open a session with the API, check identities, sync resources or estimate their cost.

Called by the command line and by Dagster assets. Nothing reaches `raw` before every window is landed and verified.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.extract.plan import SMALL_REQUESTS, Plan
from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.first_load.divide import LEAST_ROWS
from debitura_pipeline.incremental.base import CostEstimate
from debitura_pipeline.landing.tenants import TenantResolver
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.clock import sync_clock
from debitura_pipeline.sync.merge import Merger
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.sync.reached import note_reached, was_reached
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.session import SyncSession
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run

RESOURCES = ("clients", "cases", "transactions")
# Transactions before cases: the longest merge then runs during the second longest read, the case of a transaction that was added
# in between is read as well, and so are cases whose transactions moved to another client.
READ_IN_ORDER = ("clients", "transactions", "cases")

log = logging.getLogger(__name__)
T = TypeVar("T")


def sync(
    settings: Settings,
    endpoint: Endpoint,
    resources: Sequence[str] = RESOURCES,
    *,
    full: bool = False,
    allow_shrink: bool = False,
    progress: Callable[[ReadProgress], None] | None = None,
    runtime: Runtime | None = None,
    small_requests: int = SMALL_REQUESTS,
    outages: OutagePolicy | None = None,
    part_rows: int = LEAST_ROWS,
    compares_clients: bool | None = None,
) -> list[SyncReport]:
    """Read, prove and merge `resources`. Returns one report each, in the order clients, cases, transactions.

    `small_requests`: resources that take fewer requests are always read completely. `outages`: how long to wait for an API that
    has answered before; by default, requests only have their ordinary retries. `part_rows`: rows that a part of a first load has
    at least, where workers read, too. `compares_clients`: whether the totals in clients' records are compared at the end; by
    default, if transactions are read.

    Raises the DebituraError of the first resource that failed; resources read before it are merged. Raises WarehouseBusy if
    another run holds the warehouse, and IdentityRefused if data directory or warehouse hold data of another API or partner; both
    before anything is read.
    """

    async def work(session: SyncSession) -> list[SyncReport]:
        wanted = [resource for resource in READ_IN_ORDER if resource in resources]
        session.small_requests, session.part_rows = small_requests, part_rows
        reports = await session.resources(
            wanted, full=full, allow_shrink=allow_shrink, compares_clients=compares_clients
        )
        return sorted(reports, key=lambda report: RESOURCES.index(report.resource))

    with exclusive_run(settings, "sync"):
        return asyncio.run(with_session(settings, endpoint, progress, runtime or Runtime(), work, outages=outages))


def estimate(
    settings: Settings,
    endpoint: Endpoint,
    resources: Sequence[str] = RESOURCES,
    *,
    full: bool = False,
    runtime: Runtime | None = None,
    small_requests: int = SMALL_REQUESTS,
) -> list[tuple[str, Plan, CostEstimate]]:
    """The plan and cost of `sync`, by resource. Reads totals only and changes nothing. Raises DebituraError."""

    async def work(session: SyncSession) -> list[tuple[str, Plan, CostEstimate]]:
        session.small_requests = small_requests
        wanted = [resource for resource in RESOURCES if resource in resources]
        return [(resource, *await session.estimate(resource, full=full)) for resource in wanted]

    return asyncio.run(with_session(settings, endpoint, None, runtime or Runtime(), work, is_kept=False))


async def with_session(
    settings: Settings,
    endpoint: Endpoint,
    progress: Callable[[ReadProgress], None] | None,
    runtime: Runtime,
    work: Callable[[SyncSession], Coroutine[Any, Any, T]],
    *,
    is_kept: bool = True,
    outages: OutagePolicy | None = None,
) -> T:
    """Check identities, open a session and call `work` with it.

    `is_kept`: record identity and reachability. Raises IdentityRefused, ApiError, WarehouseError, and what `work` raises.
    """
    known = check_identity(settings)
    if outages is not None:
        outages = replace(outages, has_answered_before=was_reached(settings, endpoint, known))
    async with open_client(settings, endpoint, runtime, outages) as client:
        try:
            partner, partner_id = await read_me(client)
        except Exception as error:
            if is_kept:
                _note_failure_to_start(settings, endpoint, runtime, client.server_time, error)
            raise
        known = known.with_partner(partner_id)
        if is_kept:
            known.keep()
        with (
            PageTransformer(settings.privacy, settings.obtain_privacy_key()) as transformer,
            ThreadPoolExecutor(1, "shape") as transform_pool,
        ):
            client.translate = TenantResolver(client, transformer.business_keys).query
            done = await work(
                SyncSession(settings, endpoint, runtime, client, transformer, transform_pool, progress, partner)
            )
    if is_kept:
        note_reached(settings, endpoint)
    return done


def _note_failure_to_start(
    settings: Settings, endpoint: Endpoint, runtime: Runtime, stated: datetime | None, error: Exception
) -> None:
    """Record a run whose first request failed, under the resource that it would have read first."""
    clock = sync_clock(stated, runtime.now(), runtime.monotonic, is_simulated=endpoint.is_simulated)
    # The clock of a simulated API is unknown if it did not answer.
    is_dated = stated is not None or not endpoint.is_simulated
    with suppress(WarehouseError):  # must not hide the error itself
        if warehouse_exists(settings):
            Merger(settings, clock.now, runtime.id_suffix).note_early_failure(
                READ_IN_ORDER[0], error, is_dated=is_dated
            )
