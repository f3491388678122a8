"""The document of `debitura status`: JSON-ready facts and open problems. Calls no API and writes nothing.

It is printed by `cli/status.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.api.connect import read_rate_limit_usage
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.incidents.messages import kind_of_incident, next_command
from debitura_pipeline.incidents.state import read_state
from debitura_pipeline.incidents.update import visible
from debitura_pipeline.orchestration.held_locks import HeldLock, find_held_locks
from debitura_pipeline.orchestration.nightly_runs import RUNNING, NightlyRun, last_nights
from debitura_pipeline.orchestration.nights import read_nights
from debitura_pipeline.orchestration.runs import QUEUED, DagsterRun, read_runs
from debitura_pipeline.registration.attention import read_attention
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.shared_store.lag import problem_of, read_lag
from debitura_pipeline.status.times import format_age, format_ago, format_duration
from debitura_pipeline.submission.attention import read_claims_attention
from debitura_pipeline.sync import read_status
from debitura_pipeline.warehouse.opening import warehouse_exists
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, current_night
from debitura_pipeline.warehouse.run_lock import current_run

SHOWN_NIGHTS = 5
STALE_AFTER = timedelta(days=1)
# A nightly run takes a while; by its end, the data that it replaces is a little older than a day.
STALE_DURING_RUN = timedelta(hours=26)
# The caller is waiting, and a run that writes holds DuckDB's file for longer than this anyway.
WAIT_S = 3.0
NOTHING_YET = "nothing has been synced yet"


def read_status_document(settings: Settings, now: datetime) -> dict[str, Any]:
    """The document of `debitura status --json`. `now`: this machine's clock, aware.

    Whatever cannot be read is listed under `problems`; nothing is raised for it.
    """
    holder = current_run(settings)
    runs, unfinished, held, faults = _dagster(settings, now)
    nights = last_nights(read_nights(settings.data_dir), runs, holder, SHOWN_NIGHTS)
    published = _published(settings, now)
    warehouse = _warehouse(settings, now)
    spending = read_rate_limit_usage(settings, now)
    lag, lag_faults = _shared_store(settings, is_running=holder is not None)
    problems = [
        *_problems_of_nights(nights, now),
        *_problems_of_published(settings, nights, now),
        *(f"{lock.fault}. {lock.cure}" for lock in held),
        *warehouse.pop("problems"),
        *faults,
        *lag_faults,
    ]
    return {
        "is_simulated": settings.uses_embedded_sandbox,
        "has_own_clock": settings.environment == "sandbox",
        "asked_at": now.isoformat(),
        "nights": [night.facts(now) for night in nights],
        "published": published,
        "run": asdict(holder) if holder and not held else None,
        "queue": _queue(unfinished),
        "budget": asdict(spending) if spending else None,
        "shared_store": lag,
        **warehouse,
        "incidents": _incidents(settings, now),
        "problems": problems,
    }


def _shared_store(settings: Settings, *, is_running: bool) -> tuple[dict[str, Any] | None, list[str]]:
    """How far the shared store is behind, and what is wrong with that; nothing is while a run is in progress."""
    night = current_night(settings.published_dir)
    try:
        lag = read_lag(settings, night.path.name if night is not None else None)
    except DebituraError as error:
        return None, [str(error)]
    problem = problem_of(lag) if lag is not None and not is_running else None
    return lag, [problem] if problem else []


def _incidents(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Open incidents as of the last time that they were judged, oldest first."""
    state = read_state(settings.data_dir)
    return [
        {
            "incident": incident.kind,
            "subject": incident.subject,
            "title": kind_of_incident(incident).title,
            "message": incident.what,
            "since": (incident.since or incident.opened_at).isoformat(),
            "opened_at": incident.opened_at.isoformat(),
            "told_at": incident.told_at and incident.told_at.isoformat(),
            "next": next_command(incident, settings.partner),
        }
        for incident in (visible(state, now) if state else [])
    ]


