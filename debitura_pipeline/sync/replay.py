"""`debitura replay`: rebuilds `raw` from the landing zone, where every sync that the warehouse has merged is there whole."""

from __future__ import annotations

from pathlib import Path

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.certificate import file_faults
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.chain import LandingZone, Recorded, read_zone, recorded_syncs, sync_id_of
from debitura_pipeline.sync.landed_sync import landed_from
from debitura_pipeline.sync.merge import judgement_of
from debitura_pipeline.sync.runner import RESOURCES
from debitura_pipeline.warehouse.base import Judge, LandedSync
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run

COMPLETE = ("full", "small")  # readings of everything: what follows one needs nothing from before it
NAMED = 3  # syncs named in a refusal; `verify` lists them all


def replay(settings: Settings) -> dict[str, int]:
    """Rebuild `raw` from every merged sync of the landing zone, all or nothing; live rows per resource.

    Raises LandingError, before anything is touched, where a sync that was merged is not there whole and as it was.
    """
    with exclusive_run(settings, "replay"):
        known = check_identity(settings)
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
    """What the warehouse has merged; nothing where there is none yet. Raises WarehouseError when it cannot be read."""
    if not warehouse_exists(settings):
        return []
    with open_warehouse(settings, read_only=True) as warehouse:
        return recorded_syncs(warehouse)


def _judge(sync: LandedSync, folders: dict[str, SyncFolder]) -> Judge:
    return lambda rows: judgement_of(sync, folders[sync.sync_id], rows)


def _refuse_faults(zone: LandingZone, merged: list[SyncFolder], landing: Path) -> None:
    """Every merged sync's certificate and files, and every damaged journal, which may be that of a merged one."""
    lost = zone.lost()
    faults = {name: list(found) for name, found in zone.faults.items() if name not in lost}
    for folder in merged:
        if found := file_faults(folder):
            faults.setdefault(sync_id_of(folder.path), []).extend(found)
    if not faults:
        return
    named = "; ".join(f"sync {name}: {found[0].rstrip('.')}" for name, found in sorted(faults.items())[:NAMED])
    more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
    raise LandingError(
        f"Nothing was touched: {landing} does not hold every merged sync as it was. {named}{more}. Is it the right "
        "DEBITURA_DATA_DIR? If so, restore the landing zone from a backup, or see `debitura repair`.",
        syncs=sorted(faults),
    )


def _refuse_open_gaps(zone: LandingZone, merged: list[SyncFolder]) -> None:
    """A sync that is lost leaves a hole in the rows until everything was read once more."""
    resources = {name: gap.resource for name, gap in zone.gaps.items()}
    resources |= {sync.sync_id: sync.resource for sync in zone.recorded or () if sync.is_lost}
    for name, resource in sorted(resources.items()):
        later = [folder for folder in merged if folder.begin.resource == resource and folder.begin.sync_id > name]
        if not any(folder.mode in COMPLETE and folder.begin.scope is None for folder in later):
            raise LandingError(
                f"Nothing was touched: sync {name} of {resource} is lost, and no complete reading follows it in the "
                "landing zone. Run `debitura sync --full`, then `debitura replay`.",
                sync_id=name,
            )
