"""Check Dagster's instance: `dagster.yaml`, and its Postgres database or SQLite files.

Dagster itself takes seconds to import, so it is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.heartbeat_storage import FILE as HEARTBEATS
from debitura_pipeline.orchestration.home import CONFIG, POSTGRES_VARIABLE, check_database, read_config
from debitura_pipeline.orchestration.runs import untouched
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.postgres.connection import server_label

NO_WAIT_S = 0.0
BUSY_S = 1.0  # SQLite's wait for a run that is writing
FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db", HEARTBEATS)
CURE = (
    "Check that disk. Then stop `debitura dev` and all runs and move {file} away; the next run creates a new one. What it held of "
    "the history of runs is lost, and no data."
)


def storage_target(settings: Settings) -> str:
    """What the check waits for."""
    dsn = settings.dagster_postgres
    return f"Postgres at {server_label(dsn)} ({POSTGRES_VARIABLE})" if dsn is not None else str(settings.dagster_home)


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check `dagster.yaml`, and the database of DAGSTER_POSTGRES_URL if it is set, else the SQLite files."""
    yield _config(settings)
    if settings.dagster_postgres is None:
        yield from _damaged_files(settings.dagster_home)
    if settings.dagster_postgres is not None:
        try:
            check_database(settings.dagster_postgres, wait_s=NO_WAIT_S)
        except DebituraError as error:
            yield from_error(POSTGRES_VARIABLE, error, settings)
        else:
            yield passed(
                POSTGRES_VARIABLE, f"{server_label(settings.dagster_postgres)}; login and privileges are sufficient"
            )


def _damaged_files(home: Path) -> Iterator[Diagnosis]:
    for file in (home / name for name in FILES):
        if not file.exists():
            continue
        try:
            with closing(sqlite3.connect(untouched(file), uri=True, timeout=BUSY_S)) as database:
                for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    database.execute(f'SELECT * FROM "{table}" ORDER BY rowid DESC LIMIT 1').fetchone()
        except sqlite3.OperationalError:  # a run is writing, or the folder cannot be used, which is reported elsewhere
            continue
        except sqlite3.DatabaseError as error:
            yield failed("Dagster's storage", f"{file} cannot be read: {error}.", CURE.format(file=file))


def _config(settings: Settings) -> Diagnosis:
    path = settings.dagster_home / CONFIG
    try:
        own = read_config(settings)
    except DebituraError as error:
        return from_error(CONFIG, error, settings)
    if own is not None:
        return passed(CONFIG, f"{path}, customised")
    return passed(CONFIG, f"{path}, unmodified" if path.exists() else f"{path}; the first run writes it")
