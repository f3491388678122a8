"""Whether a listing's first load is shared with workers, and its plan; `first_load/` does the reading."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from debitura_pipeline.errors import SharedStoreError
from debitura_pipeline.extract.behaviour import IgnoredParameterError
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import Slice
from debitura_pipeline.first_load.divide import Divider
from debitura_pipeline.first_load.part_store import PartStore, loads, open_part_objects, remove_loads
from debitura_pipeline.first_load.plan import LoadPlan, load_id_of
from debitura_pipeline.first_load.together import ReadTogether
from debitura_pipeline.landing.journal_lines import Begin
from debitura_pipeline.settings import Settings, WorkQueue
from debitura_pipeline.sync.context import SyncContext
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.work_queue.parts import PartQueue

LONG_LISTINGS = ("cases", "transactions")

log = logging.getLogger(__name__)


def readers_queue(settings: Settings) -> WorkQueue | None:
    """The queue of workers that read first loads with a run; None if runs read alone.

    Workers reach no embedded sandbox, which is a process of the run's machine.
    """
    queue = settings.run_queue
    return queue if queue and queue.first_load_readers > 1 and not settings.uses_embedded_sandbox else None


@dataclass
class FirstLoad:
    """Reads a listing that the warehouse does not have yet. `requests`, `retries` and `notes` are the workers'."""

    context: SyncContext
    begin: Begin
    queue: WorkQueue
    requests: int = 0
    retries: int = 0
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: SyncContext, begin: Begin) -> FirstLoad | None:
        """The first load that a journal begins. None if the listing is never long, or the run reads alone."""
        queue = readers_queue(context.settings)
        if queue is None or begin.resource not in LONG_LISTINGS or begin.scope is not None or begin.mode != "full":
            return None
        return cls(context, begin, queue)

    async def read(self, reader: Reader, slices: Sequence[Slice]) -> list[VerifiedWindow]:
        """Windows that cover the listing, as `reader.read` returns them; also its errors."""
        try:
            plan = await self._plan(reader, slices[0])
            if plan is not None:
                return await self._read(reader, plan)
        except IgnoredParameterError:
            pass  # `reader.read` knows another way, or raises it
        return await reader.read(slices)

    async def _read(self, reader: Reader, plan: LoadPlan) -> list[VerifiedWindow]:
        queue = PartQueue(self.queue, plan.load_id, self.context.settings.partner)
        together = ReadTogether(reader, plan, self._store, queue)
        log.info("reading %s in %d parts, with workers of queue %s", plan.load_id, len(plan.parts), self.queue.name)
        with self.context.client.shared_among(plan.readers, is_counted_together=plan.is_counted_together):
            windows = await together.read()
        self.requests, self.retries, self.notes = together.requests, together.retries, together.notes
        return windows

    async def _plan(self, reader: Reader, whole: Slice) -> LoadPlan | None:
        """The plan of an interrupted run, or a new one; None if the listing is to be read by this process alone."""
        try:
            plan = await asyncio.to_thread(self._store.plan)
            if plan is not None and plan.privacy == self.context.settings.privacy:
                reader.opening_totals[whole] = Totals.from_stated(plan.totals)
                return plan
            if reader.landed:  # of an interrupted run that read alone
                return None
            plan = await self._new_plan(reader, whole)
            if plan is not None:
                await asyncio.to_thread(remove_loads, self._store.objects, self.begin.resource)
                await asyncio.to_thread(self._store.begin, plan)
        except (SharedStoreError, ArithmeticError) as error:
            log.warning("%s is read without workers: %s", self.begin.resource, error)
            return None
        return plan

    async def _new_plan(self, reader: Reader, whole: Slice) -> LoadPlan | None:
        settings, readers = self.context.settings, self.queue.first_load_readers
        identity = check_identity(settings, with_warehouse=False).folder
        if identity is None:
            return None
        totals, parts = await Divider(reader, readers, self.context.part_rows).divide(whole)
        if not parts:
            return None
        return LoadPlan(
            begin=self.begin,
            identity=vars(identity),
            privacy=settings.privacy,
            totals=totals.as_stated(),
            readers=readers,
            is_counted_together=not self.context.endpoint.is_simulated and has_common_counts(settings),
            parts=parts,
        )

    @property
    def _store(self) -> PartStore:
        return PartStore(open_part_objects(self.context.settings), load_id_of(self.begin))


def begun_elsewhere(settings: Settings, resource: str) -> list[Begin]:
    """The first lines of the journals of first loads that another machine has begun and not finished."""
    if settings.shared_store is None or readers_queue(settings) is None or resource not in LONG_LISTINGS:
        return []
    try:
        plans = list(loads(open_part_objects(settings)))
    except SharedStoreError as error:
        log.warning("whether another machine has begun to load %s is not known: %s", resource, error)
        return []
    return [plan.begin for plan in plans if plan.begin.resource == resource]


def has_common_counts(settings: Settings) -> bool:
    """Whether processes that read the same load count their requests together: in the warehouse, or in one data directory."""
    return settings.warehouse.dsn is not None or settings.shared_store is None


async def forget_loads(settings: Settings, resource: str) -> None:
    """Delete the parts of first loads of a listing once it is landed; a failure is a warning."""
    if readers_queue(settings) is None or resource not in LONG_LISTINGS:
        return
    try:
        await asyncio.to_thread(remove_loads, open_part_objects(settings), resource)
    except SharedStoreError as error:
        log.warning("parts of a first load could not be deleted: %s", error)
