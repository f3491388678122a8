"""One resource's sync from plan to merge: prepared, read, merged, and what goes on record where a step fails."""

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
from debitura_pipeline.sync.land import Incremental, Landing, estimate_full_read, land
from debitura_pipeline.sync.land_clients import land_clients
from debitura_pipeline.sync.merge import Merger, told
from debitura_pipeline.sync.prepare import Preparer
from debitura_pipeline.sync.report import SyncReport

TAKEN_UP = "read by a run that ended before it was merged; nothing was read again"

log = logging.getLogger(__name__)


@dataclass
class ResourceSync:
    """`prepare`, `read` and `merge`, in this order. `tenants`: only their part of the listing. `compares_clients`: all that the
    clients' own records speak of is merged with this resource, so that these are compared, too."""

    context: SyncContext
    resource: str
    tenants: Sequence[str] | None = None
    full: bool = False
    allow_shrink: bool = False
    compares_clients: bool = False

    def prepare(self) -> None:
        """Ask the warehouse what is known, and choose what is read into which folder. A failure is on record."""
        try:
            self.prepared = self._preparer.prepare(self.resource, self.tenants, full=self.full)
        except Exception as error:
            self._merger.note_early_failure(self.resource, error)
            raise

    async def read(self, merging: asyncio.Task[SyncReport] | None = None) -> None:
        """Read, prove and land. A failure is on record, once `merging` no longer has the warehouse open."""
        self._requests, self._retries = self.context.client.stats.requests, self.context.client.stats.retries
        folder = self.prepared.folder
        try:
            if folder.end is None:
                folder.append(self._end_line(folder, await self._land()))
            else:
                log.warning("%s: %s", self.resource, TAKEN_UP)
            self.context.failed |= folder.end.failed if folder.end is not None else {}
        except Exception as error:
            if merging is not None:
                await asyncio.wait([merging])
            self._note_failure(error)
            if isinstance(error, UnprovenError) and folder.begin.mode == "nightly":
                discard(folder)  # what it read is out of date: taken up again, it would fail again
            raise

    async def read_beside_merge_of(self, landed: ResourceSync) -> SyncReport:
        """Read while `landed` is merged; its report. The merge cannot be cancelled, so it is always waited for."""
        merging = asyncio.create_task(asyncio.to_thread(landed.merge))
        try:
            await self.read(merging)
        except BaseException:
            await asyncio.wait([merging])
            if not merging.cancelled() and (error := merging.exception()) is not None:
                # One error is raised, the other logged; not with its traceback, which may quote a row.
                log.warning("merging %s failed, too: %s", landed.resource, told(error))
            raise
        return await asyncio.shield(merging)

    def merge(self) -> SyncReport:
        """Merge what was read. A failure is on record."""
        note = TAKEN_UP if self.prepared.is_taken_up else None
        try:
            return self._merger.merge(self.prepared.folder, allow_shrink=self.allow_shrink, note=note)
        except Exception as error:
            self._note_failure(error)
            raise

    async def forecast(self) -> tuple[Plan, CostEstimate]:
        """The plan and what it will cost. Asks for totals only; nothing is kept, nothing touched."""
        with tempfile.TemporaryDirectory(prefix="debitura-plan-") as scratch:
            self.prepared = draft = self._preparer.preview(self.resource, Path(scratch), full=self.full)
            reader = self._reader(draft.folder)
            if draft.baseline is None or draft.plan.mode != "nightly":
                return draft.plan, await estimate_full_read(reader, draft.plan)
            mode, cost = await self._incremental(reader).forecast()
            return replace(draft.plan, mode=mode), cost

    async def _land(self) -> Landing:
        prepared = self.prepared
        reader = self._reader(prepared.folder)
        mode = self.context.partner.invoicing_mode
        if prepared.plan.mode == "client":
            return await land_clients(reader, prepared.plan, prepared.client_baselines, mode)
        if prepared.baseline is None or prepared.folder.begin.mode != "nightly":
            return await land(reader, prepared.plan, prepared.baseline, mode)
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
        """From this line on the folder is a certificate and can be merged."""
        stats = self.context.client.stats
        said = (self.context.clock.message, folder.begin.note, *landing.notes, *landing.unproven)
        is_by_tenant = landing.mode == "client"
        return End(
            windows=tuple(window.seq for window in landing.windows),
            api=landing.totals.as_stated(),
            mode=landing.mode,
            gone=landing.gone,
            is_settled=landing.is_settled,
            unproven=landing.unproven,
            finished_at=self.context.now(),
            requests=stats.requests - self._requests,
            retries=stats.retries - self._retries,
            message="; ".join(filter(None, said)) or None,
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
