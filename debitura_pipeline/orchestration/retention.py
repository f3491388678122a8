"""Delete old finished runs with their event logs and step output, oldest first, a bounded number at a time.

Runs with the newest materialisation of an asset are kept, because freshness and lineage depend on it. Materialisations of clients'
partitions, which record who is onboarded, are reported again without a run before theirs is deleted. The landing zone is never
pruned: `verify` and `replay` need all of it.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.beating import heartbeats_of
from debitura_pipeline.orchestration.keys import ONBOARDING, PARTNER_TAG
from debitura_pipeline.settings import Settings

MAX_DELETED = 200  # takes a few seconds; a backlog of a year is deleted within some days


def purge_old_runs(instance: dg.DagsterInstance, settings: Settings, now: datetime) -> int:
    """Delete finished runs older than `settings.keep_run_days`, unless that is 0. Returns the number of deleted runs."""
    with suppress(DebituraError):  # tried again an hour later
        heartbeats_of(instance).tidy()
    if settings.keep_run_days == 0:
        return 0
    before = now - timedelta(days=settings.keep_run_days)
    wanted = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    newest = set() if settings.serves else {record.asset_entry.last_run_id for record in instance.get_asset_records()}
    deleted = 0
    for record in instance.get_run_records(wanted, limit=MAX_DELETED * 2, ascending=True):
        run_id = record.dagster_run.run_id
        if deleted == MAX_DELETED:
            break
        if run_id in newest or record.update_timestamp.replace(tzinfo=now.tzinfo) >= before:
            continue
        if settings.serves and not _has_later(instance, record):
            continue
        _keep_onboarding(instance, run_id)
        instance.delete_run(run_id)
        _remove_files(settings, run_id)
        deleted += 1
    return deleted


def _has_later(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    """Whether the run's partner has a later good run of the same job: the newest ones have the newest materialisations."""
    run = record.dagster_run
    if run.status is not dg.DagsterRunStatus.SUCCESS:
        return True
    later = dg.RunsFilter(
        job_name=run.job_name,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        tags={name: value for name, value in run.tags.items() if name == PARTNER_TAG},
        created_after=record.create_timestamp,
    )
    found = instance.get_run_records(later, limit=1)
    return any(other.dagster_run.run_id != run.run_id for other in found)


def _keep_onboarding(instance: dg.DagsterInstance, run_id: str) -> None:
    """Report the run's materialisations of clients' partitions again, if they are the newest."""
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
    """Delete the run's files of SQLite storage and its step output."""
    home = settings.dagster_home
    for ending in ("db", "db-wal", "db-shm"):
        (home / "history" / "runs" / f"{run_id}.{ending}").unlink(missing_ok=True)
    shutil.rmtree(home / "storage" / run_id, ignore_errors=True)
