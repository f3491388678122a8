"""Before a resource is read: what the warehouse knows of it, the plan that follows, the folder that it lands in.

Belongs here: taking up an interrupted reading, or beginning one. Does not: reading (`session.py`) or merging (`merging.py`).
The warehouse is open only while this looks; nobody waits for it while the API is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from debitura_pipeline.api.connect import Tools
from debitura_pipeline.extract.plan import Knowledge, Plan, plan
from debitura_pipeline.landing.store import SyncFolder, discard, folders
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.land import Ground, survey
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.open import open_warehouse

RESUME_WITHIN = timedelta(days=1)  # an interrupted sync older than this starts afresh
CLOCK_JITTER = timedelta(seconds=10)  # two answers' dates may be so far apart, though one came after the other

Partner = tuple[str | None, Decimal | None]  # invoicing trigger mode, fee percentage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """One resource about to be read: what the warehouse knows of it, the plan, where it lands, what a night starts from."""

    resource: str
    known: Knowledge
    plan: Plan
    folder: SyncFolder
    ground: Ground | None


@dataclass(frozen=True)
class Preparation:
    """`now`: the API's clock."""

    settings: Settings
    tools: Tools
    partner: Partner
    now: Callable[[], datetime]
    small_requests: int

    def of(self, resource: str, tenant: str | None = None, *, full: bool = False) -> Reading:
        """To be landed for good, in the folder of an interrupted sync where there is one that can be taken up again."""
        with open_warehouse(self.settings) as warehouse:
            warehouse.prepare()
            known, chosen = self._plan(warehouse, resource, tenant, full)
            folder = self._folder(warehouse, resource, chosen, tenant)
            return Reading(resource, known, chosen, folder, self._survey(warehouse, known, folder))

    def draft(self, resource: str, scratch: Path, *, full: bool = False) -> Reading:
        """The same for a forecast, in a folder below `scratch`."""
        with open_warehouse(self.settings) as warehouse:
            warehouse.prepare()
            known, chosen = self._plan(warehouse, resource, None, full)
            folder = self._new_folder(scratch, resource, chosen, None, self.now())
            return Reading(resource, known, chosen, folder, self._survey(warehouse, known, folder))

    def _plan(self, warehouse: Warehouse, resource: str, tenant: str | None, full: bool) -> tuple[Knowledge, Plan]:
        known = Knowledge(_live_rows(warehouse, resource), _newest(warehouse, resource, "AND mode <> 'client'"))
        return known, plan(resource, known, full=full, tenant=tenant, small_requests=self.small_requests)

    def _survey(self, warehouse: Warehouse, known: Knowledge, folder: SyncFolder) -> Ground | None:
        if not known.live_rows or folder.end is not None:
            return None
        return survey(warehouse, folder.begin["resource"], self.partner[0], folder.path, folder.begin["tenant"])

    def _folder(self, warehouse: Warehouse, resource: str, chosen: Plan, tenant: str | None) -> SyncFolder:
        """The folder of an interrupted sync that can be taken up again, or a new one. What is of no use is removed."""
        newest = _newest(warehouse, resource)
        for folder in folders(self.settings.landing_dir, resource):
            if folder.is_open and folder.begin["tenant"] == tenant:
                if self._can_resume(folder, chosen, newest):
                    log.info("resuming sync %s", folder.begin["sync_id"])
                    return folder
                discard(folder)
        return self._new_folder(self.settings.landing_dir, resource, chosen, tenant, _after(self.now(), newest))

    def _can_resume(self, folder: SyncFolder, chosen: Plan, newest: datetime | None) -> bool:
        """Begun within the day, nothing merged since, same partner mode, and no less thorough than what is wanted now."""
        began = folder.instant("at")
        is_recent = began + RESUME_WITHIN > self.now() and (newest is None or newest <= began)
        is_enough = folder.begin["mode"] in (chosen.mode, "full")
        return is_recent and is_enough and folder.begin["partner"] == _partner_text(self.partner)

    def _new_folder(self, landing: Path, resource: str, chosen: Plan, tenant: str | None, at: datetime) -> SyncFolder:
        sync_id = f"{at:%Y%m%dT%H%M%SZ}-{resource}-{self.tools.token()}"
        return SyncFolder.create(
            landing, resource, sync_id,
            mode=chosen.mode, at=at, upper_bound=at, tenant=tenant, partner=_partner_text(self.partner),
        )  # fmt: skip


def _after(at: datetime, newest: datetime | None) -> datetime:
    """`at`, or the instant right after the last merged sync where the API's clock, which has whole seconds, and may be
    another server's this time, lags behind it a little."""
    if newest is not None and newest - CLOCK_JITTER < at <= newest:
        return newest + timedelta(microseconds=1)
    return at


def _live_rows(warehouse: Warehouse, resource: str) -> int:
    return int(warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0])


def _newest(warehouse: Warehouse, resource: str, condition: str = "") -> datetime | None:
    """Upper bound of the last merged sync of a resource."""
    sql = f"SELECT max(upper_bound) FROM ops.syncs WHERE resource = $1 AND status = 'done' {condition}"
    found = warehouse.rows(sql, (resource,))
    return found[0][0].astimezone(UTC) if found and found[0][0] is not None else None


def _partner_text(partner: Partner) -> list[str | None]:
    return [partner[0], None if partner[1] is None else str(partner[1])]
