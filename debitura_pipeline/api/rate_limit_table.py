"""The counts of the rate limit in a Postgres warehouse, table `ops.rate_limits`, shared by all machines that use one key.

Once a second, every process adds its requests, under a lock held for milliseconds. Times come from the machines' clocks, which must
agree to a few seconds. Until the first run has made the table, and while the server is away, a process counts in memory.
"""

from __future__ import annotations

import logging
import weakref
import zlib
from contextlib import suppress
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from debitura_pipeline.api.rate_limit_state import RateLimitState, Unmerged
from debitura_pipeline.settings import WarehouseUrl, address_options

log = logging.getLogger(__name__)

LOCKS = 0x64656269  # first key of all advisory locks of this project
LOCK_WAIT = "200ms"  # others hold the lock for some milliseconds; the event loop waits meanwhile
CONNECT_TIMEOUT_S = 2
RETRY_AFTER_S = 30.0  # a server that is away is not asked every second


class RateLimitTable:
    """The counts for `api_host`. The connection of the first merge is kept until `close`."""

    def __init__(self, database: WarehouseUrl, api_host: str) -> None:
        self._database, self._host = database, api_host
        self._table = sql.Identifier(f"{database.schema_prefix}ops", "rate_limits")
        self._key = zlib.crc32(f"rate limit {database.schema_prefix}ops {api_host}".encode()) - 2**31
        self._own = Unmerged()
        self._connection: psycopg.Connection[Any] | None = None
        self._retry_at = float("-inf")

    def record(self, at: float) -> None:
        """Record one request for the next merge."""
        self._own.record(at)

    def read(self) -> RateLimitState:
        """The stored counts; empty if there are none, or the server is away."""
        return self.find() or RateLimitState()

    def find(self) -> RateLimitState | None:
        """The stored counts; None if there are none, or the server is away. Writes nothing."""
        try:
            connection = self._connect()
            try:
                return self._stored(connection)
            finally:
                connection.close()
        except psycopg.Error:
            return None

    def merge(self, view: RateLimitState, now: float, reserve: int) -> RateLimitState:
        """Add the requests sent since the last merge, and `reserve` future ones, to the table.

        Returns the counts of all processes, without the own reservation; `view` if the table cannot be used at the moment.
        """
        if now < self._retry_at <= now + RETRY_AFTER_S:
            return view
        try:
            if self._connection is None:
                self._connection = connection = self._connect()
                weakref.finalize(self, connection.close)
            with self._connection.transaction():
                merged = self._merge(self._connection, now, reserve)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.LockNotAvailable):
            return view  # made by the first run, while this is counting; or another process is slow
        except psycopg.Error as error:
            log.warning(
                "The request budget cannot be kept in the warehouse (%s); counting goes on in memory",
                type(error).__name__,
            )
            self.close()
            self._retry_at = now + RETRY_AFTER_S
            return view
        self._own.are_stored(now, reserve)
        return merged

    def close(self) -> None:
        """Close the connection; a later merge opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    def _merge(self, connection: psycopg.Connection[Any], now: float, reserve: int) -> RateLimitState:
        connection.execute("SET TRANSACTION READ WRITE")  # the database may have another default
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
        connection.execute("SELECT pg_advisory_xact_lock(%s::integer, %s::integer)", (LOCKS, self._key))
        found = self._stored(connection)
        shared = found or RateLimitState()
        view = self._own.added_to(shared, now, reserve)
        statement = (
            "INSERT INTO {} (counts, changed_at, api_host) VALUES (%s, clock_timestamp(), %s)"
            if found is None
            else "UPDATE {} SET counts = %s, changed_at = clock_timestamp() WHERE api_host = %s"
        )
        counts = msgspec.json.encode(shared).decode()
        connection.execute(sql.SQL(statement).format(self._table), (counts, self._host))
        return view

    def _stored(self, connection: psycopg.Connection[Any]) -> RateLimitState | None:
        query = sql.SQL("SELECT counts FROM {} WHERE api_host = %s").format(self._table)
        row = connection.execute(query, (self._host,)).fetchone()
        if row is None:
            return None
        try:
            return msgspec.json.decode(row[0], type=RateLimitState)
        except msgspec.DecodeError:
            log.warning("The request budget in the warehouse is unreadable and starts from zero")
            return RateLimitState()

    def _connect(self) -> psycopg.Connection[Any]:
        """Raises psycopg.Error."""
        options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "debitura request budget"}
        options |= address_options(self._database.server.reveal()) or {}
        return psycopg.connect(make_conninfo(**options), autocommit=True, prepare_threshold=None)
