"""Sync several resources in one session: each is read while the previous one is merged."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.extract.plan import Plan
from debitura_pipeline.incremental.base import CostEstimate
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.sync.by_id import CasesByIdSync, CasesRead
from debitura_pipeline.sync.context import SyncContext
from debitura_pipeline.sync.merge import Merger
from debitura_pipeline.sync.prepare import Preparer
from debitura_pipeline.sync.recover import Recovery
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.resource import ResourceSync


class SyncSession(SyncContext):
    """Syncs resources in sequence."""

    async def resources(
        self,
        names: Sequence[str],
        *,
        tenants: Sequence[str] | None = None,
        full: bool = False,
        allow_shrink: bool = False,
        compares_clients: bool | None = None,
    ) -> list[SyncReport]:
        """Sync each of `names`, and return one report each, in their order.

        `compares_clients`: whether the totals in clients' records are compared after the last one; by default, if transactions are
        among them.

        `tenants`: limits the sync to their part; a tenant that cannot be read is added to `failed` and skipped from then on.
        Raises the DebituraError of the first resource that fails. Resources read before it are merged, and the failure is
        recorded in `ops.syncs`.
        """
        self._recover(names, allow_shrink)
        reports: list[SyncReport] = []
        landed: ResourceSync | None = None
        for name in names:
            left = None if tenants is None else [tenant for tenant in tenants if tenant not in self.failed]
            is_compared = "transactions" in names if compares_clients is None else compares_clients
            is_last = name == names[-1] and is_compared
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
            if name == "clients":  # merged at once: there are few, and reading cases needs the totals in their records
                reports.append(sync.merge())
                landed = None
        if landed is not None:
            reports.append(landed.merge())
        return reports

    async def cases_by_id(self, keys: Sequence[str]) -> CasesRead:
        """Read these cases by id and merge those that the listing has too.

        Raises DebituraError; the failure is recorded in `ops.syncs`.
        """
        self._recover(("cases",), allow_shrink=False)
        sync = CasesByIdSync(self, "cases", keys=list(dict.fromkeys(keys)))
        sync.prepare()
        listed = await sync.read_listed()
        return CasesRead(sync.merge() if listed else None, listed, frozenset(sync.refused))

    def is_interrupted(self, resource: str) -> bool:
        """Whether a sync of the whole listing was interrupted and can be resumed. Merging anything else would end that.

        Raises LandingError and WarehouseError.
        """
        return Preparer(self.settings, self.runtime, self.partner, self.clock, self.small_requests).is_interrupted(
            resource
        )

    async def estimate(self, resource: str, *, full: bool = False) -> tuple[Plan, CostEstimate]:
        """The plan for one resource and its cost. Reads totals only and changes nothing. Raises DebituraError."""
        return await ResourceSync(self, resource, full=full).estimate()

    def _recover(self, names: Sequence[str], allow_shrink: bool) -> None:
        """Merge or mark what earlier runs left behind, before anything is read."""
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
