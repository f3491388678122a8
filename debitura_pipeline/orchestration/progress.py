"""Read each client's onboarding progress from Dagster's event log and run records, without opening the warehouse.

Also the run configuration that lists a run's clients. `onboarding/lifecycle.py` decides what to do.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import PARTITION_NAME_TAG

from debitura_pipeline.onboarding.lifecycle import FAILURES_COUNTED_OVER, OnboardingProgress
from debitura_pipeline.orchestration.jobs import ONBOARD
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING
from debitura_pipeline.orchestration.partner_view import Instance, client_key

FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
SETTLED_TAG = "debitura/settled"  # a failed run that has recorded an outcome for each of its clients
STEP = "onboard_clients"
CHUNK = 500  # events per query


def run_config_of(clients: Sequence[str], due: int) -> dict[str, Any]:
    """The configuration of a run for these partition keys. `due`: number of clients due, including these."""
    return {"ops": {STEP: {"config": {"clients": list(clients), "due": due}}}}


def clients_of(run: dg.DagsterRun) -> list[str]:
    """The partition keys of a run: those of its configuration, or the partition that a user selected."""
    configured: Any = run.run_config or {}
    for name in ("ops", STEP, "config", "clients"):
        configured = configured.get(name, {})
    chosen = run.tags.get(PARTITION_NAME_TAG)
    return list(configured) or ([client_key(chosen)] if chosen else [])


def active_runs(instance: Instance) -> list[dg.DagsterRun]:
    """Onboarding runs that are queued, starting or running."""
    wanted = dg.RunsFilter(job_name=ONBOARD, statuses=NOT_FINISHED_STATUSES)
    return [record.dagster_run for record in instance.get_run_records(wanted)]


def read_progress(
    instance: Instance,
    now: datetime,
    active: Sequence[dg.DagsterRun] | None = None,
    covered: Container[str] = (),
) -> dict[str, OnboardingProgress]:
    """The progress of every existing partition, in four queries plus one per CHUNK of clients that are not done.

    `active`: unfinished runs, if already known. `covered`: partition keys of clients that are done without a run.
    """
    keys = set(instance.get_dynamic_partitions(str(CLIENTS.name)))
    done = {key for key in keys if key in covered} | instance.get_materialized_partitions(ONBOARDING["history"]) & keys
    checks = _last_checks(instance, keys - done, now)
    in_flight = {key for run in (active_runs(instance) if active is None else active) for key in clients_of(run)}
    failures: dict[str, list[datetime]] = {}
    for record in _failed_runs(instance, now):
        for key in clients_of(record.dagster_run):
            failures.setdefault(key, []).append(_ended_at(record))
    return {
        key: _progress(checks.get(key, {}), failures.get(key, []), is_done=key in done, is_in_flight=key in in_flight)
        for key in sorted(keys)
    }


def _progress(
    check: dict[str, Any], failed: list[datetime], *, is_done: bool, is_in_flight: bool
) -> OnboardingProgress:
    own = [check["failed_at"]] if check.get("failed_at") else []
    return OnboardingProgress(
        is_done=is_done,
        is_in_flight=is_in_flight,
        state=check.get("state"),
        checked_at=check.get("checked_at"),
        waited=check.get("waited"),
        failures=len(failed) + check.get("failures", 0),
        failed_at=max(failed + own, default=None),
    )


def _failed_runs(instance: Instance, now: datetime) -> Iterator[RunRecord]:
    """Runs of the last day that failed before they had recorded an outcome for each client."""
    wanted = dg.RunsFilter(job_name=ONBOARD, statuses=FAILED, updated_after=now - FAILURES_COUNTED_OVER)
    return (record for record in instance.get_run_records(wanted) if SETTLED_TAG not in record.dagster_run.tags)


def _ended_at(record: RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp


def _last_checks(instance: Instance, keys: set[str], now: datetime) -> dict[str, dict[str, Any]]:
    """The facts of the latest `onboarding/status` of each partition."""
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
                found[client_key(event.partition)] = _check(facts, datetime.fromtimestamp(record.timestamp, UTC), now)
    return found


def _check(facts: dict[str, Any], at: datetime, now: datetime) -> dict[str, Any]:
    """Without a state, the client could not be read, so it was not checked. Failures count for a day."""
    state, waited_s, failures = facts.get("state"), facts.get("waited_s"), int(facts.get("failures") or 0)
    if now - at > FAILURES_COUNTED_OVER:
        failures = 0
    return {
        "state": state,
        "checked_at": at if state else None,
        "waited": None if waited_s is None else timedelta(seconds=float(str(waited_s))),
        "failures": failures,
        "failed_at": at if failures else None,
    }
