"""One sync of one resource after the other: prepared, read, merged beside the next one's reading; the API's clock.

Belongs here: the order of steps, and what becomes of a step that fails. Does not: which resources (`run.py`), what is read
(`land.py`), the steps themselves (`prepare.py`, `merging.py`).
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Tools
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.plan import SMALL_REQUESTS, Plan
from debitura_pipeline.extract.reader import Progress, Reader
from debitura_pipeline.incremental.base import Forecast
from debitura_pipeline.landing.landing_zone import SyncFolder, discard
from debitura_pipeline.landing.transform import Shaper
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.clock import sync_clock
from debitura_pipeline.sync.land import Landing, forecast, land, land_nightly, whole_cost
from debitura_pipeline.sync.land_clients import land_clients
from debitura_pipeline.sync.merge import Merging, told
from debitura_pipeline.sync.prepare import Partner, Preparation, Reading
from debitura_pipeline.sync.recover import Recovery
from debitura_pipeline.sync.report import SyncReport

TAKEN_UP = "read by a run that ended before it was merged; nothing was read again"

log = logging.getLogger(__name__)


@dataclass
class Session:
    settings: Settings
    endpoint: Endpoint
    tools: Tools
    client: ApiClient
    shaper: Shaper
    shaping: ThreadPoolExecutor
    progress: Callable[[Progress], None] | None
    partner: Partner
    small_requests: int = SMALL_REQUESTS
    with_clients: bool = (
        False  # all that clients' own records speak of is merged with this resource, so compare these too
    )
    failed: dict[str, str] = field(default_factory=dict)  # tenants that could not be read, and why
    _requests: int = 0
    _retries: int = 0

    def __post_init__(self) -> None:
        """The API's clock where it can be believed."""
        stated, is_simulated = self.client.server_time, self.endpoint.is_simulated
        self.clock = sync_clock(stated, self.tools.now(), self.tools.monotonic, is_simulated=is_simulated)
        if self.clock.message:
            log.warning("%s", self.clock.message)

    def now(self) -> datetime:
        return self.clock.now()

    async def resource(
        self,
        resource: str,
        *,
        tenants: Sequence[str] | None = None,
        full: bool = False,
        allow_shrink: bool = False,
    ) -> SyncReport:
        return (await self.resources((resource,), tenants=tenants, full=full, allow_shrink=allow_shrink))[0]

    async def resources(
        self,
        names: Sequence[str],
        *,
        tenants: Sequence[str] | None = None,
        full: bool = False,
        allow_shrink: bool = False,
    ) -> list[SyncReport]:
        """One resource after the other: plan, read, prove, land, merge, compare totals. While one is read, the one before
        it is merged. A failure leaves its line in `ops.syncs`; what was read before it is merged.

        `tenants`: their part alone; one that cannot be read is noted in `failed`, and what comes after is not read of it."""
        reports: list[SyncReport] = []
        landed: Reading | None = None
        self._recover(names, allow_shrink)
        for name in names:
            self.with_clients = name == names[-1] and "transactions" in names
            try:
                left = None if tenants is None else [tenant for tenant in tenants if tenant not in self.failed]
                reading = self._preparation.of(name, left, full=full)
            except Exception as error:
                self._merging.note_early_failure(name, error)
                if landed is not None:
                    self._merge_reading(landed, allow_shrink)
                raise
            if landed is None:
                await self._read(reading)
            else:
                reports.append(await self._read_beside_merge(reading, landed, allow_shrink))
            landed = reading
            if name == "clients":  # few rows, and what their records say is asked for before cases are read
                reports.append(self._merge_reading(reading, allow_shrink))
                landed = None
        if landed is not None:
            reports.append(self._merge_reading(landed, allow_shrink))
        return reports

    def _recover(self, names: Sequence[str], allow_shrink: bool) -> None:
        """What earlier runs left is settled before anything is read."""
        try:
            Recovery(self.settings, self.now(), lambda folder, note: self._merge(folder, allow_shrink, note)).run(names)
        except Exception as error:
            self._merging.note_early_failure(names[0], error)
            raise

    async def _read_beside_merge(self, reading: Reading, landed: Reading, allow_shrink: bool) -> SyncReport:
        """The report of the merge. Whatever happens, the merge is at its end afterwards: it cannot be called off."""
        merging = asyncio.create_task(asyncio.to_thread(self._merge_reading, landed, allow_shrink))
        try:
            await self._read(reading, merging)
        except BaseException:
            await asyncio.wait([merging])
            if not merging.cancelled() and (error := merging.exception()) is not None:
                # One error is raised, the other told; not with its traceback, which may quote a row.
                log.warning("merging %s failed, too: %s", landed.resource, told(error))
            raise
        return await asyncio.shield(merging)

    async def _read(self, reading: Reading, merging: asyncio.Task[SyncReport] | None = None) -> None:
        """Land and prove. A failure is noted in the warehouse, once nobody else has it open."""
        self._requests, self._retries = self.client.stats.requests, self.client.stats.retries
        try:
            if reading.folder.end is None:
                self._close(reading.folder, await self._land(reading))
            else:
                log.warning("%s: %s", reading.resource, TAKEN_UP)
            self.failed |= (reading.folder.end or {}).get("failed", {})
        except Exception as error:
            if merging is not None:
                await asyncio.wait([merging])
            self._note_failure(reading.folder, error)
            if isinstance(error, UnprovenError) and reading.folder.begin["mode"] == "nightly":
                discard(reading.folder)  # what it read is out of date: taken up again, it would fail again
            raise

    async def _land(self, reading: Reading) -> Landing:
        reader = self._reader(reading.resource, reading.folder)
        if reading.plan.mode == "client":
            return await land_clients(reader, reading.plan, reading.grounds, self.partner[0])
        if reading.ground is None or reading.folder.begin["mode"] != "nightly":
            return await land(reader, reading.plan, reading.ground, self.partner[0])
        at, days = reading.folder.instant("at"), self.settings.refresh_days
        return await land_nightly(reader, reading.plan, reading.ground, reading.known, self.partner[0], at, days)

    async def forecast(self, resource: str, *, full: bool = False) -> tuple[Plan, Forecast]:
        """The plan for one resource and what it will cost. Asks for totals only; nothing is kept, nothing touched."""
        with tempfile.TemporaryDirectory(prefix="debitura-plan-") as scratch:
            draft = self._preparation.draft(resource, Path(scratch), full=full)
            reader = self._reader(resource, draft.folder)
            if draft.ground is None or draft.plan.mode != "nightly":
                return draft.plan, await whole_cost(reader, draft.plan)
            at, days = draft.folder.instant("at"), self.settings.refresh_days
            mode, cost = await forecast(reader, draft.plan, draft.ground, draft.known, self.partner[0], at, days)
            return replace(draft.plan, mode=mode), cost

    def _reader(self, resource: str, folder: SyncFolder) -> Reader:
        return Reader(
            self.client,
            self.shaper,
            self.shaping,
            folder,
            LISTINGS[resource],
            folder.instant("read_until" if "read_until" in folder.begin else "upper_bound"),
            self.progress,
        )

    def _close(self, folder: SyncFolder, landing: Landing) -> None:
        """The journal's end line: from now on the folder is a certificate and can be merged."""
        said = (self.clock.message, folder.begin.get("note"))
        folder.append(
            "end",
            windows=[window.seq for window in landing.windows],
            api=landing.totals.as_json(),
            mode=landing.mode,
            gone=landing.gone,
            is_settled=landing.is_settled,
            unproven=landing.unproven,
            finished_at=self.now(),
            requests=self.client.stats.requests - self._requests,
            retries=self.client.stats.retries - self._retries,
            message="; ".join(filter(None, [*said, *landing.notes, *landing.unproven])) or None,
            with_clients=self.with_clients,
            **({"tenants": landing.tenants, "failed": landing.failed} if landing.mode == "client" else {}),
        )

    def _merge_reading(self, reading: Reading, allow_shrink: bool) -> SyncReport:
        return self._merge(reading.folder, allow_shrink, TAKEN_UP if reading.is_taken_up else None)

    def _merge(self, folder: SyncFolder, allow_shrink: bool, note: str | None = None) -> SyncReport:
        try:
            return self._merging.merge(folder, allow_shrink=allow_shrink, note=note)
        except Exception as error:
            self._note_failure(folder, error)
            raise

    def _note_failure(self, folder: SyncFolder, error: Exception) -> None:
        stats = self.client.stats
        self._merging.note_failure(folder, error, stats.requests - self._requests, stats.retries - self._retries)

    @property
    def _preparation(self) -> Preparation:
        return Preparation(self.settings, self.tools, self.partner, self.clock, self.small_requests)

    @property
    def _merging(self) -> Merging:
        return Merging(self.settings, self.now, self.tools.token)
