"""Prepare the sync of a resource: read its state from the warehouse, choose a plan and a landing folder.

The warehouse is closed again before the API is read, so that others can use it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.extract.plan import KnownState, Plan, choose_plan
from debitura_pipeline.extract.windows import EVERYTHING, Slice
from debitura_pipeline.landing.journal_lines import Begin
from debitura_pipeline.landing.landing_zone import SyncFolder, discard, sync_folders, unmerged
from debitura_pipeline.reconcile.certificate import read_windows
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.clock import SKEW_REPORTED, SyncClock, after, after_all_syncs
from debitura_pipeline.sync.first_load import begun_elsewhere
from debitura_pipeline.sync.land import Baseline, export_baseline
from debitura_pipeline.sync.land_clients import export_client_baselines
from debitura_pipeline.sync.moved_cases import owners_in_warehouse, owners_landed
from debitura_pipeline.sync.partner import PartnerTerms
from debitura_pipeline.sync.renamed_clients import rows_of_renamed
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.ops_sql import newest_merged

# An interrupted sync is resumed within the same night. Less than a day, because schedules are not punctual to the second.
RESUME_WITHIN = timedelta(hours=20)

Head = tuple[datetime, str | None]  # instant and certificate of the newest merged sync

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A resource that is ready to be read. `baseline`: for an incremental sync. `client_baselines`: by tenant, for a sync of some
    tenants."""

    resource: str
    known: KnownState
    plan: Plan
    folder: SyncFolder
    baseline: Baseline | None
    client_baselines: Mapping[str, Baseline] = field(default_factory=dict)

    def beside(self, other: Prepared) -> Prepared:
        """With what the rows of another resource tell that are landed and not merged yet."""
        if self.baseline is None or (self.resource, other.resource) != ("cases", "transactions"):
            return self
        owners = (*self.baseline.owners, *owners_landed(other.folder))
        return replace(self, baseline=replace(self.baseline, owners=owners))


@dataclass(frozen=True)
class Preparer:
    """Decides what is read, and where it lands."""

    settings: Settings
    runtime: Runtime
    partner: PartnerTerms
    clock: SyncClock
    small_requests: int

    def prepare(self, resource: str, tenants: Sequence[str] | None = None, *, full: bool = False) -> Prepared:
        """Prepare a sync, in the folder of an interrupted one if that can be resumed. Raises LandingError, WarehouseError."""
        with open_warehouse(self.settings) as warehouse:
            known, chosen = self._plan(warehouse, resource, tenants, full)
            folder = self._folder(warehouse, resource, chosen, tenants)
            if tenants is not None:
                baselines = export_client_baselines(
                    warehouse, resource, self.partner.invoicing_mode, folder.path, tenants
                )
                return Prepared(resource, known, chosen, folder, None, baselines)
            return Prepared(resource, known, chosen, folder, self._baseline(warehouse, known, folder))

    def prepare_by_id(self, resource: str) -> Prepared:
        """Prepare a sync of single rows, which is limited to the part of no tenant: no missing row counts as deleted.

        Raises LandingError, WarehouseError.
        """
        with open_warehouse(self.settings) as warehouse:
            head = head_of(warehouse, self.settings.landing_dir, resource)
            chosen = Plan("client", Slice(EVERYTHING), (), 0)
            folder = self._new_folder(self.settings.landing_dir, resource, chosen, (), head, newest_of_all(warehouse))
            return Prepared(resource, KnownState(_live_rows(warehouse, resource)), chosen, folder, None)

    def is_interrupted(self, resource: str) -> bool:
        """Whether a sync of the whole listing was interrupted and can be resumed. Raises LandingError, WarehouseError."""
        left = [
            folder
            for folder in unmerged(self.settings.landing_dir, resource)
            if folder.is_open and folder.begin.scope is None and is_recent(folder, self.clock.now(), RESUME_WITHIN)
        ]
        if not left:
            return False
        with open_warehouse(self.settings) as warehouse:
            head = head_of(warehouse, self.settings.landing_dir, resource)
        return any(follows(folder, head) for folder in left)

    def preview(self, resource: str, scratch: Path, *, full: bool = False) -> Prepared:
        """Prepare an estimate, with a folder in `scratch`. Raises WarehouseError."""
        with open_warehouse(self.settings) as warehouse:
            known, chosen = self._plan(warehouse, resource, None, full)
            folder = self._new_folder(scratch, resource, chosen, None, None)
            return Prepared(resource, known, chosen, folder, self._baseline(warehouse, known, folder))

    def _plan(
        self, warehouse: Warehouse, resource: str, tenants: Sequence[str] | None, full: bool
    ) -> tuple[KnownState, Plan]:
        known = KnownState(
            _live_rows(warehouse, resource),
            _last_upper(warehouse, resource, self.clock.now()),
            bool(warehouse.rows(_CONTRADICTED, (resource,))),
        )
        return known, choose_plan(resource, known, full=full, tenants=tenants, small_requests=self.small_requests)

    def _baseline(self, warehouse: Warehouse, known: KnownState, folder: SyncFolder) -> Baseline | None:
        if not known.live_rows:
            return None
        resource = folder.begin.resource
        found = export_baseline(warehouse, resource, self.partner.invoicing_mode, folder.path)
        found = replace(found, renamed=rows_of_renamed(warehouse, resource) if resource != "clients" else ())
        return replace(found, owners=tuple(owners_in_warehouse(warehouse))) if resource == "cases" else found

    def _folder(self, warehouse: Warehouse, resource: str, chosen: Plan, tenants: Sequence[str] | None) -> SyncFolder:
        """The folder of an interrupted sync that can be resumed, or a new one. Useless folders are deleted."""
        head = head_of(warehouse, self.settings.landing_dir, resource)
        wanted = None if tenants is None else tuple(tenants)
        for folder in unmerged(self.settings.landing_dir, resource):
            if not folder.is_open:
                continue
            if folder.begin.scope == wanted and self._can_resume(folder, chosen, head):
                log.info("resuming sync %s", folder.begin.sync_id)
                return folder
            if folder.begin.scope == wanted or not follows(folder, head):
                discard(folder)
        if wanted is None and chosen.mode == "full" and (begun := self._begun_elsewhere(resource, chosen, head)):
            return begun
        return self._new_folder(self.settings.landing_dir, resource, chosen, wanted, head, newest_of_all(warehouse))

    def _begun_elsewhere(self, resource: str, chosen: Plan, head: Head | None) -> SyncFolder | None:
        """A folder that goes on with a first load of another machine, whose parts are in the shared store; under another id, so
        that the two machines' folders are never taken for one."""
        for begin in begun_elsewhere(self.settings, resource):
            sync_id = f"{begin.at:%Y%m%dT%H%M%SZ}-{resource}-{self.runtime.id_suffix()}"
            folder = SyncFolder(self.settings.landing_dir, [structs.replace(begin, sync_id=sync_id)])
            if self._can_resume(folder, chosen, head):
                log.info("going on with sync %s of another machine as %s", begin.sync_id, sync_id)
                return SyncFolder.create(self.settings.landing_dir, folder.begin)
        return None

    def _can_resume(self, folder: SyncFolder, chosen: Plan, head: Head | None) -> bool:
        """Whether the folder is recent, nothing was merged since, the terms are the same and its plan covers `chosen`.

        What was read to its end is not resumed: it says what the API had then, and `recover.py` has merged it as that.
        """
        read_windows(folder)  # raises if the journal is damaged
        if folder.end is not None:
            return False
        is_enough = folder.begin.mode in (chosen.mode, "full")
        is_same = folder.begin.partner == self.partner.as_text()
        return is_recent(folder, self.clock.now(), RESUME_WITHIN) and follows(folder, head) and is_enough and is_same

    def _new_folder(
        self,
        landing: Path,
        resource: str,
        chosen: Plan,
        tenants: tuple[str, ...] | None,
        head: Head | None,
        others: datetime | None = None,
    ) -> SyncFolder:
        now = self.clock.now()
        at, note = after(now, head[0] if head else None)
        at = after_all_syncs(at, others)
        sync_id = f"{at:%Y%m%dT%H%M%SZ}-{resource}-{self.runtime.id_suffix()}"
        begin = Begin(
            sync_id=sync_id,
            resource=resource,
            mode=chosen.mode,
            at=at,
            started_at=now,
            upper_bound=min(at, now),
            read_until=self.clock.latest(),
            tenant=tenants[0] if tenants is not None and len(tenants) == 1 else None,
            tenants=tenants,
            partner=self.partner.as_text(),
            previous_sha256=head[1] if head else None,
            note=note,
        )
        return SyncFolder.create(landing, begin)


