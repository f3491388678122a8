"""The resources of one session in turn: while one is read, the one before it is merged."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.extract.plan import Plan
from debitura_pipeline.incremental.base import CostEstimate
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.sync.context import SyncContext
from debitura_pipeline.sync.merge import Merger
from debitura_pipeline.sync.recover import Recovery
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.resource import ResourceSync


class Session(SyncContext):
    """Syncs resources one after the other. Which ones is for the caller to say."""

    async def resources(
        self,
        names: Sequence[str],
        *,
        tenants: Sequence[str] | None = None,
        full: bool = False,
        allow_shrink: bool = False,
    ) -> list[SyncReport]:
        """Plan, read, prove, land and merge each of `names`, and compare totals; a report each, in their order.

        `tenants`: their part alone; one that cannot be read is noted in `failed`, and what comes after is not read of it.
        Raises the DebituraError of the first resource that fails; what was read before it is merged, and the failure has
        its row in `ops.syncs`.
        """
        self._recover(names, allow_shrink)
        reports: list[SyncReport] = []
        landed: ResourceSync | None = None
        for name in names:
            left = None if tenants is None else [tenant for tenant in tenants if tenant not in self.failed]
            is_last = name == names[-1] and "transactions" in names
            sync = ResourceSync(self, name, left, full, allow_shrink, compares_clients=is_last)
            try:
                sync.prepare()
            except Exception:
                if landed is not None:
                    landed.merge()
                raise
            if landed is None:
                await sync.read()
            else:
                reports.append(await sync.read_beside_merge_of(landed))
            landed = sync
            if name == "clients":  # few rows, and what their records say is asked for before cases are read
                reports.append(sync.merge())
                landed = None
        if landed is not None:
            reports.append(landed.merge())
        return reports

    async def forecast(self, resource: str, *, full: bool = False) -> tuple[Plan, CostEstimate]:
        """The plan for one resource and what it will cost. Asks for totals only; nothing is kept, nothing touched."""
        return await ResourceSync(self, resource, full=full).forecast()

    def _recover(self, names: Sequence[str], allow_shrink: bool) -> None:
        """Settle what earlier runs left before anything is read."""
        merger = Merger(self.settings, self.now, self.runtime.id_suffix)

        def catch_up(folder: SyncFolder, note: str) -> SyncReport:
            try:
                return merger.merge(folder, allow_shrink=allow_shrink, note=note)
            except Exception as error:
                merger.note_failure(folder, error, 0, 0)
                raise

        try:
            Recovery(self.settings, self.now(), catch_up).run(names)
        except Exception as error:
            merger.note_early_failure(names[0], error)
            raise
