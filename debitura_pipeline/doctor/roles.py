"""Postgres: may the pipeline's role and dbt's do what a night needs? Asked of the server's catalogue, nothing is tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_error, well
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import connect, place
from debitura_pipeline.warehouse.postgres.schemas import BUILT, Schemas
from debitura_pipeline.warehouse.tables import SCHEMAS

NO_WAIT_S = 0.0
CURE = "As an administrator, run the SQL that `debitura doctor --grant-sql` prints in that database, or make {user} its owner."


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Nothing on DuckDB; the warehouse's own login has a line of its own."""
    dsn, dbt = settings.warehouse.dsn, settings.warehouse.dbt_dsn
    if dsn is None:
        return
    schemas = Schemas(settings.warehouse.schema_prefix)
    try:
        with connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
            where = connection.execute(_PLACE).fetchone()
            lacking = [*_of_pipeline(connection, schemas), *(() if dbt else _of_dbt(connection, schemas))]
            yield _judged(dsn, connection, lacking)
    except DebituraError:  # the same as for the warehouse, which says so
        if dbt is not None:
            yield from _dbt_login(dbt, settings, None)
        return
    if dbt is not None:
        yield from _dbt_login(dbt, settings, where)


def _dbt_login(dsn: Secret, settings: Settings, where: Any) -> Iterator[Diagnosis]:
    try:
        with connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
            if where is not None and connection.execute(_PLACE).fetchone() != where:
                cure = "Both name the same server and database, with a user each."
                yield bad(dsn.variable, f"{place(dsn)} is another database than that of DEBITURA_WAREHOUSE.", cure)
                return
            yield _judged(dsn, connection, list(_of_dbt(connection, Schemas(settings.warehouse.schema_prefix))))
    except DebituraError as error:
        yield of_error(dsn.variable, error, settings)


def _judged(dsn: Secret, connection: psycopg.Connection[Any], lacking: list[str]) -> Diagnosis:
    user, what = connection.info.user, f"rights in {dsn.variable}"
    if not lacking:
        return well(what, f"user {user} at {place(dsn)} may do what a night needs")
    return bad(what, f"user {user} at {place(dsn)} may not {', nor '.join(lacking)}.", CURE.format(user=user))


def _of_pipeline(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[str]:
    """What the role lacks to make and fill its schemas and to read what dbt has built."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, BUILT)]
    may_create, may_stage = connection.execute(_DATABASE).fetchone() or (False, False)
    found = {name: facts for name, *facts in connection.execute(_SCHEMAS, [[*own, *built]]).fetchall()}
    missing = [schema for schema in own if schema not in found]
    if missing and not may_create:
        yield f"create the schemas {', '.join(missing)} (CREATE on the database)"
    if not may_stage:
        yield "make temporary tables (TEMPORARY on the database)"
    for schema in own:
        may_use, may_make, _, _, foreign = found.get(schema, (True, True, True, 0, 0))
        if not may_use or not may_make:
            yield f"use and create in schema {schema}"
        elif foreign:
            yield f"change {foreign} tables in {schema}, which are another role's"
    for schema in built:
        may_use, _, _, unreadable, _ = found.get(schema, (True, True, True, 0, 0))
        if not may_use or unreadable:
            yield f"read schema {schema}"


def _of_dbt(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[str]:
    """What the role lacks to read `raw` and `ops` and to build and replace the rest."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, BUILT)]
    may_create, _ = connection.execute(_DATABASE).fetchone() or (False, False)
    if not may_create:
        yield "create schemas to build in (CREATE on the database)"
    for schema, may_use, _, is_owner, unreadable, _ in connection.execute(_SCHEMAS, [[*own, *built]]).fetchall():
        if schema in built and not is_owner:
            yield f"replace schema {schema}, which is another role's"
        elif schema in own and (not may_use or unreadable):
            yield f"read schema {schema}"


_PLACE = "SELECT current_database(), pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database())"
_DATABASE = """SELECT has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')"""
_SCHEMAS = """
    SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'),
        pg_has_role(n.nspowner, 'USAGE'),
        count(c.oid) FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')),
        count(c.oid) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE'))
    FROM pg_namespace AS n LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'v', 'm', 'p')
    WHERE n.nspname = ANY(%s) GROUP BY n.oid, n.nspname, n.nspowner ORDER BY n.nspname"""
