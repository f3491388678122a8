"""Read nightly runs and the run queue from Dagster's storage with SQL, without importing Dagster or writing to its storage.

Supports SQLite in DAGSTER_HOME and Postgres, not a storage that a customised dagster.yaml moves elsewhere. Dagster's version is
pinned, and a test compares the result with Dagster's own.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import DagsterPlace, Secret, Settings
from debitura_pipeline.warehouse.process_lock import ProcessLock

Rows = Callable[[str], Sequence[Sequence[Any]]]

NIGHTLY = "nightly"
PARTNER_TAG = "debitura/partner"
# The process that executes a run, for display: `<host>:<pid>:<start in ticks since boot>`. Whether it is alive is decided by its
# lock (`liveness.py`), because a restarted container has another host name.
PROCESS_TAG = "debitura/process"
LAST_STEP = "published__warehouse"  # a run without it is a subset of assets, not a nightly run
EXECUTING = "executing"  # folder of the locks of processes that execute runs
QUEUED = ("NOT_STARTED", "QUEUED")
ON = ("STARTING", "STARTED", "CANCELING")
# A run's process takes its lock a moment after the run's status is STARTED.
STARTS_WITHIN = timedelta(minutes=10)
MAX_READ = 40  # runs, some of which may not be nightly runs
WAIT_S = 3.0


@dataclass(frozen=True)
class DagsterRun:
    """One run. `is_dead`: it is in progress, but no live process executes it. Instants are aware UTC."""

    run_id: str
    job: str
    status: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    is_night: bool
    is_dead: bool


def lock_number(run_id: str) -> int:
    """The number of a run's advisory lock in Postgres: 63 bits of a hash of its id."""
    return int.from_bytes(hashlib.sha256(f"debitura run {run_id}".encode()).digest()[:8]) >> 1


def read_runs(settings: Settings, now: datetime) -> tuple[list[DagsterRun], list[DagsterRun]]:
    """The newest nightly runs, newest first, and all unfinished runs of any job. Both are empty if there is no instance.

    With a partners file, also the partner's runs in the instance that serves all partners, and nobody else's. Raises DebituraError
    in one line where there is an instance that cannot be read.
    """
    nights, unfinished = _runs_at(_own_place(settings), "", now)
    if settings.common is not None and settings.common != _own_place(settings):
        only = (
            f" AND run_id IN (SELECT run_id FROM run_tags WHERE key = '{PARTNER_TAG}' AND value = '{settings.partner}')"
        )
        more = _runs_at(settings.common, only, now)
        nights = sorted([*nights, *more[0]], key=lambda run: run.created_at, reverse=True)
        unfinished += more[1]
    return nights, unfinished


def _runs_at(place: DagsterPlace, only: str, now: datetime) -> tuple[list[DagsterRun], list[DagsterRun]]:
    """`only`: a condition in SQL; a partner's name has letters, digits, - and _ alone."""
    with opened_storage(place) as storage:
        if storage is None:
            return [], []
        rows, is_living = storage
        on = "', '".join(QUEUED + ON)
        nights = rows(f"{_RUNS} WHERE pipeline_name = '{NIGHTLY}'{only} ORDER BY id DESC LIMIT {MAX_READ}")
        unfinished = rows(f"{_RUNS} WHERE status IN ('{on}'){only} ORDER BY id DESC")
        found = [_run(row, is_living, now) for row in nights]
        return [run for run in found if run.is_night], [_run(row, is_living, now) for row in unfinished]


def _own_place(settings: Settings) -> DagsterPlace:
    return DagsterPlace(settings.dagster_home, settings.dagster_postgres)


def read_daemon_beat(settings: Settings) -> datetime | None:
    """The last heartbeat of Dagster's daemon, whichever of its parts wrote it; None if no daemon ever ran. With a partners file,
    the daemon that serves all partners counts as well.

    Raises DebituraError in one line if the storage cannot be read.
    """
    return max((beat for beat in map(_beat_at, dagster_places(settings)) if beat is not None), default=None)


def dagster_places(settings: Settings) -> list[DagsterPlace]:
    """The instance of these settings and, with a partners file, the one that serves all partners."""
    return [_own_place(settings)] + ([settings.common] if settings.common is not None else [])


