"""Detect a connection pooler, and whether it keeps one server connection per session.

If it does not (transaction or statement mode of PgBouncer), session locks and settings end up in other clients' sessions. The
check sets nothing and takes no lock.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

PID = b"SELECT pg_catalog.pg_backend_pid()"
ROUNDS = 3  # other clients may come between two looks
WITHIN_S = 5.0  # for a pool that is full for a moment
SERVER_WITHIN_S = 60.0  # a server under load, before it is known to be one
STATEMENT_MODE = "statement pooling"


class SharedSessionError(Exception):
    """The session shares its server connection with others."""


def keeps_its_server(connection: psycopg.Connection[Any], another: Callable[[], psycopg.Connection[Any]]) -> bool:
    """True if there is a pooler that keeps one server connection per session, False if there is no pooler.

    A server reports its own process id when it accepts a connection; a pooler invents one. Raises SharedSessionError if
    sessions share a server connection, psycopg.Error if the pool has none for a second session.
    """
    own = _pid(connection, PID, SERVER_WITHIN_S)
    if own == connection.info.backend_pid:
        return False
    second = another()
    try:
        if _is_shared(connection, own, second):
            raise SharedSessionError
    finally:
        second.close()
    return True


def _is_shared(connection: psycopg.Connection[Any], own: int, second: psycopg.Connection[Any]) -> bool:
    """Whether a session is ever served by another process than at first, or two sessions by the same one.

    A LIFO pool gives the second session the first one's connection; a round-robin pool gives one session two connections; and
    while one session is inside a transaction, the other cannot have its process.
    """
    others = _pid(second, PID)
    for _ in range(ROUNDS):
        if others == own or _pid(connection, PID) != own or _pid(second, PID) != others or _pid(second, PID) != others:
            return True
        is_kept = _pid(second, b"BEGIN; " + PID) == others and _pid(connection, PID) == own
        second.pgconn.exec_(b"ROLLBACK")
        if not is_kept:
            return True
    return False


def _pid(connection: psycopg.Connection[Any], sql: bytes, within_s: float = WITHIN_S) -> int:
    """The server process that answers. Raises psycopg.OperationalError if none does in time, SharedSessionError in statement
    mode."""
    pgconn, until = connection.pgconn, time.monotonic() + within_s
    pgconn.send_query(sql)
    pgconn.flush()
    found = None
    while True:
        while pgconn.is_busy():  # asked for a result that is not there yet, libpq waits without a limit
            if not select.select([pgconn.socket], [], [], max(0.0, until - time.monotonic()))[0]:
                raise psycopg.OperationalError(
                    f"no answer within {within_s:.0f} s; if it is a pooler, its pool is too small or too busy"
                )
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        if result.status == ExecStatus.TUPLES_OK:
            found = result.get_value(0, 0)
        elif result.status != ExecStatus.COMMAND_OK:
            message = result.error_message.decode(errors="replace").strip()
            if STATEMENT_MODE in message:
                raise SharedSessionError
            raise psycopg.OperationalError(message or "the server closed the connection unexpectedly")
    if found is None:
        raise psycopg.OperationalError("the server closed the connection unexpectedly")
    return int(found)
