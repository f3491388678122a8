"""Blue/green swap of dbt's schemas on Postgres: build next to the published schemas, then swap in one transaction.

The swap locks all tables first, so it waits until nobody is reading them: a query, or a transaction, sees one night only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import cycle
from typing import Any

import psycopg

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Secret, WarehouseUrl
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.postgres.connection import (
    DEFAULTS_OVERRIDDEN,
    connect,
    server_label,
    statement_refused,
)
from debitura_pipeline.warehouse.postgres.drop import drop_built
from debitura_pipeline.warehouse.postgres.neighbours import mark_statement, marked_table, refuse_foreign_objects
from debitura_pipeline.warehouse.postgres.row_security import how_to_show_rows, partly_hidden_tables
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS, NEXT, OLD, PREVIOUS, Schemas
from debitura_pipeline.warehouse.write_guard import check_may_write

# How long the swap waits for readers. Each attempt blocks new readers for half a second at most, less than
# deadlock_timeout, so that a reader is never the one to be cancelled.
SWAP_TIMEOUT_S = 600.0
LOCK_TIMEOUTS_MS = (20, 50, 100, 200, 500)
PAUSE_S = 0.05
# For transactions whose snapshot is older than the build: new tables would be empty for them.
OLD_TRANSACTIONS_TIMEOUT_S = 30.0
# The incremental models delete rows before their tables have keys, and a publication refuses that without an identity.
IDENTIFIED_BY_ROW = "REPLICA IDENTITY FULL"
_OPTIONS = " ".join(
    f"-c {name}={value.replace(' ', chr(92) + ' ')}"
    for name, value in {**DEFAULTS_OVERRIDDEN, "default_transaction_read_only": "off"}.items()
)
# A pooler passes no options on, so dbt's session has the search path that the server gives it.
_HIDING = """
    WITH named AS (
        SELECT pronamespace AS namespace, proname AS name, 'function' AS kind FROM pg_catalog.pg_proc
        UNION ALL SELECT oprnamespace, oprname, 'operator' FROM pg_catalog.pg_operator
    ), searched AS (
        SELECT CASE WHEN trim(one) = '"$user"' THEN CAST(current_user AS text) ELSE trim(BOTH ' "' FROM one) END AS nspname
        FROM pg_catalog.pg_settings AS s, regexp_split_to_table(s.reset_val, ',') AS one
        WHERE s.name = 'search_path'
    )
    SELECT DISTINCT format('%I.%s', n.nspname, d.name) FROM named AS d
    JOIN pg_catalog.pg_namespace AS n ON n.oid = d.namespace JOIN searched AS s ON s.nspname = n.nspname
    JOIN named AS own ON own.namespace = CAST('pg_catalog' AS regnamespace) AND own.name = d.name AND own.kind = d.kind
    WHERE n.nspname <> 'pg_catalog' ORDER BY 1 LIMIT 3"""


def dbt_access(dsn: Secret) -> dict[str, str]:
    """The environment variables for dbt to reach the same database, read from a connection, which knows all defaults.

    Other options, those for TLS among them, are passed by libpq's own variables. Raises WarehouseError.
    """
    with connect(dsn, "dbt access") as connection:
        info = connection.info
        others = {
            option.keyword.decode(): option.envvar.decode()
            for option in psycopg.pq.Conninfo.get_defaults()
            if option.envvar and option.keyword not in (b"host", b"hostaddr", b"port", b"user", b"dbname", b"password")
        }
        given = {others[name]: str(value) for name, value in info.get_parameters().items() if name in others}
        if getattr(connection, "is_pooled", False):
            _refuse_hidden_functions(connection, dsn)
        else:
            given["PGOPTIONS"] = f"{given.get('PGOPTIONS', '')} {_OPTIONS}".strip()
        return {
            **given,
            "PGTZ": "UTC",
            "PGAPPNAME": "debitura dbt",
            "DEBITURA_DBT_TARGET": "postgres",
            "DEBITURA_POSTGRES_HOST": info.host,
            "DEBITURA_POSTGRES_PORT": str(info.port),
            "DEBITURA_POSTGRES_USER": info.user,
            "DEBITURA_POSTGRES_DATABASE": info.dbname,
            "DEBITURA_POSTGRES_PASSWORD": info.password,
        }


def _refuse_hidden_functions(connection: psycopg.Connection[Any], dsn: Secret) -> None:
    if found := [name for (name,) in connection.execute(_HIDING.encode()).fetchall()]:
        raise WarehouseError(
            f"Postgres at {server_label(dsn)}: behind a pooler, dbt would call {', '.join(found)} instead of what has that name in "
            "pg_catalog. Nothing was changed.",
            cure="Have an administrator run `ALTER ROLE … SET search_path = pg_catalog` for dbt's role, or use the server's own "
            "address.",
        )


def create_next_schemas(database: WarehouseUrl, carried: Iterable[tuple[str, str]]) -> None:
    """Create empty schemas to build in. Tables in `carried` (schema, table) start as copies, for incremental models.

    Raises WarehouseError, with nothing changed, if the schemas hold objects that the pipeline did not create, or rows are hidden
    from dbt's role.
    """
    schemas = Schemas(database.schema_prefix)
    named = schemas.named
    with connect(database.for_dbt, "release") as connection, _translate_errors("Schemas to build in could not be made"):
        refuse_foreign_objects(connection, database)
        # Behind a pooler, dbt would not even get an error.
        if hidden := partly_hidden_tables(connection, schemas):
            raise WarehouseError(
                f"Row-level security may hide rows of {', '.join(hidden)} from dbt's role. Nothing was changed.",
                cure=how_to_show_rows(connection),
            )
        for suffix in (NEXT, OLD):
            drop_built(connection, [named(schema + suffix) for schema in DBT_SCHEMAS])
        for schema in DBT_SCHEMAS:
            connection.execute(f"CREATE SCHEMA {quoted(named(schema + NEXT))}".encode())
            connection.execute(mark_statement(named(schema + NEXT)).encode())
        for schema, table in carried:
            current, draft = (f"{quoted(named(schema + suffix))}.{quoted(table)}" for suffix in ("", NEXT))
            if _one(connection, "SELECT to_regclass(%s) IS NOT NULL", current):
                with connection.transaction():
                    connection.execute(
                        f"CREATE TABLE {draft} (LIKE {current} INCLUDING ALL EXCLUDING INDEXES)".encode()
                    )
                    connection.execute(marked_table(draft).encode())
                    connection.execute(f"ALTER TABLE {draft} {IDENTIFIED_BY_ROW}".encode())
                    connection.execute(f"INSERT INTO {draft} SELECT * FROM {current}".encode())


def swap_schemas(
    database: WarehouseUrl,
    *,
    swap_timeout_s: float = SWAP_TIMEOUT_S,
    old_transactions_timeout_s: float = OLD_TRANSACTIONS_TIMEOUT_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Publish the new schemas; the old ones are kept as `…__previous`. One transaction, all or nothing.

    Raises WarehouseBusy if readers hold the tables for longer than `swap_timeout_s`, WarehouseError if others have created
    objects in the schemas meanwhile. Readers then keep the old tables.
    """
    schemas = Schemas(database.schema_prefix)
    with (
        connect(database.for_dbt, "release") as connection,
        _translate_errors("The new reports could not be put in place"),
    ):
        _wait_for_older_transactions(connection, old_transactions_timeout_s, sleep, clock)
        give_up_at = clock() + swap_timeout_s
        for try_ms in cycle(LOCK_TIMEOUTS_MS):
            if _try_swap(connection, database, schemas, try_ms):
                break
            if clock() >= give_up_at:
                raise WarehouseBusy(
                    f"The new reports are built, and readers hold the old ones for {swap_timeout_s:.0f} s already "
                    f"({_holders(connection, schemas)}). They keep the old ones; end these sessions and run again."
                )
            sleep(PAUSE_S)
        # Still being read: the next build drops it. What somebody has just built on it is named then.
        with suppress(psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
            drop_built(connection, [schemas.named(schema + OLD) for schema in DBT_SCHEMAS])


def _try_swap(connection: psycopg.Connection[Any], database: WarehouseUrl, schemas: Schemas, try_ms: int) -> bool:
    try:
        with connection.transaction():
            refuse_foreign_objects(connection, database)
            tables = _tables(connection, schemas)
            if tables:
                connection.execute(f"SET LOCAL statement_timeout = {try_ms}".encode())
                connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE".encode())
                connection.execute(b"SET LOCAL statement_timeout = 0")
            for schema in DBT_SCHEMAS:
                _copy_grants(connection, schemas.named(schema), schemas.named(schema + NEXT))
                for suffixes in ((PREVIOUS, OLD), ("", PREVIOUS), (NEXT, "")):
                    source, target = (quoted(schemas.named(schema + suffix)) for suffix in suffixes)
                    if _one(connection, "SELECT to_regnamespace(%s) IS NOT NULL", source):
                        connection.execute(f"ALTER SCHEMA {source} RENAME TO {target}".encode())
            check_may_write()
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def _tables(connection: psycopg.Connection[Any], schemas: Schemas) -> list[str]:
    """The tables to lock. Not the views: locking one also locks the tables it reads, which another role owns."""
    found = connection.execute(
        """SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'm') ORDER BY 1""",
        [list(map(schemas.named, DBT_SCHEMAS))],
    )
    return [name for (name,) in found.fetchall()]


def _copy_grants(connection: psycopg.Connection[Any], schema: str, draft: str) -> None:
    """Whoever has USAGE on a schema may read the new tables as well."""
    found = connection.execute(
        """SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.pg_namespace AS n, aclexplode(n.nspacl) AS a
        WHERE n.nspname = %s AND a.privilege_type = 'USAGE' AND a.grantee <> n.nspowner""",
        [schema],
    )
    for (grantee,) in found.fetchall():
        connection.execute(f"GRANT USAGE ON SCHEMA {quoted(draft)} TO {grantee}".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {quoted(draft)} TO {grantee}".encode())


def _wait_for_older_transactions(
    connection: psycopg.Connection[Any],
    swap_timeout_s: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> None:
    older, give_up_at = _transactions(connection), clock() + swap_timeout_s
    while older and clock() < give_up_at:
        sleep(PAUSE_S)
        older &= _transactions(connection)


def _transactions(connection: psycopg.Connection[Any]) -> set[str]:
    found = connection.execute(
        b"""SELECT l.virtualxid FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
        WHERE l.locktype = 'virtualxid' AND a.datname = current_database() AND a.pid <> pg_backend_pid()"""
    )
    return {name for (name,) in found.fetchall()}


def _holders(connection: psycopg.Connection[Any], schemas: Schemas) -> str:
    found = connection.execute(
        """SELECT DISTINCT a.pid, a.usename, a.application_name FROM pg_catalog.pg_locks AS l
        JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = ANY(%s) AND a.datname = current_database() AND a.pid <> pg_backend_pid() ORDER BY 1""",
        [list(map(schemas.named, DBT_SCHEMAS))],
    )
    who = [f"session {pid}, user {user}{f', {name}' if name else ''}" for pid, user, name in found.fetchall()]
    return "; ".join(who) or "not one of them any more"


def _one(connection: psycopg.Connection[Any], sql: str, value: str) -> Any:
    row = connection.execute(sql.encode(), [value]).fetchone()
    return row[0] if row else None


class _translate_errors:  # noqa: N801 - reads as a phrase
    """The driver's errors as one line of ours."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, psycopg.Error):
            refusal = statement_refused(self._what, error)
            raise WarehouseError(f"{refusal.fault} Readers keep the previous tables.", cure=refusal.cure) from None
