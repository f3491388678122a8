"""Connect to Postgres: session settings, waiting for a server that is starting, and errors without passwords.

All libpq connection options work, including those for TLS.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Secret, address_options
from debitura_pipeline.warehouse.postgres.cures import cure_of
from debitura_pipeline.warehouse.postgres.pooler import SharedSessionError, keeps_its_server

WAIT_S = 60.0  # for a server that is starting, stopping or out of connections
REFUSED_WAIT_S = 5.0  # for a server that does not answer: a restart takes about that long
PAUSE_S = 0.25
# Errors whose messages name objects, roles and the server's state, never a value: connections, transactions, rights, resources,
# locks, shutdowns; and what is not there or is there already.
SAFE_CLASSES = ("08", "25", "28", "3D", "3F", "40", "53", "54", "55", "57", "58")
SAFE_STATES = ("2BP01", "42501", "42P01", "42P06", "42P07", "42P16", "42703", "42710", "42809", "42883")
OLDEST_SERVER = 140000
INSUFFICIENT_PRIVILEGE = "42501"
UNTRANSLATABLE = "22P05"
NAME_BYTES = 63  # Postgres cuts longer application names off
LOCKS = 0x64656269  # first key of all advisory locks of this project

# Defaults for options missing in the URL: firewalls must not drop a connection that is idle for an hour.
DEFAULTS: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
}
# What administrators may have set for the database or the role, and no session of the pipeline's or dbt's can run with.
DEFAULTS_OVERRIDDEN: Mapping[str, str] = {
    "search_path": "pg_catalog",  # every name is qualified, so objects in `public` are never used
    "row_security": "off",  # a policy would hide rows, and what is left would be taken for all; off, it is an error
    "quote_all_identifiers": "off",  # in the texts of views and functions, which are copied into DuckDB
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",  # a snapshot would wait until nobody writes
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",  # the run lock's session is idle while dbt builds
}
SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO",
    "client_encoding": "UTF8",
    **DEFAULTS_OVERRIDDEN,
    # A dead client must lose its locks soon, even if its machine vanished.
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
}

_NOT_READY = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "too many clients",
    "remaining connection slots",
)
_UNREACHABLE = ("refused", "closed the connection unexpectedly", "reset by peer")


class PostgresConnection(psycopg.Connection[Any]):
    """A connection that resets its session on close, since a pooler gives the server connection to the next client."""

    is_pooled = False

    def close(self) -> None:
        if self.is_pooled and not self.closed:
            with suppress(psycopg.Error):  # a pooler does not reuse a connection that is lost or in a COPY
                self.rollback()
                self.execute(b"DISCARD ALL")
        super().close()


def connect(
    dsn: Secret,
    purpose: str,
    *,
    read_only: bool = False,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> psycopg.Connection[Any]:
    """An open connection in UTC and autocommit mode.

    Raises WarehouseBusy if the server stays unavailable for `wait_s`, WarehouseError otherwise, without a password. A pooler
    in transaction mode is refused before anything is set on the connection.
    """
    options = _options(dsn, purpose)
    began = clock()
    while True:
        fault = ""
        try:
            connection = _opened(options)
            try:
                connection.is_pooled = keeps_its_server(connection, lambda: _opened(options))
                _set_up(connection, read_only)
            except BaseException:
                connection.close()
                raise
            return connection
        except SharedSessionError:
            raise WarehouseError(
                f"The address of Postgres, {server_label(dsn)}, is a pooler in transaction mode; use the direct port or "
                "session mode. Nothing was changed.",
                cure=f"Set {dsn.variable} to the server's own address, or to a pool in session mode.",
            ) from None
        except psycopg.Error as error:
            fault = without_password(dsn, _first_line(error))
        # Raised outside the handler: with libpq's exception as its context, it could reveal the connection's options.
        waits = (
            wait_s if _is_any(fault, _NOT_READY) else min(wait_s, REFUSED_WAIT_S) if _is_any(fault, _UNREACHABLE) else 0
        )
        if clock() - began >= waits:
            kind = WarehouseBusy if waits else WarehouseError
            raise kind(
                f"Postgres at {server_label(dsn)} cannot be used: {_without_prefix(fault)}.",
                cure=cure_of(fault, dsn.variable),
            )
        sleep(PAUSE_S)


def _opened(options: Mapping[str, Any]) -> PostgresConnection:
    return PostgresConnection.connect(make_conninfo(**options), autocommit=True, prepare_threshold=None)


def server_label(dsn: Secret) -> str:
    """Host, port and database of the URL; no user, no password."""
    options = _parsed(dsn)
    host = options.get("host") or options.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
    port = options.get("port") or os.environ.get("PGPORT") or "5432"
    return f"{host}:{port}, database {options.get('dbname') or options.get('user') or 'of the user'}"


def without_password(dsn: Secret, text: str) -> str:
    """`text` with all secrets of the URL removed, in any encoding."""
    secrets = {dsn.reveal()}
    for name in ("password", "sslpassword"):
        if value := _parsed(dsn).get(name):
            secrets |= {str(value), quote(str(value), safe=""), quote(str(value))}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def describe_error(error: psycopg.Error) -> str:
    """The server's message if it can name nothing but objects and the server's state; else only the SQLSTATE.

    Any other message may quote a row: of a value that does not fit, of a function in a view, of an error raised in PL/pgSQL.
    """
    state = error.sqlstate or ""
    if state == UNTRANSLATABLE:
        return (
            f"the encoding of the database lacks a character; create the database with encoding UTF8 (SQLSTATE {state})"
        )
    if state[:2] in ("22", "23"):
        return f"a value does not fit or breaks a constraint (SQLSTATE {state})"
    context = error.diag.context or ""
    if (
        context.startswith("COPY ") and "\n" not in context and state[:2] == "53"
    ):  # the server's own, not of a function in PL/pgSQL
        context = ""
    if state and (context or (state[:2] not in SAFE_CLASSES and state not in SAFE_STATES)):
        return f"the server reports an error whose text may quote a row (SQLSTATE {state})"
    return _first_line(error).rstrip(".")


def statement_refused(what: str, error: psycopg.Error) -> WarehouseError:
    """The error for a statement that the server refused; `what` starts the message."""
    cure = None
    if error.sqlstate == INSUFFICIENT_PRIVILEGE and "row-level security" in str(error):
        cure = "Have an administrator disable row-level security on that table, or give the role BYPASSRLS."
    elif error.sqlstate == INSUFFICIENT_PRIVILEGE:
        cure = "The user lacks a right: `debitura doctor` says which one, and what an administrator has to grant."
    return WarehouseError(f"{what}: {describe_error(error)}.", cure=cure)


def connection_lost(error: psycopg.Error) -> WarehouseError:
    """The error for a connection that was lost."""
    return WarehouseError(
        f"The connection to Postgres was lost ({describe_error(error)}). What was not committed is undone; run again."
    )


def _options(dsn: Secret, purpose: str) -> dict[str, Any]:
    name = f"debitura {purpose}, {platform.node()}, process {os.getpid()}"
    return {**DEFAULTS, "application_name": name.encode()[:NAME_BYTES].decode(errors="ignore"), **_parsed(dsn)}


def _parsed(dsn: Secret) -> dict[str, Any]:
    options = address_options(dsn.reveal())
    if options is None:
        raise WarehouseError(f"{dsn.variable} is not an address that libpq understands.")
    return options


def _set_up(connection: psycopg.Connection[Any], read_only: bool) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.parameter_status("server_version")
        raise psycopg.NotSupportedError(f"it is Postgres {version}, and 14 is the oldest that is supported")
    settings = {**SESSION, "default_transaction_read_only": "on" if read_only else "off"}
    calls = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
    connection.execute(f"SELECT {calls}".encode())
    with suppress(psycopg.Error):  # not supported on every platform; without it, dead clients are noticed later
        connection.execute("SET client_connection_check_interval = '500ms'")
    if connection.info.server_version >= 170000:
        connection.execute("SET transaction_timeout = 0")
    if connection.closed:
        raise psycopg.OperationalError("the server closed the connection unexpectedly")


def _without_prefix(fault: str) -> str:
    """libpq's message without the server's address, which is named already."""
    said = re.sub(r"^(connection failed: )?(connection to server at .*? failed: )?(FATAL: +)?", "", fault)
    return re.sub(r"\[Errno -?\d+\] ", "", said).rstrip(".")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _is_any(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text for sign in signs)
