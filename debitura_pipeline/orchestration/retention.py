"""Delete old finished runs with their event logs and step output, oldest first, a bounded number at a time.

Runs that are kept collect before those that may go, so each call continues where the last one stopped, and starts again after the
newest.

Runs with the newest materialisation of an asset are kept, because freshness and lineage depend on it. Materialisations of clients'
partitions, which record who is onboarded, are reported again without a run before theirs is deleted. The landing zone is never
pruned: `verify` and `replay` need all of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, RunRecord

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.beating import heartbeats_of
from debitura_pipeline.orchestration.keys import ONBOARDING, PARTNER_TAG
from debitura_pipeline.settings import Settings

MAX_DELETED = 200  # takes a few seconds; a backlog of a year is deleted within some days
PAGE = 200
MAX_PAGES = 4  # each of its runs may take a query: about as long as the deletions
CURSOR = "debitura/retention"  # of Dagster's storage: the last kept run, since a page cannot start after a deleted one


def purge_old_runs(instance: dg.DagsterInstance, settings: Settings, now: datetime) -> int:
    """Delete finished runs older than `settings.keep_run_days`, unless that is 0. Returns the number of deleted runs."""
    with suppress(DebituraError):  # tried again an hour later
        heartbeats_of(instance).tidy()
    if settings.keep_run_days == 0:
        return 0
    before = now - timedelta(days=settings.keep_run_days)
    wanted = dg.RunsFilter(statuses=FINISHED_STATUSES, created_before=before)
    newest = set() if settings.serves else {record.asset_entry.last_run_id for record in instance.get_asset_records()}

    def is_kept(record: RunRecord) -> bool:
        if record.dagster_run.run_id in newest or record.update_timestamp.replace(tzinfo=now.tzinfo) >= before:
            return True
        return bool(settings.serves) and not _may_go(instance, settings, record)

    return _go_on(instance, settings, wanted, is_kept)


def _go_on(
    instance: dg.DagsterInstance, settings: Settings, wanted: dg.RunsFilter, is_kept: Callable[[RunRecord], bool]
) -> int:
    """Delete what is not kept of the next pages. Returns the number of deleted runs."""
    cursors = instance.daemon_cursor_storage
    last_kept = cursors.get_cursor_values({CURSOR}).get(CURSOR) or None
    if last_kept is not None and not instance.has_run(last_kept):  # deleted by somebody else
        last_kept = None
    deleted = 0
    for _ in range(MAX_PAGES):
        page = instance.get_run_records(wanted, limit=PAGE, cursor=last_kept, ascending=True)
        for record in page:
            if is_kept(record):
                last_kept = record.dagster_run.run_id
            elif deleted < MAX_DELETED:
                _delete(instance, settings, record.dagster_run.run_id)
                deleted += 1
            else:
                break
        else:
            if len(page) == PAGE:
                continue
            last_kept = None  # that was the newest
        break
    cursors.set_cursor_values({CURSOR: last_kept or ""})
    return deleted


def _delete(instance: dg.DagsterInstance, settings: Settings, run_id: str) -> None:
    _keep_onboarding(instance, run_id)
    instance.delete_run(run_id)
    _remove_files(settings, run_id)


def _may_go(instance: dg.DagsterInstance, settings: Settings, record: RunRecord) -> bool:
    """Whether the run's partner is no longer served or has a later good run of the same job, since the newest ones have the
    newest materialisations.
    """
    run = record.dagster_run
    is_served = run.tags.get(PARTNER_TAG) in {None, *settings.serves}
    if run.status is not dg.DagsterRunStatus.SUCCESS or not is_served:
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
