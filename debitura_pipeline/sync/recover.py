"""Before anything is read: the landing zone is brought in line with the warehouse, whatever ended the runs before.

Belongs here: the missing `merged` line of a sync that `ops.syncs` calls done, and landings that were finished and never merged.
Does not: unfinished readings (`prepare.py` takes them up or drops them), damaged journals (`repair.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.errors import LandingError, WarehouseBusy
from debitura_pipeline.landing.landing_zone import SyncFolder, unmerged
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.merge import told
from debitura_pipeline.sync.prepare import FINISHED_STANDS, follows, head_of, is_recent
from debitura_pipeline.sync.tidy import mark_merged
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """`merge` merges one finished folder, with a note for its record; what it raises is on record already."""

    settings: Settings
    now: datetime
    merge: Callable[[SyncFolder, str], object]

    def run(self, resources: Sequence[str]) -> None:
        """Raises LandingError for a journal that is damaged or not the one that was merged."""
        left = unmerged(self.settings.landing_dir)
        if not left:
            return
        with open_warehouse(self.settings) as warehouse:
            warehouse.prepare()
            done = _done(warehouse)
            for folder in left:
                if folder.begin.sync_id in done:
                    _follow(folder, done[folder.begin.sync_id], self.now)
            late = [folder for folder in left if folder.begin.resource in resources and self._is_late(folder)]
        for folder in late:
            self._catch_up(folder)

    def _is_late(self, folder: SyncFolder) -> bool:
        """Finished, not merged, and too old to be taken for the reading that is due now."""
        return folder.is_open and folder.end is not None and not is_recent(folder, self.now, FINISHED_STANDS)

    def _catch_up(self, folder: SyncFolder) -> None:
        """Merge what an earlier night had read, before the reading of this one: it is a version of its time and no more."""
        sync_id, resource = folder.begin.sync_id, folder.begin.resource
        with open_warehouse(self.settings) as warehouse:
            if not follows(folder, head_of(warehouse, self.settings.landing_dir, resource)):
                return  # of no use any more; `prepare.py` drops it
        try:
            self.merge(folder, "merged by a later run than the one that read it")
        except WarehouseBusy:
            raise
        except Exception as error:  # noqa: BLE001
            log.warning("the finished sync %s of an earlier run could not be merged: %s", sync_id, told(error))
        else:
            log.warning(
                "merged sync %s, which an earlier run had read and not merged; %s are read anew", sync_id, resource
            )


def _done(warehouse: Warehouse) -> dict[str, str | None]:
    """Certificates of the syncs that are merged, by sync id."""
    return dict(warehouse.rows("SELECT sync_id, certificate_sha256 FROM ops.syncs WHERE status = 'done'"))


def _follow(folder: SyncFolder, certificate: str | None, now: datetime) -> None:
    if folder.end is None or (certificate is not None and certificate != folder.certificate_sha256):
        raise LandingError(
            f"{folder.path} is not as it was when sync {folder.begin.sync_id} was merged. Nothing was touched; "
            "`debitura repair` says what can be done."
        )
    mark_merged(folder, now)
