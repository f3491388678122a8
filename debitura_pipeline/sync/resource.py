"""Sync one resource: prepare, read, merge. Failures of each step are recorded."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.plan import Plan
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.incremental.base import CostEstimate
from debitura_pipeline.landing.journal_lines import End
from debitura_pipeline.landing.landing_zone import SyncFolder, discard
from debitura_pipeline.sync.context import SyncContext
from debitura_pipeline.sync.first_load import FirstLoad, forget_loads
from debitura_pipeline.sync.land import Incremental, Landing, estimate_full_read, land
from debitura_pipeline.sync.land_clients import land_clients
from debitura_pipeline.sync.merge import Merger, storable_message
from debitura_pipeline.sync.prepare import Preparer
from debitura_pipeline.sync.report import SyncReport

log = logging.getLogger(__name__)


@dataclass
class ResourceSync:
    """One resource's sync; call `prepare`, `read` and `merge` in this order. `tenants`: limits it to their part of the listing.
    `compares_clients`: this is the last resource, so the totals in clients' records are compared as well."""

    context: SyncContext
    resource: str
    tenants: Sequence[str] | None = None
    full: bool = False
    allow_shrink: bool = False
    compares_clients: bool = False
    _first_load: FirstLoad | None = None

    def prepare(self) -> None:
        """Choose plan and folder by the warehouse's state. Raises DebituraError; the failure is recorded."""
        try:
            self.prepared = self._preparer.prepare(self.resource, self.tenants, full=self.full)
        except Exception as error:
            self._merger.note_early_failure(self.resource, error)
            raise

    async def read(self, merging: asyncio.Task[SyncReport] | None = None) -> None:
        """Read, prove and land. Raises DebituraError; the failure is recorded once `merging` has closed the warehouse."""
        self._requests, self._retries = self.context.client.stats.requests, self.context.client.stats.retries
        folder = self.prepared.folder
        try:
            folder.append(self._end_line(folder, await self._land()))
            if self.tenants is None:
                await forget_loads(self.context.settings, self.resource)
            self.context.failed |= folder.end.failed if folder.end is not None else {}
        except Exception as error:
            if merging is not None:
                await asyncio.wait([merging])
            self._note_failure(error)
            if isinstance(error, UnprovenError) and folder.begin.mode == "nightly":
                discard(folder)  # its rows are outdated, so it would fail again if resumed
            raise

    async def read_beside_merge_of(self, landed: ResourceSync) -> SyncReport:
        """Read while `landed` is merged, and return the report of that merge, which is always waited for.

        Raises DebituraError. If both fail, the error of the merge is only logged.
        """
        self.prepared = self.prepared.beside(landed.prepared)
        merging = asyncio.create_task(asyncio.to_thread(landed.merge))
        try:
            await self.read(merging)
        except BaseException:
            await asyncio.wait([merging])
            if not merging.cancelled() and (error := merging.exception()) is not None:
                # Without its traceback, which may quote a row.
                log.warning("merging %s also failed: %s", landed.resource, storable_message(error))
            raise
        return await asyncio.shield(merging)

    def merge(self) -> SyncReport:
        """Merge what was read. Raises DebituraError; the failure is recorded."""
        try:
            return self._merger.merge(self.prepared.folder, allow_shrink=self.allow_shrink)
        except Exception as error:
            self._note_failure(error)
            raise

    async def estimate(self) -> tuple[Plan, CostEstimate]:
        """The plan and its cost. Reads totals only and changes nothing. Raises DebituraError."""
        with tempfile.TemporaryDirectory(prefix="debitura-plan-") as scratch:
            self.prepared = preview = self._preparer.preview(self.resource, Path(scratch), full=self.full)
            reader = self._reader(preview.folder)
            if preview.baseline is None or preview.plan.mode != "nightly":
                return preview.plan, await estimate_full_read(reader, preview.plan)
            mode, cost = await self._incremental(reader).estimate()
            return replace(preview.plan, mode=mode), cost

    async def _land(self) -> Landing:
        prepared = self.prepared
        reader = self._reader(prepared.folder)
        mode = self.context.partner.invoicing_mode
        if prepared.plan.mode == "client":
            return await land_clients(reader, prepared.plan, prepared.client_baselines, mode)
        if prepared.baseline is None or prepared.folder.begin.mode != "nightly":
            is_first = prepared.baseline is None
            self._first_load = FirstLoad.of(self.context, prepared.folder.begin) if is_first else None
            read = None if self._first_load is None else self._first_load.read
            return await land(reader, prepared.plan, prepared.baseline, mode, read)
        return await self._incremental(reader).land()

    def _incremental(self, reader: Reader) -> Incremental:
        prepared = self.prepared
        assert prepared.baseline is not None
        return Incremental(
            reader, prepared.plan, prepared.baseline, prepared.known, self.context.partner.invoicing_mode,
            prepared.folder.begin.at, self.context.settings.refresh_days,
        )  # fmt: skip

    def _reader(self, folder: SyncFolder) -> Reader:
        context, begin = self.context, folder.begin
        upper = begin.read_until or begin.upper_bound
        return Reader(
            context.client,
            context.transformer,
            context.transform_pool,
            folder,
            LISTINGS[self.resource],
            upper,
            context.progress,
        )

    def _end_line(self, folder: SyncFolder, landing: Landing) -> End:
        """The journal's last line before the merge: it makes the folder a certificate."""
        stats, together = self.context.client.stats, self._first_load
        requests, retries = stats.requests - self._requests, stats.retries - self._retries
        notes = landing.notes
        if together is not None:
            requests, retries = requests + together.requests, retries + together.retries
            notes = tuple(dict.fromkeys((*notes, *together.notes)))
        messages = (self.context.clock.message, folder.begin.note, *notes, *landing.unproven)
        is_by_tenant = landing.mode == "client"
        return End(
            windows=tuple(window.seq for window in landing.windows),
            api=landing.totals.as_stated(),
            mode=landing.mode,
            gone=landing.gone,
            is_settled=landing.is_settled,
            unproven=landing.unproven,
            finished_at=self.context.now(),
            requests=requests,
            retries=retries,
            message="; ".join(filter(None, messages)) or None,
            with_clients=self.compares_clients,
            tenants=landing.tenants if is_by_tenant else None,
            failed=dict(landing.failed) if is_by_tenant else {},
        )

    def _note_failure(self, error: Exception) -> None:
        stats = self.context.client.stats
        self._merger.note_failure(
            self.prepared.folder, error, stats.requests - self._requests, stats.retries - self._retries
        )

    @property
    def _preparer(self) -> Preparer:
        context = self.context
        return Preparer(context.settings, context.runtime, context.partner, context.clock, context.small_requests)

    @property
    def _merger(self) -> Merger:
        return Merger(self.context.settings, self.context.now, self.context.runtime.id_suffix)
