"""The histories of clients that are to be loaded: client by client, or by one reading of everything where that is cheaper.

Belongs here: that choice, in requests. Does not: who is to be loaded (`onboarding/`), what a reading does (`session.py`).
"""

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
from debitura_pipeline.sync.session import Session
from debitura_pipeline.warehouse.run_lock import exclusive_run

# The client's own row last: where raw.clients shows it, its cases and transactions are there.
CLIENTS_LAST = ("cases", "transactions", "clients")
# For fewer clients than this, asking how much there is costs about as much as it can save.
WORTH_ASKING = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WantedClient:
    """A client's tenant id as stored, and how many cases its own record states (None: it states none)."""

    tenant: str
    cases: int | None = None


@dataclass(frozen=True)
class ClientsSync:
    """What was read and merged. `failed`: why, by tenant, where a client's part could not be read; the others are merged.
    `is_whole`: everything was read, so clients that nobody asked for are up to date too."""

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
    """Read, prove and merge cases, transactions and own records of `wanted`, one merge per resource.

    `due`: how many clients wait in all, these included; one reading of everything serves the others too.
    Raises the DebituraError that concerns all of them, or the first where none could be read.
    """
    wanted = list({client.tenant: client for client in wanted}.values())

    async def work(session: Session) -> ClientsSync:
        if await _is_whole_cheaper(session, wanted, max(due or 0, len(wanted))):
            return ClientsSync(tuple(await session.resources(READ_IN_ORDER, full=True)), is_whole=True)
        tenants = [client.tenant for client in wanted]
        reports = await session.resources(CLIENTS_LAST, tenants=tenants)
        return ClientsSync(tuple(sorted(reports, key=lambda one: RESOURCES.index(one.resource))), session.failed)

    with exclusive_run(settings, "sync of clients"):
        return asyncio.run(with_session(settings, endpoint, None, runtime or Runtime(), work))


async def _is_whole_cheaper(session: Session, wanted: Sequence[WantedClient], due: int) -> bool:
    if due < WORTH_ASKING:
        return False
    pages = [session.client.page(Query(LISTINGS[resource]), 1) for resource in RESOURCES]
    totals = [page.metadata.total_results for page in await asyncio.gather(*pages)]
    counts = dict(zip(RESOURCES, totals, strict=True))
    whole, apart = whole_requests(counts), clients_requests(wanted, due, counts)
    log.info("%d clients are due: %d requests to read everything, %d client by client", due, whole, apart)
    return whole < apart


def whole_requests(counts: Mapping[str, int]) -> int:
    """Requests that one reading of everything takes, by the rows of each listing."""
    return sum(_pages(rows) for rows in counts.values())


def clients_requests(wanted: Sequence[WantedClient], due: int, counts: Mapping[str, int]) -> int:
    """Requests that `due` clients take one by one, where `wanted` are such as the rest; a client that states no cases counts
    as the average one."""
    average = counts["cases"] / max(1, counts["clients"])
    per_case = counts["transactions"] / max(1, counts["cases"])
    cases = [average if client.cases is None else client.cases for client in wanted]
    requests = sum(1 + _pages(rows) + _pages(rows * per_case) for rows in cases)
    return math.ceil(requests * due / max(1, len(wanted)))


def _pages(rows: float) -> int:
    """One answer where it holds all; else each begins with the row that the last one ended with, and totals are asked again."""
    return 1 if rows < PAGE_SIZE else math.ceil(rows / (PAGE_SIZE - 1)) + 1