def is_recent(folder: SyncFolder, now: datetime, within: timedelta) -> bool:
    """Whether the sync began at most `within` ago, and not in the future, where a wrong clock may have dated it."""
    began = folder.begin.began_at
    return -SKEW_REPORTED < now - began < within


def follows(folder: SyncFolder, head: Head | None) -> bool:
    """Whether the sync follows the newest merged one, so that it can still be merged."""
    if head is None:
        return True
    at, certificate = head
    previous = folder.begin.previous_sha256
    return folder.begin.at > at and (certificate is None or previous in (None, certificate))


def head_of(warehouse: Warehouse, landing: Path, resource: str) -> Head | None:
    """The newest merged sync according to the warehouse, or to the landing zone if the warehouse has none."""
    found = warehouse.rows(*newest_merged(resource))
    if found:
        as_of, _, certificate = found[0]
        return as_of.astimezone(UTC), certificate
    merged = [folder for folder in sync_folders(landing, resource) if folder.is_merged]
    return (merged[-1].begin.at, merged[-1].certificate_sha256) if merged else None


def newest_of_all(warehouse: Warehouse) -> datetime | None:
    """The instant of the newest sync of any resource, including failed ones."""
    (at,) = warehouse.rows("SELECT max(as_of) FROM ops.syncs")[0]
    return at.astimezone(UTC) if at is not None else None


def _live_rows(warehouse: Warehouse, resource: str) -> int:
    return int(warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0])


# A reading of everything settles what one of the changes could not. If that is contradicted too, the API contradicts itself.
_CONTRADICTED = """
    WITH last AS (
        SELECT sync_id, mode FROM ops.syncs WHERE resource = $1 AND status = 'done' AND mode <> 'client'
        ORDER BY as_of DESC LIMIT 1
    )
    SELECT 1 FROM last JOIN ops.control_totals AS t ON t.sync_id = last.sync_id
    WHERE last.mode = 'nightly' AND t.resource = $1 AND t.scope = 'all' AND t.verdict = 'differs' LIMIT 1"""


def _last_upper(warehouse: Warehouse, resource: str, now: datetime) -> datetime | None:
    """The upper bound of the last sync. Bounds in the future come from a wrong clock and are ignored."""
    sql = (
        "SELECT max(upper_bound) FROM ops.syncs WHERE resource = $1 AND status = 'done' AND mode <> 'client' "
        "AND upper_bound <= CAST($2 AS TIMESTAMPTZ)"
    )
    found = warehouse.rows(sql, (resource, now))[0][0]
    return found.astimezone(UTC) if found is not None else None
