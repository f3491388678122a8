"""All that `debitura status` tells, put together: plain values, ready for JSON. Nothing is asked of the API, nothing written.

Belongs here: what is read where, what is told where a part cannot be read, and which of it is an open problem. Does not: words
for people (`words.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.api.connect import read_rate_limit_usage
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.orchestration.nights import read_nights
from debitura_pipeline.orchestration.runs import QUEUED, DagsterRun, read_runs
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.status.nights import RUNNING, Night, last_nights
from debitura_pipeline.status.times import ago, length, when
from debitura_pipeline.sync import read_status
from debitura_pipeline.warehouse.opening import warehouse_exists
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, current_night
from debitura_pipeline.warehouse.run_lock import current_run

SHOWN_NIGHTS = 5
STALE_AFTER = timedelta(days=1)
# A night takes a while: what it replaces is a little older than a day by then.
STALE_DURING_NIGHT = timedelta(hours=26)
# Whoever asks is waiting; a run that writes has DuckDB's file for longer.
WAIT_S = 3.0
NOTHING_YET = "nothing was synced yet"


def read_standing(settings: Settings, now: datetime) -> dict[str, Any]:
    """The document of `debitura status --json`; `now` is this machine's clock. What cannot be read is an open problem."""
    holder = current_run(settings)
    runs, unfinished, faults = _dagster(settings, now)
    nights = last_nights(read_nights(settings.data_dir), runs, holder, SHOWN_NIGHTS)
    published = _published(settings, now)
    warehouse = _warehouse(settings)
    spending = read_rate_limit_usage(settings, now)
    problems = [
        *_problems_of_nights(nights, now),
        *_problems_of_published(settings, nights, now),
        *warehouse.pop("problems"),
        *faults,
    ]
    return {
        "is_simulated": settings.uses_embedded_sandbox,
        "has_own_clock": settings.environment == "sandbox",
        "asked_at": now.isoformat(),
        "nights": [night.facts(now) for night in nights],
        "published": published,
        "run": asdict(holder) if holder else None,
        "queue": _queue(unfinished),
        "budget": asdict(spending) if spending else None,
        **warehouse,
        "problems": problems,
    }


def _dagster(settings: Settings, now: datetime) -> tuple[list[DagsterRun], list[DagsterRun], list[str]]:
    try:
        return *read_runs(settings, now), []
    except DebituraError as error:
        return [], [], [str(error)]


def _published(settings: Settings, now: datetime) -> dict[str, Any] | None:
    """What readers have. `age_s` is by the API's clock of its oldest listing, of simulated data since publication."""
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
    """Runs of Dagster's instance that wait for their turn, and those that a living process executes."""
    queued = Counter(run.job for run in unfinished if run.status in QUEUED)
    on = Counter(run.job for run in unfinished if run.status not in QUEUED and not run.is_dead)
    return {"queued": queued.total(), "on": on.total(), "queued_by_job": dict(queued), "on_by_job": dict(on)}


def _warehouse(settings: Settings) -> dict[str, Any]:
    """Syncs as the warehouse tells them; while a run keeps others out of it, as the published copy does."""
    empty: dict[str, Any] = {
        "resources": {},
        "quarantined": 0,
        "drift": 0,
        "waiting_to_sign": {"count": 0, "longest_tenant_id": None, "longest_since": None},
        "note": None,
    }
    try:
        if not warehouse_exists(settings, wait_s=WAIT_S):
            return {**empty, "problems": [NOTHING_YET]}
        return {"note": None, **read_status(settings, wait_s=WAIT_S)}
    except WarehouseBusy as busy:
        if settings.warehouse.path is None:  # a server keeps nobody out: it is away
            return {**empty, "problems": [f"the warehouse cannot be read: {busy}"]}
        return _meanwhile(settings) or {
            **empty,
            "note": "syncs are not shown: a run writes to the warehouse",
            "problems": [],
        }
    except DebituraError as error:
        return {**empty, "problems": [f"the warehouse cannot be read: {error}"]}


def _meanwhile(settings: Settings) -> dict[str, Any] | None:
    copy = settings.published_dir / WAREHOUSE
    if not copy.exists():
        return None
    try:
        found = read_status(replace(settings, warehouse=WarehouseUrl("duckdb", path=copy)), wait_s=WAIT_S)
    except DebituraError:
        return None
    return {"note": "syncs are those of the published night: a run writes to the warehouse", **found}


def _problems_of_nights(nights: Sequence[Night], now: datetime) -> Iterator[str]:
    last = next((night for night in nights if night.is_over), None)
    if last is not None and last.has_gone_wrong:
        what = "failed" if last.status == "failed" else "was killed"
        yield f"last night ({when(last.started_at, now)}) {what}: {last.reason or 'no reason known'}"


def _problems_of_published(settings: Settings, nights: Sequence[Night], now: datetime) -> Iterator[str]:
    found = current_night(settings.published_dir)
    if found is None:
        return
    at = found.data_at(is_simulated=settings.environment == "sandbox")
    is_on = any(night.status == RUNNING for night in nights)
    if now - at > (STALE_DURING_NIGHT if is_on else STALE_AFTER):
        yield f"what is published is older than a day: {length(now - at)} ({ago(at, now)}); no night was published since"
