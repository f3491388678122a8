"""One run at a time on a Postgres warehouse, whatever machine it is started on: an advisory lock for as long as it takes.

Belongs here: that lock and the words for whom it waits for. Does not: transactions (`postgres.py` lets one write at a time)
or DuckDB, whose file is on one machine and locked by its engine. Taken by whoever runs a sync, a replay, a build or a
night; what such a run starts in its own context is part of it and takes nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC
from typing import Any

import psycopg

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Secret, Settings
from debitura_pipeline.warehouse.pg_connect import connect, lost, place
from debitura_pipeline.warehouse.postgres import LOCKS

RUN_LOCK = 1
# A run that was just killed: its server session ends as soon as the server has noticed.
GRACE_S = 3.0
PAUSE_S = 0.1

_HOLDER = f"""
    SELECT a.pid, a.application_name, a.usename, a.client_addr, a.backend_start
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = {LOCKS} AND l.objid = {RUN_LOCK} AND l.objsubid = 2 AND l.granted"""


class RunLock:
    """The lock, held by a connection that does nothing else; it goes with the connection, so with the process."""

    def __init__(self, dsn: Secret, purpose: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._dsn, self._purpose, self._sleep = dsn, purpose, sleep
        self._connection = self._taken()

    def ensure(self) -> None:
        """Hold it still, or again: a server that was restarted has forgotten it. Raises WarehouseBusy when another has it."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self._connection.close()
            self._connection = self._taken()

    def release(self) -> None:
        self._connection.close()

    def _taken(self) -> psycopg.Connection[Any]:
        connection = connect(self._dsn, self._purpose, sleep=self._sleep)
        try:
            refusal = self._refusal(connection)
        except psycopg.Error as error:
            refusal = lost(error)
        except BaseException:
            connection.close()
            raise
        if refusal is None:
            return connection
        connection.close()
        raise refusal

    def _refusal(self, connection: psycopg.Connection[Any]) -> WarehouseError | None:
        """Take the lock: None when it is taken, else who has it."""
        for _ in range(int(GRACE_S / PAUSE_S)):
            found = connection.execute(f"SELECT pg_try_advisory_lock({LOCKS}, {RUN_LOCK})".encode()).fetchone()
            if found == (True,):
                return None
            self._sleep(PAUSE_S)
        return self._busy(connection)

    def _busy(self, connection: psycopg.Connection[Any]) -> WarehouseBusy:
        found = connection.execute(_HOLDER.encode()).fetchone()
        if found is None:
            return WarehouseBusy("Another run had the warehouse until just now. Nothing was touched; run again.")
        session, name, user, address, since = found
        when = since.astimezone(UTC).isoformat(timespec="seconds") if since is not None else "a time not shown"
        return WarehouseBusy(
            f"Another run has the warehouse at {place(self._dsn)}: {name or 'a program without a name'} (user {user}, from "
            f"{address or 'the server itself'}), since {when}. Nothing was touched. Wait for it; if it hangs, end its "
            f"session with SELECT pg_terminate_backend({session}).",
            session=session,
        )


_held: ContextVar[tuple[Secret, RunLock] | None] = ContextVar("debitura_run_lock", default=None)


@contextmanager
def exclusive_run(settings: Settings, purpose: str = "run") -> Iterator[None]:
    """Have the warehouse's writing to oneself. Raises WarehouseBusy, which says who has it, without touching anything."""
    dsn = settings.warehouse.dsn
    held = _held.get()
    if dsn is None or (held is not None and held[0] == dsn):
        yield
        return
    lock = RunLock(dsn, purpose)
    token = _held.set((dsn, lock))
    try:
        yield
    finally:
        with suppress(psycopg.Error):
            lock.release()
        with suppress(ValueError):  # a generator that was given up may be closed in another context: that holds nothing
            _held.reset(token)


def ensure_run(dsn: Secret) -> None:
    """Inside `exclusive_run`: make sure that the lock is still held before anything is written."""
    held = _held.get()
    if held is not None and held[0] == dsn:
        try:
            held[1].ensure()
        except WarehouseBusy as busy:
            raise WarehouseError(f"The connection that kept other runs out was lost, and meanwhile: {busy}") from None
