"""Load the histories of given clients: client by client, or by a full sync if that takes fewer requests."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.contract.listings import LISTINGS, PAGE_SIZE, Query
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.runner import READ_IN_ORDER, RESOURCES, with_session
from debitura_pipeline.sync.session import SyncSession
from debitura_pipeline.warehouse.run_lock import exclusive_run

# The client's own row comes last: once it is in raw.clients, its cases and transactions are loaded too.
CLIENTS_LAST = ("cases", "transactions", "clients")
# For fewer clients, the three requests for row counts cost about as much as they can save.
MIN_CLIENTS_TO_COMPARE = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WantedClient:
    """A client to load: its tenant id as stored, and the case count in its record (None if it states none)."""

    tenant: str
    cases: int | None = None


@dataclass(frozen=True)
class ClientsSync:
    """The result. `failed`: reasons by tenant of clients that could not be read; the others are merged. `is_whole`: a full
    sync was made, so all other clients are up to date too."""

    reports: tuple[SyncReport, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    is_whole: bool = False


def sync_clients(
    settings: Settings,
    endpoint: Endpoint,
    wanted: Sequence[WantedClient],
    due: int | None = None,
    runtime: Runtime | None = None,
) -> ClientsSync:
    """Read, prove and merge the cases, transactions and records of `wanted`, with one merge per resource.

    `due`: number of clients waiting, including these; a full sync would load all of them. Raises the DebituraError that concerns
    all clients, or the first one if no client could be read.
    """
    wanted = list({client.tenant: client for client in wanted}.values())

    async def work(session: SyncSession) -> ClientsSync:
        if await _is_whole_cheaper(session, wanted, max(due or 0, len(wanted))):
            return ClientsSync(tuple(await session.resources(READ_IN_ORDER, full=True)), is_whole=True)
        tenants = [client.tenant for client in wanted]
        reports = await session.resources(CLIENTS_LAST, tenants=tenants)
        return ClientsSync(tuple(sorted(reports, key=lambda one: RESOURCES.index(one.resource))), session.failed)

    with exclusive_run(settings, "sync of clients"):
        return asyncio.run(with_session(settings, endpoint, None, runtime or Runtime(), work))


async def _is_whole_cheaper(session: SyncSession, wanted: Sequence[WantedClient], due: int) -> bool:
    if due < MIN_CLIENTS_TO_COMPARE:
        return False
    pages = [session.client.page(Query(LISTINGS[resource]), 1) for resource in RESOURCES]
    totals = [page.metadata.total_results for page in await asyncio.gather(*pages)]
    counts = dict(zip(RESOURCES, totals, strict=True))
    whole, apart = whole_requests(counts), clients_requests(wanted, due, counts)
    log.info("%d clients are due: %d requests for a full sync, %d client by client", due, whole, apart)
    return whole < apart


def whole_requests(counts: Mapping[str, int]) -> int:
    """Number of requests of a full sync, by the rows of each listing."""
    return sum(_pages(rows) for rows in counts.values())


def clients_requests(wanted: Sequence[WantedClient], due: int, counts: Mapping[str, int]) -> int:
    """Number of requests for `due` clients one by one, extrapolated from `wanted`. A client without a case count is assumed
    to be average."""
    average = counts["cases"] / max(1, counts["clients"])
    per_case = counts["transactions"] / max(1, counts["cases"])
    cases = [average if client.cases is None else client.cases for client in wanted]
    requests = sum(1 + _pages(rows) + _pages(rows * per_case) for rows in cases)
    return math.ceil(requests * due / max(1, len(wanted)))


def _pages(rows: float) -> int:
    """One page if it holds all rows. Otherwise each page repeats the last row of the one before, and totals are read again."""
    return 1 if rows < PAGE_SIZE else math.ceil(rows / (PAGE_SIZE - 1)) + 1
