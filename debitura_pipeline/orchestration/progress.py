"""How far each client's onboarding is, read from Dagster's own event log and run records; the warehouse stays shut.

Belongs here: those queries, and the configuration that says whom a run is for. Does not: the decision
(onboarding/lifecycle.py). A client is done when its history was materialised or came with a reading of everything
(`coverage.py`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
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
SETTLED_TAG = "debitura/settled"  # on a failed run each of whose clients has an outcome of its own
STEP = "onboard_clients"
CHUNK = 500  # events fetched at once


def run_config_of(clients: Sequence[str], due: int) -> dict[str, Any]:
    """Configuration of a run for these partition keys, where so many clients are due in all."""
    return {"ops": {STEP: {"config": {"clients": list(clients), "due": due}}}}


def clients_of(run: dg.DagsterRun) -> list[str]:
    """Partition keys that a run is for: those of its configuration, or the partition that somebody chose."""
    configured: Any = run.run_config or {}
    for name in ("ops", STEP, "config", "clients"):
        configured = configured.get(name, {})
    chosen = run.tags.get(PARTITION_NAME_TAG)
    return list(configured) or ([chosen] if chosen else [])


def runs_on(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Onboarding runs that are queued, starting or running."""
    wanted = dg.RunsFilter(job_name=ONBOARD, statuses=NOT_FINISHED_STATUSES)
    return [record.dagster_run for record in instance.get_run_records(wanted)]


def read_progress(
    instance: dg.DagsterInstance,
    now: datetime,
    on: Sequence[dg.DagsterRun] | None = None,
    covered: Container[str] = (),
) -> dict[str, Progress]:
    """An entry for every partition that exists: four queries, and one more per CHUNK of clients that are not done.

    `on`: the runs that are on, where they are known. `covered`: clients that are done without a run of their own.
    """
    keys = set(instance.get_dynamic_partitions(str(CLIENTS.name)))
    done = {key for key in keys if key in covered} | instance.get_materialized_partitions(ONBOARDING["history"]) & keys
    looks = _last_looks(instance, keys - done, now)
    in_flight = {key for run in (runs_on(instance) if on is None else on) for key in clients_of(run)}
    failures: dict[str, list[datetime]] = {}
    for record in _failed_runs(instance, now):
        for key in clients_of(record.dagster_run):
            failures.setdefault(key, []).append(_ended_at(record))
    return {
        key: _progress(looks.get(key, {}), failures.get(key, []), is_done=key in done, is_in_flight=key in in_flight)
        for key in sorted(keys)
    }


def _progress(look: dict[str, Any], failed: list[datetime], *, is_done: bool, is_in_flight: bool) -> Progress:
    own = [look["failed_at"]] if look.get("failed_at") else []
    return Progress(
        is_done=is_done,
        is_in_flight=is_in_flight,
        state=look.get("state"),
        looked_at=look.get("looked_at"),
        waited=look.get("waited"),
        failures=len(failed) + look.get("failures", 0),
        failed_at=max(failed + own, default=None),
    )


def _failed_runs(instance: dg.DagsterInstance, now: datetime) -> Iterator[RunRecord]:
    """Of the last day, those that ended before each of their clients had an outcome."""
    wanted = dg.RunsFilter(job_name=ONBOARD, statuses=FAILED, updated_after=now - FAILURES_COUNTED_OVER)
    return (record for record in instance.get_run_records(wanted) if SETTLED_TAG not in record.dagster_run.tags)


def _ended_at(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _last_looks(instance: dg.DagsterInstance, keys: set[str], now: datetime) -> dict[str, dict[str, Any]]:
    """What the latest `onboarding/status` of each partition says, and when."""
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
            if event is not None and event.partition is not None:
                facts = {name: value.value for name, value in event.metadata.items()}
                found[event.partition] = _look(facts, datetime.fromtimestamp(record.timestamp, UTC), now)
    return found


def _look(facts: dict[str, Any], at: datetime, now: datetime) -> dict[str, Any]:
    """A client that could not even be asked for was not looked at. A failure counts for a day."""
    state, waited_s, failures = facts.get("state"), facts.get("waited_s"), int(facts.get("failures") or 0)
    if now - at > FAILURES_COUNTED_OVER:
        failures = 0
    return {
        "state": state,
        "looked_at": at if state else None,
        "waited": None if waited_s is None else timedelta(seconds=float(str(waited_s))),
        "failures": failures,
        "failed_at": at if failures else None,
    }
