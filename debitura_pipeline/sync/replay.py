"""Rebuild `raw` from the landing zone, for `debitura replay`. Refuses if a merged sync is missing or incomplete there."""

from __future__ import annotations

from pathlib import Path

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.certificate import file_faults
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.working_copy import fetch_landing
from debitura_pipeline.sync.chain import LandingZone, Recorded, read_zone, recorded_syncs, sync_id_of
from debitura_pipeline.sync.landed_sync import landed_from
from debitura_pipeline.sync.merge import judgement_of
from debitura_pipeline.sync.runner import RESOURCES
from debitura_pipeline.warehouse.base import Judge, LandedSync
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run

COMPLETE = ("full", "small")  # modes that read everything: later syncs need nothing from before them
MAX_NAMED = 3  # syncs named in a refusal; `verify` lists all


def replay(settings: Settings) -> dict[str, int]:
    """Rebuild `raw` from all merged syncs of the landing zone, in one transaction. Returns live rows by resource.

    Raises LandingError before anything is changed if a merged sync is missing or was modified; WarehouseError, SharedStoreError
    and IdentityRefused.
    """
    with exclusive_run(settings, "replay"):
        known = check_identity(settings)
        fetch_landing(settings)
        zone = read_zone(settings.landing_dir, _recorded(settings))
        merged = zone.merged()
        _refuse_faults(zone, merged, settings.landing_dir)
        _refuse_open_gaps(zone, merged)
        with open_warehouse(settings) as warehouse:
            by_sync = {folder.begin.sync_id: folder for folder in merged}
            warehouse.replay((landed_from(folder) for folder in merged), lambda sync: _judge(sync, by_sync))
            counts = {
                resource: warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0]
                for resource in RESOURCES
            }
        known.keep()
        return counts


def _recorded(settings: Settings) -> list[Recorded]:
    """Merged syncs according to the warehouse; none if it does not exist. Raises WarehouseError."""
    if not warehouse_exists(settings):
        return []
    with open_warehouse(settings, read_only=True) as warehouse:
        return recorded_syncs(warehouse)


def _judge(sync: LandedSync, folders: dict[str, SyncFolder]) -> Judge:
    return lambda rows: judgement_of(sync, folders[sync.sync_id], rows)


def _refuse_faults(zone: LandingZone, merged: list[SyncFolder], landing: Path) -> None:
    """Check the certificates and files of all merged syncs. A damaged journal may be that of a merged sync."""
    lost = zone.lost()
    faults = {name: list(found) for name, found in zone.faults.items() if name not in lost}
    for folder in merged:
        if found := file_faults(folder):
            faults.setdefault(sync_id_of(folder.path), []).extend(found)
    if not faults:
        return
    named = "; ".join(f"sync {name}: {found[0].rstrip('.')}" for name, found in sorted(faults.items())[:MAX_NAMED])
    more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
    raise LandingError(
        f"Nothing was touched: merged syncs in {landing} are missing or were modified. {named}{more}. Is it the right "
        "DEBITURA_DATA_DIR? If so, restore the landing zone from a backup, or see `debitura repair`.",
        syncs=sorted(faults),
    )


def _refuse_open_gaps(zone: LandingZone, merged: list[SyncFolder]) -> None:
    """A lost sync leaves a gap in the rows until a later sync has read everything."""
    resources = {name: gap.resource for name, gap in zone.gaps.items()}
    resources |= {sync.sync_id: sync.resource for sync in zone.recorded or () if sync.is_lost}
    for name, resource in sorted(resources.items()):
        later = [folder for folder in merged if folder.begin.resource == resource and folder.begin.sync_id > name]
        if not any(folder.mode in COMPLETE and folder.begin.scope is None for folder in later):
            raise LandingError(
                f"Nothing was touched: sync {name} of {resource} is lost, and no full sync follows it in the "
                "landing zone. Run `debitura sync --full`, then `debitura replay`.",
                sync_id=name,
            )