def _beat_at(place: DagsterPlace) -> datetime | None:
    with opened_storage(place) as storage:
        if storage is None:
            return None
        rows, _ = storage
        latest = rows("SELECT max(timestamp) FROM daemon_heartbeats")[0][0]
        return None if latest is None else instant_of(latest)


@contextmanager
def opened_storage(place: DagsterPlace) -> Iterator[tuple[Rows, Callable[[str], bool]] | None]:
    """Queries of the storage, and whether a live process executes a run; None before the first run.

    Raises DebituraError in one line if it cannot be read.
    """
    if place.database is not None:
        with _on_postgres(place.database) as storage:
            yield storage
        return
    file = place.home / "history" / "runs.db"
    if not file.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(untouched(file), uri=True, timeout=WAIT_S)) as database:
            is_there = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone()
            yield (lambda sql: database.execute(sql).fetchall(), _by_file(place.home)) if is_there else None
    except sqlite3.Error as error:
        raise DebituraError(f"Dagster's runs in {file} cannot be read: {error}.") from None


def untouched(file: Path) -> str:
    """The URI with which SQLite reads a database without leaving files beside it. Without a write-ahead log nobody has it open, and
    as an immutable file SQLite creates none."""
    log = file.with_name(f"{file.name}-wal")
    return f"{file.resolve().as_uri()}?mode=ro" + ("" if log.exists() else "&immutable=1")


def _by_file(home: Path) -> Callable[[str], bool]:
    return lambda run_id: ProcessLock(home / EXECUTING / f"{run_id}.lock").holder() is not None


@contextmanager
def _on_postgres(dsn: Secret) -> Iterator[tuple[Rows, Callable[[str], bool]] | None]:
    import psycopg  # noqa: PLC0415 - not where Dagster's storage is SQLite

    from debitura_pipeline.warehouse.postgres.connection import connect, without_password  # noqa: PLC0415

    try:
        with connect(dsn, "status", read_only=True, wait_s=WAIT_S) as connection:
            connection.execute("SET search_path = public, pg_catalog")
            found = connection.execute("SELECT to_regclass('runs') IS NOT NULL").fetchone()
            if not found or not found[0]:
                yield None
                return
            held = {row[0] for row in connection.execute(HELD).fetchall()}
            yield (
                lambda sql: connection.execute(sql.encode()).fetchall(),
                lambda run_id: lock_number(run_id) in held,
            )
    except WarehouseError as error:
        text = str(error).replace("See DEBITURA_WAREHOUSE.", "See DAGSTER_POSTGRES_URL.")
        raise DebituraError(f"Dagster's runs cannot be read: {text}") from None
    except psycopg.Error as error:
        text = without_password(dsn, str(error).splitlines()[0])
        raise DebituraError(f"Dagster's runs cannot be read: {text}. See DAGSTER_POSTGRES_URL.") from None


def _run(row: Sequence[Any], is_living: Callable[[str], bool], now: datetime) -> DagsterRun:
    run_id, job, status, created, updated, started, ended, body = row
    is_starting = now - instant_of(updated) < STARTS_WITHIN and status != "STARTED"
    return DagsterRun(
        run_id=run_id,
        job=job,
        status=status,
        created_at=instant_of(created),
        started_at=None if started is None else datetime.fromtimestamp(started, UTC),
        finished_at=None if ended is None else datetime.fromtimestamp(ended, UTC),
        is_night=_is_night(body),
        is_dead=status in ON and not is_starting and not is_living(run_id),
    )


def _is_night(body: str) -> bool:
    try:
        steps = json.loads(body).get("step_keys_to_execute")
    except (ValueError, TypeError, AttributeError):
        return True
    return steps is None or LAST_STEP in steps


def instant_of(value: datetime | str) -> datetime:
    """Naive in Postgres, text in SQLite; UTC in both."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=UTC)


_RUNS = (
    "SELECT run_id, pipeline_name, status, create_timestamp, update_timestamp, start_time, end_time, run_body FROM runs"
)
HELD = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
