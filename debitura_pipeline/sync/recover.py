"""Reconcile the landing zone with the warehouse before a sync, after runs that were interrupted.

Adds missing `merged` marks, and merges syncs that were finished but not merged. `prepare.py` resumes or deletes unfinished syncs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.errors import LandingError, WarehouseBusy
from debitura_pipeline.landing.landing_zone import SyncFolder, unmerged
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.merge import storable_message
from debitura_pipeline.sync.prepare import follows, head_of
from debitura_pipeline.sync.tidy import mark_merged
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    """`merge`: merges a finished folder, with a note for its record, and records its own failures."""

    settings: Settings
    now: datetime
    merge: Callable[[SyncFolder, str], object]

    def run(self, resources: Sequence[str]) -> None:
        """Recover all folders. Raises LandingError if a journal is damaged or was modified after the merge, WarehouseError."""
        left = unmerged(self.settings.landing_dir)
        if not left:
            return
        with open_warehouse(self.settings) as warehouse:
            warehouse.prepare()
            done = _done(warehouse)
            for folder in left:
                if folder.begin.sync_id in done:
                    _follow(folder, done[folder.begin.sync_id], self.now)
        for folder in left:
            if folder.begin.resource in resources and folder.is_open and folder.end is not None:
                self._catch_up(folder)

    def _catch_up(self, folder: SyncFolder) -> None:
        """Merge what an earlier run has read, as a version of its time, before reading again.

        However recent it is: rows that changed since then are in no total that it was compared with.
        """
        sync_id, resource = folder.begin.sync_id, folder.begin.resource
        with open_warehouse(self.settings) as warehouse:
            if not follows(folder, head_of(warehouse, self.settings.landing_dir, resource)):
                return  # outdated; `prepare.py` deletes it
        try:
            self.merge(folder, "merged by a later run")
        except WarehouseBusy:
            raise
        except Exception as error:  # noqa: BLE001
            log.warning(
                "the finished sync %s of an earlier run could not be merged: %s", sync_id, storable_message(error)
            )
        else:
            log.warning(
                "merged sync %s, which an earlier run had read but not merged; %s are read again", sync_id, resource
            )


def _done(warehouse: Warehouse) -> dict[str, str | None]:
    """Certificates of merged syncs by sync id."""
    return dict(warehouse.rows("SELECT sync_id, certificate_sha256 FROM ops.syncs WHERE status = 'done'"))


def _follow(folder: SyncFolder, certificate: str | None, now: datetime) -> None:
    if folder.end is None or (certificate is not None and certificate != folder.certificate_sha256):
        raise LandingError(
            f"{folder.path} was modified after sync {folder.begin.sync_id} was merged. Nothing was touched; "
            "`debitura repair` lists possible repairs."
        )
    mark_merged(folder, now)
