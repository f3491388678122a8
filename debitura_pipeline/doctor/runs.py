"""Who is at work, and what killed runs have left: the locks of runs, and Dagster's unfinished runs with the slots they hold.

Dagster's tables are read as they are, without Dagster: opening an instance takes seconds, and would write to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.doctor.diagnosis import Diagnosis, well
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.home import PROCESS_TAG, is_of_living_process
from debitura_pipeline.orchestration.liveness import not_executed
from debitura_pipeline.orchestration.runs import untouched
from debitura_pipeline.settings import Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.process_lock import ProcessLock
from debitura_pipeline.warehouse.run_lock import DEV_FILE, current_run

NO_WAIT_S = 0.0
BUSY_S = 1.0  # for SQLite, where a run is writing
MOST_SHOWN = 5


@dataclass(frozen=True)
class Unfinished:
    """A run that Dagster holds for unfinished. `mark`: its process (`home.py`); `pools`: whose slots it has."""

    run_id: str
    job: str
    status: str
    mark: str | None
    pools: tuple[str, ...]


def examine(settings: Settings) -> Iterator[Diagnosis]:
    run = current_run(settings)
    yield well("run", f"under way: {run}" if run else "none is under way")
    if (dev := ProcessLock(settings.data_dir.resolve() / DEV_FILE).holder()) is not None:
        yield well("debitura dev", f"under way: {dev}")
    if (writer := _writer(settings)) is not None and writer != str(run):
        yield well("warehouse's lock", f"held by {writer}")
    try:
        runs = list(unfinished(settings))
        gone = not_executed(settings.dagster_home, settings.dagster_postgres, {run.run_id for run in runs})
    except (sqlite3.Error, DebituraError):  # DAGSTER_HOME and DAGSTER_POSTGRES_URL have lines of their own
        return
    for unfinished_run in runs[:MOST_SHOWN]:
        yield well("Dagster run", _told(unfinished_run, is_gone=unfinished_run.run_id in gone))
    if len(runs) > MOST_SHOWN:
        yield well("Dagster runs", f"{len(runs) - MOST_SHOWN} more are unfinished")


def unfinished(settings: Settings) -> Iterator[Unfinished]:
    """Raises sqlite3.Error or WarehouseError where the tables cannot be read; there are none before the first run."""
    rows, slots = _in_database(settings.dagster_postgres) if settings.dagster_postgres else _in_folder(settings)
    pools: dict[str, list[str]] = {}
    for pool, run_id in slots:
        pools.setdefault(run_id, []).append(pool)
    for run_id, job, status, mark in rows:
        yield Unfinished(run_id, job or "a job", status, mark, tuple(sorted(set(pools.pop(run_id, ())))))
    for run_id, having in sorted(pools.items()):  # a run that is over, or was removed, and whose slot stayed
        yield Unfinished(run_id, "a run that is over", "", None, tuple(sorted(set(having))))


def _told(run: Unfinished, *, is_gone: bool) -> str:
    slots = f", holds a slot of pool {' and '.join(run.pools)}" if run.pools else ""
    process, host = "", "?"
    if run.mark is not None:
        host, _, rest = run.mark.partition(":")
        process = f" (process {rest.partition(':')[0]} on host {host})"
    lives = not run.status or not is_gone or is_of_living_process(run.mark)
    if run.status and lives:
        return f"{run.run_id[:8]} ({run.job}) is {run.status.lower()}{slots}; its process lives{process}"
    return (
        f"{run.run_id[:8]} ({run.job}) was left unfinished{slots}; its process is gone{process}. The next `debitura nightly` or "
        "`debitura dev` ends it and frees its slots"
    )


def _writer(settings: Settings) -> str | None:
    """Who has the warehouse itself, which may be from another data directory."""
    path, dsn = settings.warehouse.path, settings.warehouse.dsn
    if path is not None:
        real = path.resolve()
        holder = ProcessLock(real.with_name(f"{real.name}.lock")).holder()
        return str(holder) if holder is not None else None
    if dsn is None:
        return None
    import psycopg  # noqa: PLC0415 - Postgres alone

    from debitura_pipeline.warehouse.postgres.run_lock import holder_of  # noqa: PLC0415

    with suppress(DebituraError, psycopg.Error), connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
        return holder_of(connection)
    return None


def _in_folder(settings: Settings) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    history = settings.dagster_home / "history"
    return _asked(history / "runs.db", _RUNS), _asked(history / "runs" / "index.db", _SLOTS)


def _asked(file: Path, sql: str) -> list[tuple[str, ...]]:
    """What a query gives; nothing where there is no such file."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(untouched(file), uri=True, timeout=BUSY_S)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:  # made and not filled yet
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
        WHERE t.run_id = r.run_id AND t.key = '{PROCESS_TAG}')
    FROM runs AS r WHERE r.status IN ('STARTING', 'STARTED', 'CANCELING', 'SUSPENDED') ORDER BY r.create_timestamp DESC"""
_SLOTS = "SELECT concurrency_key, run_id FROM concurrency_slots WHERE run_id IS NOT NULL AND NOT deleted"
