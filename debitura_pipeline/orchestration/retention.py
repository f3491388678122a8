"""Old runs go: their records, event logs and step output. A bounded number at a time, oldest first, never one that is on.

Kept whatever its age: a run that holds the newest materialisation of an asset, since freshness and lineage are read from it.
Which clients are onboarded is read from materialisations, too: those of a run that goes are written down anew without a run.
The landing zone is not thinned out: `verify` and `replay` rest on all of it.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from debitura_pipeline.orchestration.keys import ONBOARDING
from debitura_pipeline.settings import Settings

MOST_AT_ONCE = 200  # a few seconds' work; a year's backlog is gone after some nights


def purge_old_runs(instance: dg.DagsterInstance, settings: Settings, now: datetime) -> int:
    """Delete finished runs older than `keep_run_days` (0: none); how many."""
    if settings.keep_run_days == 0:
        return 0
    before = now - timedelta(days=settings.keep_run_days)
    wanted = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    newest = {record.asset_entry.last_run_id for record in instance.get_asset_records()}
    deleted = 0
    for record in instance.get_run_records(wanted, limit=MOST_AT_ONCE * 2, ascending=True):
        run_id = record.dagster_run.run_id
        if deleted == MOST_AT_ONCE:
            break
        if run_id in newest or record.update_timestamp.replace(tzinfo=now.tzinfo) >= before:
            continue
        _keep_onboarding(instance, run_id)
        instance.delete_run(run_id)
        _remove_files(settings, run_id)
        deleted += 1
    return deleted


def _keep_onboarding(instance: dg.DagsterInstance, run_id: str) -> None:
    """Materialisations of single clients that are still their newest."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key not in ONBOARDING.values() or event.partition is None:
            continue
        if _newest_run_of(instance, event.asset_key, event.partition) == run_id:
            instance.report_runless_asset_event(event.step_materialization_data.materialization)


def _newest_run_of(instance: dg.DagsterInstance, key: dg.AssetKey | None, partition: str) -> str | None:
    if key is None:
        return None
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition])
    found = instance.fetch_materializations(wanted, limit=1).records
    return found[0].run_id if found else None


def _remove_files(settings: Settings, run_id: str) -> None:
    """What SQLite storage and the step's output leave beside the records."""
    home = settings.dagster_home
    for ending in ("db", "db-wal", "db-shm"):
        (home / "history" / "runs" / f"{run_id}.{ending}").unlink(missing_ok=True)
    shutil.rmtree(home / "storage" / run_id, ignore_errors=True)
