"""Where heartbeats are kept: tables in Dagster's Postgres, or a SQLite file. Each statement has a connection of its own.

A connection that is kept open would hang with its network; one every 20 seconds costs milliseconds.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import Secret

if TYPE_CHECKING:
    import psycopg

FILE = "heartbeats.db"
TABLE = "debitura_run_heartbeats"
LOOKS = "debitura_watchdog_looks"  # one row: when any watchdog last looked, and since when without a gap
BUSY_S = 10.0  # SQLite's wait for another writer
ANSWERS_WITHIN_MS = 10_000  # of a server that has vanished; TCP itself would wait for a quarter of an hour
_CREATE = {
    TABLE: f"""CREATE TABLE IF NOT EXISTS {TABLE} (
        run_id TEXT PRIMARY KEY, process TEXT, beat_at DOUBLE PRECISION NOT NULL, suspected_at DOUBLE PRECISION,
        failed_at DOUBLE PRECISION)""",
    LOOKS: f"""CREATE TABLE IF NOT EXISTS {LOOKS} (
        id INTEGER PRIMARY KEY, looked_at DOUBLE PRECISION NOT NULL, awake_since DOUBLE PRECISION NOT NULL)""",
}


class Storage(Protocol):
    """Statements have `%s` for parameters and `:now` for the storage's clock, in seconds since 1970."""

    def write(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one statement; returns the number of rows touched. Creates the tables. Raises DebituraError."""

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; none if there is no table. Changes nothing. Raises DebituraError."""


def storage_at(place: Secret | Path) -> Storage:
    """`place`: the address of Dagster's Postgres, or DAGSTER_HOME."""
    return _InDatabase(place) if isinstance(place, Secret) else _InFile(place / FILE)


class _InFile:
    def __init__(self, file: Path) -> None:
        self._file = file

    def write(self, sql: str, params: Sequence[Any] = ()) -> int:
        with self._opened("rwc") as database:
            for create in _CREATE.values():
                database.execute(create)
            return database.execute(_for_sqlite(sql), params).rowcount

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if not self._file.exists():
            return []
        with self._opened("ro") as database:
            is_there = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone()
            return database.execute(_for_sqlite(sql), params).fetchall() if is_there else []

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            if mode != "ro":  # SQLite would create it with the umask's mode
                os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            uri = f"{self._file.resolve().as_uri()}?mode={mode}"
            with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)) as database:
                database.execute("PRAGMA synchronous = OFF")  # a power cut ends every run anyway
                yield database
        except (sqlite3.Error, OSError) as error:
            raise DebituraError(f"The heartbeats of runs in {self._file} cannot be used: {error}.") from None


class _InDatabase:
    def __init__(self, dsn: Secret) -> None:
        self._dsn = dsn

    def write(self, sql: str, params: Sequence[Any] = ()) -> int:
        import psycopg  # noqa: PLC0415

        with self._opened(read_only=False) as connection:
            for table, create in _CREATE.items():
                if not _has_table(connection, table):
                    with suppress(psycopg.errors.UniqueViolation):  # another process creates it at the same moment
                        connection.execute(create.encode())
            return connection.execute(_for_postgres(sql), params).rowcount

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._opened(read_only=True) as connection:
            return connection.execute(_for_postgres(sql), params).fetchall() if _has_table(connection, TABLE) else []

    @contextmanager
    def _opened(self, *, read_only: bool) -> Iterator[psycopg.Connection[Any]]:
        import psycopg  # noqa: PLC0415 - not where Dagster's storage is SQLite

        from debitura_pipeline.warehouse.postgres.connection import connect, without_password  # noqa: PLC0415

        try:
            with connect(self._dsn, "heartbeat", read_only=read_only, wait_s=0) as connection:
                _give_up_on_silence(connection.fileno())
                connection.execute("RESET search_path")  # beside Dagster's own tables
                yield connection
        except WarehouseError as error:
            text = str(error).replace("See DEBITURA_WAREHOUSE.", "See DAGSTER_POSTGRES_URL.")
            raise DebituraError(f"The heartbeats of runs cannot be used: {text}") from None
        except psycopg.Error as error:
            text = without_password(self._dsn, str(error).splitlines()[0])
            raise DebituraError(f"The heartbeats of runs cannot be used: {text}.") from None


def _has_table(connection: psycopg.Connection[Any], table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,)


def _give_up_on_silence(descriptor: int) -> None:
    """End the connection if the server acknowledges nothing for ten seconds."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as ours:  # a Unix socket has no such option
        if option is not None:
            ours.setsockopt(socket.IPPROTO_TCP, option, ANSWERS_WITHIN_MS)


def _for_sqlite(sql: str) -> str:
    return sql.replace("%s", "?").replace(":now", "((julianday('now') - 2440587.5) * 86400.0)")


def _for_postgres(sql: str) -> bytes:
    return sql.replace(":now", "extract(epoch FROM clock_timestamp())::double precision").encode()
