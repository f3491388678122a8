"""Read one part of a first load for the run that loads: the side of a worker. Writes to an attempt of its own and nowhere else.

Takes no run lock, which that run holds, and opens no warehouse. Refuses to read for a run with another API, partner or privacy key.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.errors import IdentityRefused, SharedStoreError
from debitura_pipeline.extract.listing_client import PAGE_ROWS, SPARE_REQUESTS
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import EVERYTHING, Slice
from debitura_pipeline.first_load.part_store import WHOLE, Attempts, PartStore, open_part_objects
from debitura_pipeline.first_load.plan import Beat, LoadPart, LoadPlan, PartResult
from debitura_pipeline.first_load.progress import BEAT_S
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.tenants import TenantResolver
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.settings import Concurrency, Endpoint, Settings
from debitura_pipeline.sync.merge import storable_message
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.warehouse.identity import check_identity, identity_of

UPLOADS = 4  # at once

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartOutcome:
    """What became of a part. `status`: `whole`, `left alone` or `given up`; `about`: why it is not whole."""

    status: str
    resource: str | None = None
    rows: int = 0
    about: str | None = None


def read_part(
    settings: Settings, endpoint: Endpoint, load_id: str, number: int, runtime: Runtime | None = None
) -> PartOutcome:
    """Read a part, unless the load is over or somebody has read it. Raises SharedStoreError if that cannot be found out.

    What else goes wrong is told to the run that loads, which then reads the part itself.
    """
    store = PartStore(open_part_objects(settings), load_id)
    plan = store.plan()
    part = next((part for part in plan.parts if part.number == number), None) if plan is not None else None
    if plan is None or part is None:
        return PartOutcome("left alone", about="the load is over, or of another data directory")
    there = store.attempts().get(number, Attempts())
    if there.is_own or there.having(WHOLE):
        return PartOutcome("left alone", plan.begin.resource, about="another process reads it or has read it")
    attempt = PartAttempt(settings, endpoint, runtime or Runtime(), store, plan, part, secrets.token_hex(8))
    try:
        rows = asyncio.run(attempt.read())
    except BaseException as error:
        reason = storable_message(error) if isinstance(error, Exception) else "its worker ends"
        with suppress(SharedStoreError):
            store.fail(number, attempt.name, reason)
        if not isinstance(error, Exception):
            raise
        return PartOutcome("given up", plan.begin.resource, about=reason)
    finally:
        with suppress(SharedStoreError):
            if store.plan() is None:
                store.drop_attempt(number, attempt.name)
    return PartOutcome("whole", plan.begin.resource, rows)


@dataclass(frozen=True)
class PartAttempt:
    """One attempt at a part. `name`: of its folder in the store."""

    settings: Settings
    endpoint: Endpoint
    runtime: Runtime
    store: PartStore
    plan: LoadPlan
    part: LoadPart
    name: str

    async def read(self) -> int:
        """Read, land and mark as whole; returns the number of rows. Raises IdentityRefused, or the DebituraError of reading."""
        key = self.settings.find_privacy_key()
        if key is None:
            raise IdentityRefused(
                "This machine has no privacy key.", cure="Set DEBITURA_PRIVACY_KEY, or copy privacy.key."
            )
        check_identity(self.settings, with_warehouse=False)
        settings = with_share(self.settings, self.plan)
        async with open_client(settings, self.endpoint, self.runtime) as client, self._beating(client):
            _, partner_id = await read_me(client)
            self._refuse_other(partner_id)
            with (
                tempfile.TemporaryDirectory(prefix="debitura-part-") as scratch,
                PageTransformer(settings.privacy, key) as transformer,
                ThreadPoolExecutor(1, "shape") as pool,
            ):
                client.translate = TenantResolver(client, transformer.business_keys).query
                folder = SyncFolder.create(Path(scratch), self.plan.begin)
                return await self._land(client, self._reader(client, transformer, pool, folder))

    def _reader(
        self, client: ApiClient, transformer: PageTransformer, pool: ThreadPoolExecutor, folder: SyncFolder
    ) -> Reader:
        begin = self.plan.begin
        upper = begin.read_until or begin.upper_bound
        reader = Reader(client, transformer, pool, folder, LISTINGS[begin.resource], upper)
        reader.number_from(self.part.first_number)
        reader.whole = Slice(EVERYTHING)
        reader.opening_totals[reader.whole] = Totals.from_stated(self.plan.totals)
        reader.listing_client.request_limit = 2 * math.ceil(self.part.rows / (PAGE_ROWS - 1)) + SPARE_REQUESTS
        return reader

    async def _land(self, client: ApiClient, reader: Reader) -> int:
        windows = await reader.read(self.part.slices)
        slots = asyncio.Semaphore(UPLOADS)

        async def upload(file: str, sha256: str) -> None:
            async with slots:
                path = reader.folder.path / file
                await asyncio.to_thread(self.store.upload, self.part.number, self.name, path, sha256)

        await asyncio.gather(*(upload(each.file, each.sha256 or "") for each in windows if each.file is not None))
        lines = tuple(window.as_line() for window in windows)
        result = PartResult(
            windows=lines, requests=client.stats.requests, retries=client.stats.retries, notes=reader.notes
        )
        await asyncio.to_thread(self.store.finish, self.part.number, self.name, result)
        return sum(line.rows for line in lines)

    def _refuse_other(self, partner_id: str | None) -> None:
        """Raises IdentityRefused if this worker would read other rows than the loading run, or store them in another way."""
        own, wanted = identity_of(self.settings, partner_id), self.plan.identity
        found = {} if own is None else {name: value for name, value in vars(own).items() if value is not None}
        unlike = [name for name, value in found.items() if wanted.get(name) not in (None, value)]
        unlike += ["privacy"] if self.settings.privacy != self.plan.privacy else []
        if unlike:
            raise IdentityRefused(
                f"This worker's settings differ from those of the loading run in: {', '.join(unlike)}.",
                cure="Give all machines the same settings.",
            )

    @asynccontextmanager
    async def _beating(self, client: ApiClient) -> AsyncIterator[None]:
        """Say every few seconds that the attempt goes on."""

        async def beat() -> None:
            for number in count():
                with suppress(SharedStoreError):
                    signs = Beat(number, client.stats.requests)
                    await asyncio.to_thread(self.store.beat, self.part.number, self.name, signs)
                await asyncio.sleep(BEAT_S)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating


def with_share(settings: Settings, plan: LoadPlan) -> Settings:
    """The settings with this process's share of what all readers of the load may use."""
    limits = settings.concurrency
    if limits.start == limits.maximum:
        share = max(1, limits.start // plan.readers)
        settings = replace(settings, concurrency=Concurrency(share, share))
    if not plan.is_counted_together:
        settings = replace(settings, requests_per_minute=max(1, settings.requests_per_minute // plan.readers))
    return settings
