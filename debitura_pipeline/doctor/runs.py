"""Report runs in progress, and what killed runs left behind: run locks, Dagster's unfinished runs and the slots they hold.

Dagster's tables are read with SQL: opening a Dagster instance takes seconds and writes to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.held_locks import HeldLock, find_held_locks, warehouse_holder
from debitura_pipeline.orchestration.home import is_of_living_process
from debitura_pipeline.orchestration.liveness import not_executed
from debitura_pipeline.orchestration.runs import PARTNER_TAG, PROCESS_TAG, untouched
from debitura_pipeline.settings import DagsterPlace, Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.process_lock import Holder, ProcessLock
from debitura_pipeline.warehouse.run_lock import DEV_FILE, current_run

NO_WAIT_S = 0.0
BUSY_S = 1.0  # SQLite's wait for a run that is writing
MAX_SHOWN = 5


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that Dagster considers unfinished. `mark`: its process tag (`home.py`). `pools`: where it holds slots."""

    run_id: str
    job: str
    status: str
    mark: str | None
    pools: tuple[str, ...]


def examine(settings: Settings, now: datetime | None = None) -> Iterator[Diagnosis]:
    """Report who holds the locks, and Dagster's unfinished runs. It is a fault if the process of an ended run holds a lock."""
    run, writer = current_run(settings), warehouse_holder(settings)
    held = _held(settings, now or datetime.now(UTC), run, writer)
    for lock in held:
        yield failed("run", f"{lock.fault}.", lock.cure)
    if not held:
        yield passed("run", f"in progress: {run}" if run else "none in progress")
    if (dev := ProcessLock(settings.data_dir.resolve() / DEV_FILE).holder()) is not None:
        yield passed("debitura dev", f"running: {dev}")
    if writer is not None and not held and (run is None or (writer.pid, writer.what) != (run.pid, run.what)):
        yield passed("warehouse's lock", f"held by {writer}")
    try:
        runs = list(unfinished(settings))
        gone = not_executed(settings.dagster_home, settings.dagster_postgres, {run.run_id for run in runs})
        if (common := settings.common) is not None and common.home != settings.dagster_home:
            shared = list(_unfinished(common, settings.partner))
            gone |= not_executed(common.home, common.database, {run.run_id for run in shared})
            runs += shared
    except (sqlite3.Error, DebituraError):  # reported by the checks of Dagster's storage
        return
    for unfinished_run in runs[:MAX_SHOWN]:
        yield passed("Dagster run", _description(unfinished_run, is_gone=unfinished_run.run_id in gone))
    if len(runs) > MAX_SHOWN:
        yield passed("Dagster runs", f"{len(runs) - MAX_SHOWN} more are unfinished")


def unfinished(settings: Settings) -> Iterator[UnfinishedRun]:
    """Dagster's unfinished runs; none before the first run. Raises sqlite3.Error or WarehouseError."""
    return _unfinished(DagsterPlace(settings.dagster_home, settings.dagster_postgres), None)


def _unfinished(place: DagsterPlace, partner: str | None) -> Iterator[UnfinishedRun]:
    """Of the instance, or of one partner in an instance that serves several, which has no pools."""
    rows, slots = _in_database(place.database) if place.database else _in_folder(place.home)
    pools: dict[str, list[str]] = {}
    for pool, run_id in slots if partner is None else ():
        pools.setdefault(run_id, []).append(pool)
    for run_id, job, status, mark, whose in rows:
        if partner is not None and whose != partner:
            continue
        yield UnfinishedRun(run_id, job or "a job", status, mark, tuple(sorted(set(pools.pop(run_id, ())))))
    for run_id, names in sorted(pools.items()):  # the run has ended or was deleted, but still holds a slot
        yield UnfinishedRun(run_id, "a run that has ended", "", None, tuple(sorted(set(names))))


def _description(run: UnfinishedRun, *, is_gone: bool) -> str:
    slots = f", holds a slot of pool {' and '.join(run.pools)}" if run.pools else ""
    process, host = "", "?"
    if run.mark is not None:
        host, _, rest = run.mark.partition(":")
        process = f" (process {rest.partition(':')[0]} on host {host})"
    is_alive = not is_gone or is_of_living_process(run.mark)
    if run.status and is_alive:
        return f"{run.run_id[:8]} ({run.job}) is {run.status.lower()}{slots}; its process is alive{process}"
    return (
        f"{run.run_id[:8]} ({run.job}) was left unfinished{slots}; its process is gone{process}. The next `debitura nightly` or "
        "`debitura dev` marks it as failed and frees its slots"
    )


def _held(settings: Settings, now: datetime, *holders: Holder | None) -> list[HeldLock]:
    with suppress(DebituraError):  # of Dagster's storage, which is reported below
        return find_held_locks(settings, now, holders)
    return []


def _in_folder(home: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    history = home / "history"
    return _asked(history / "runs.db", _RUNS), _asked(history / "runs" / "index.db", _SLOTS)


def _asked(file: Path, sql: str) -> list[tuple[str, ...]]:
    """The rows of a query; none if the file does not exist."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(untouched(file), uri=True, timeout=BUSY_S)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:  # the file exists but has no tables yet
            return []


def _in_database(dsn: Secret) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    with connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
        connection.execute("RESET search_path")
        if connection.execute("SELECT to_regclass('runs'), to_regclass('concurrency_slots')").fetchone() == (
            None,
            None,
        ):
            return [], []
        return connection.execute(_RUNS.encode()).fetchall(), connection.execute(_SLOTS.encode()).fetchall()


_RUNS = f"""
    SELECT r.run_id, r.pipeline_name, r.status, (SELECT max(t.value) FROM run_tags AS t
        WHERE t.run_id = r.run_id AND t.key = '{PROCESS_TAG}'), (SELECT max(t.value) FROM run_tags AS t
        WHERE t.run_id = r.run_id AND t.key = '{PARTNER_TAG}')
    FROM runs AS r WHERE r.status IN ('STARTING', 'STARTED', 'CANCELING', 'SUSPENDED') ORDER BY r.create_timestamp DESC"""
_SLOTS = "SELECT concurrency_key, run_id FROM concurrency_slots WHERE run_id IS NOT NULL AND NOT deleted"
