"""Allow one run at a time on a Postgres warehouse, from any machine: a session-level advisory lock."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from typing import Any

import psycopg

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.postgres.connection import LOCKS, NAME_BYTES, connect, connection_lost, server_label
from debitura_pipeline.warehouse.postgres.neighbours import refuse_foreign_objects
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.process_lock import Holder

RUN_LOCK = 1
# For a killed run of this machine: its session ends once the server notices.
DEAD_HOLDER_GRACE_S = 3.0
# For a live holder: long enough for a session that is just ending, short enough to report at once.
LIVE_HOLDER_GRACE_S = 0.2
PAUSE_S = 0.05
_PROCESS = re.compile(r"(?P<what>.+), (?P<host>[^,]+), process (?P<pid>\d+)$")  # a session's name, see `connection.py`

_HOLDER = """
    SELECT a.pid, a.application_name, a.usename, a.client_addr, a.backend_start
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = %s AND l.objid = %s::oid AND l.objsubid = 2 AND l.granted"""


def holder_of(connection: psycopg.Connection[Any], database: WarehouseUrl) -> Holder | None:
    """The holder of the warehouse's run lock, for messages; None if there is none. Host and process are unknown if its session's
    name was cut off."""
    found = connection.execute(_HOLDER, _key_of(database)).fetchone()
    if found is None:
        return None
    _, name, user, _, since = found
    when = since.astimezone(UTC).isoformat(timespec="seconds") if since is not None else "a time not shown"
    what = (name or f"a program without a name (user {user})").removeprefix("debitura ")
    named = _PROCESS.match(what)
    if named is None or len(name.encode()) >= NAME_BYTES:
        return Holder(0, "unknown", when, what.partition(", ")[0])
    return Holder(int(named["pid"]), named["host"], when, named["what"])


class PostgresRunLock:
    """The lock, held by a connection of its own, so it ends with the process.

    Raises WarehouseBusy if another run holds it, WarehouseError if the pipeline's schemas hold other people's objects.
    """

    def __init__(self, database: WarehouseUrl, purpose: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database, self._purpose, self._sleep = database, purpose, sleep
        self._key = _key_of(database)
        self._connection = self._taken()
        self.is_held = True

    def ensure(self) -> None:
        """Acquire the lock again if a server restart has released it. Raises WarehouseBusy if another run holds it."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self._connection.close()
            self._connection = self._taken()

    def release(self) -> None:
        self.is_held = False
        with suppress(psycopg.Error):  # a lost connection holds no lock
            self._connection.close()

    def _taken(self) -> psycopg.Connection[Any]:
        connection = connect(self._database.server, self._purpose, sleep=self._sleep)
        try:
            refusal = self._refusal(connection)
            if refusal is None:
                refuse_foreign_objects(connection, self._database)
        except psycopg.Error as error:
            refusal = connection_lost(error)
        except BaseException:
            connection.close()
            raise
        if refusal is None:
            return connection
        connection.close()
        raise refusal

    def _refusal(self, connection: psycopg.Connection[Any]) -> WarehouseError | None:
        """Try to acquire the lock; returns the error if another run holds it."""
        waited = 0.0
        while True:
            found = connection.execute("SELECT pg_try_advisory_lock(%s::integer, %s::integer)", self._key).fetchone()
            if found == (True,):
                return None
            holder = connection.execute(_HOLDER, self._key).fetchone()
            if waited >= (DEAD_HOLDER_GRACE_S if holder is None or _is_gone(holder[1]) else LIVE_HOLDER_GRACE_S):
                return self._busy(holder)
            self._sleep(PAUSE_S)
            waited += PAUSE_S

    def _busy(self, holder: tuple[Any, ...] | None) -> WarehouseBusy:
        if holder is None:
            return WarehouseBusy("Another run had the warehouse until just now. Nothing was touched; run again.")
        session, name, user, address, since = holder
        when = since.astimezone(UTC).isoformat(timespec="seconds") if since is not None else "a time not shown"
        where = server_label(self._database.server)
        return WarehouseBusy(
            f"Another run has the warehouse at {where}: {name or 'a program without a name'} (user {user}, from "
            f"{address or 'the server itself'}), since {when}. Nothing was touched. Wait for it; if it hangs, end its "
            f"session with SELECT pg_terminate_backend({session}).",
            session=session,
        )


def _key_of(database: WarehouseUrl) -> list[int]:
    return [LOCKS, Schemas(database.schema_prefix).lock(RUN_LOCK)]


def _is_gone(name: str | None) -> bool:
    """Whether a session's name (see `connection.py`) is that of a dead process of this machine."""
    named = re.search(rf", {re.escape(platform.node())}, process (\d+)$", name or "")
    if named is None:
        return False
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
