"""How far each client's onboarding is, read from Dagster's own event log and run records; the warehouse stays shut.

Belongs here: those queries. Does not: the decision (onboarding/lifecycle.py). A client is done when its history was
materialised; wiping that asset's partition in the UI is thus how it is done again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from debitura_pipeline.onboarding.lifecycle import FAILURES_COUNTED_OVER, Progress
from debitura_pipeline.orchestration.jobs import ONBOARD
from debitura_pipeline.orchestration.keys import ONBOARDING
from debitura_pipeline.orchestration.partitions import CLIENTS

FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
CHUNK = 500  # events fetched at once


def read_progress(instance: dg.DagsterInstance, now: datetime) -> dict[str, Progress]:
    """An entry for every partition that exists: four queries, and one more per CHUNK of clients that are not done."""
    keys = set(instance.get_dynamic_partitions(str(CLIENTS.name)))
    done = instance.get_materialized_partitions(ONBOARDING["history"]) & keys
    looks = _last_looks(instance, keys - done)
    in_flight = {
        _partition(record)
        for record in _runs(instance, dg.RunsFilter(job_name=ONBOARD, statuses=NOT_FINISHED_STATUSES))
    }
    failures: dict[str, list[datetime]] = {}
    since = now - FAILURES_COUNTED_OVER
    for record in _runs(instance, dg.RunsFilter(job_name=ONBOARD, statuses=FAILED, updated_after=since)):
        failures.setdefault(_partition(record), []).append(_ended_at(record))
    return {
        key: Progress(
            is_done=key in done,
            is_in_flight=key in in_flight,
            failures=len(failures.get(key, ())),
            failed_at=max(failures.get(key, ()), default=None),
            **looks.get(key, {}),
        )
        for key in sorted(keys)
    }


def _runs(instance: dg.DagsterInstance, wanted: dg.RunsFilter) -> Iterable[RunRecord]:
    return instance.get_run_records(wanted)


def _partition(record: RunRecord) -> str:
    return record.dagster_run.tags.get(PARTITION_NAME_TAG, "")


def _ended_at(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _last_looks(instance: dg.DagsterInstance, keys: set[str]) -> dict[str, dict[str, Any]]:
    """State, time and waiting time of the latest `onboarding/status` of each partition."""
    status = ONBOARDING["status"]
    if not keys:
        return {}
    latest = instance.get_latest_storage_id_by_partition(status, dg.DagsterEventType.ASSET_MATERIALIZATION, keys)
    ids = sorted(latest.values())
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        records = instance.fetch_materializations(dg.AssetRecordsFilter(status, storage_ids=chunk), limit=len(chunk))
        for record in records.records:
            event = record.asset_materialization
            if event is None or event.partition is None:
                continue
            facts = {name: value.value for name, value in event.metadata.items()}
            waited_s = facts.get("waited_s")
            found[event.partition] = {
                "state": facts.get("state"),
                "looked_at": datetime.fromtimestamp(record.timestamp, UTC),
                "waited": None if waited_s is None else timedelta(seconds=float(str(waited_s))),
            }
    return found