def _dagster(settings: Settings, now: datetime) -> tuple[list[DagsterRun], list[DagsterRun], list[HeldLock], list[str]]:
    try:
        return *read_runs(settings, now), find_held_locks(settings, now), []
    except DebituraError as error:
        return [], [], [], [str(error)]


def _published(settings: Settings, now: datetime) -> dict[str, Any] | None:
    """The published data. `age_s`: seconds since its oldest listing was read, or since publication for simulated data."""
    night = current_night(settings.published_dir)
    if night is None:
        return None
    data_at = night.data_at(is_simulated=settings.environment == "sandbox")
    return {
        "file": str(settings.published_dir / WAREHOUSE),
        "as_of": night.as_of and night.as_of.isoformat(),
        "published_at": night.published_at.isoformat(),
        "age_s": max(round((now - data_at).total_seconds()), 0),
    }


def _queue(unfinished: Sequence[DagsterRun]) -> dict[str, Any]:
    """Queued runs of Dagster's instance, and runs that a live process executes."""
    queued = Counter(run.job for run in unfinished if run.status in QUEUED)
    on = Counter(run.job for run in unfinished if run.status not in QUEUED and not run.is_dead)
    return {"queued": queued.total(), "on": on.total(), "queued_by_job": dict(queued), "on_by_job": dict(on)}


def _warehouse(settings: Settings, now: datetime) -> dict[str, Any]:
    """Syncs from the warehouse; while a run has it locked, from the published copy."""
    empty: dict[str, Any] = {
        "resources": {},
        "quarantined": 0,
        "drift": 0,
        "waiting_to_sign": {"count": 0, "longest_tenant_id": None, "longest_since": None},
        "must_sign_again": [],
        "registrations": {},
        "claims": {},
        "note": None,
    }
    try:
        if not warehouse_exists(settings, wait_s=WAIT_S):
            return {**empty, "problems": [NOTHING_YET]}
        return {"note": None, **_read(settings, now)}
    except WarehouseBusy as busy:
        if settings.warehouse.path is None:  # Postgres locks nobody out: it is down
            return {**empty, "problems": [f"the warehouse cannot be read: {busy}"]}
        return _meanwhile(settings, now) or {
            **empty,
            "note": "syncs are not shown: a run is writing to the warehouse",
            "problems": [],
        }
    except DebituraError as error:
        return {**empty, "problems": [f"the warehouse cannot be read: {error}"]}


def _read(settings: Settings, now: datetime) -> dict[str, Any]:
    """Syncs, the clients to be registered, and the claims."""
    parts = (
        read_status(settings, wait_s=WAIT_S),
        read_attention(settings, now, wait_s=WAIT_S),
        read_claims_attention(settings, wait_s=WAIT_S),
    )
    found = {name: value for part in parts for name, value in part.items()}
    return {**found, "problems": [problem for part in parts for problem in part["problems"]]}


def _meanwhile(settings: Settings, now: datetime) -> dict[str, Any] | None:
    copy = settings.published_dir / WAREHOUSE
    if not copy.exists():
        return None
    try:
        found = _read(replace(settings, warehouse=WarehouseUrl("duckdb", path=copy)), now)
    except DebituraError:
        return None
    return {"note": "syncs are those of the published copy: a run is writing to the warehouse", **found}


def _problems_of_nights(nights: Sequence[NightlyRun], now: datetime) -> Iterator[str]:
    last = next((night for night in nights if night.is_over), None)
    if last is not None and last.has_failed:
        what = "failed" if last.status == "failed" else "was killed"
        yield f"last nightly run ({format_age(last.started_at, now)}) {what}: {last.reason or 'reason unknown'}"


def _problems_of_published(settings: Settings, nights: Sequence[NightlyRun], now: datetime) -> Iterator[str]:
    found = current_night(settings.published_dir)
    if found is None:
        return
    at = found.data_at(is_simulated=settings.environment == "sandbox")
    is_running = any(night.status == RUNNING for night in nights)
    age = now - at
    if age > (STALE_DURING_RUN if is_running else STALE_AFTER):
        yield f"published data is older than a day: {format_duration(age)} ({format_ago(at, now)}); nothing newer was published"
