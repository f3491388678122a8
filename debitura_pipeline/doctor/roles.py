"""Postgres: may the pipeline's role and dbt's do what a night needs? Asked of the server's catalogue, nothing is tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_error, well
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import connect, server_label
from debitura_pipeline.warehouse.postgres.roles import DBT, PIPELINE
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS, Schemas
from debitura_pipeline.warehouse.tables import SCHEMAS

NO_WAIT_S = 0.0
WELL = (True, True, True, None, 0, 0, None)  # of a schema that is not there yet


@dataclass(frozen=True)
class Lack:
    """What a user may not do, as it ends `may not …`. `owner`: whose schema or tables it is about; None: the database."""

    told: str
    owner: str | None = None


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
                yield bad(
                    dsn.variable, f"{server_label(dsn)} is another database than that of DEBITURA_WAREHOUSE.", cure
                )
                return
            yield _judged(dsn, connection, list(_of_dbt(connection, Schemas(settings.warehouse.schema_prefix))))
    except DebituraError as error:
        yield of_error(dsn.variable, error, settings)


def _judged(dsn: Secret, connection: psycopg.Connection[Any], lacking: list[Lack]) -> Diagnosis:
    user, what = connection.info.user, f"rights in {dsn.variable}"
    if not lacking:
        return well(what, f"user {user} at {server_label(dsn)} may do what a night needs")
    seen = f"user {user} at {server_label(dsn)} may not {', nor '.join(lack.told for lack in lacking)}."
    return bad(what, seen, _cure(dsn, user, connection.info.dbname, lacking))


def _cure(dsn: Secret, user: str, database: str, lacking: list[Lack]) -> str:
    """The grant script is for its own roles: to any other user it gives nothing."""
    if user in (PIPELINE, DBT):
        return "As an administrator, run the SQL that `debitura doctor --grant-sql` prints in that database."
    owners = sorted({lack.owner for lack in lacking if lack.owner is not None})
    if owners:
        return (
            f"Set {dsn.variable} to the user that it belongs to ({' or '.join(owners)}), or set DEBITURA_SCHEMA_PREFIX for schemas "
            f"of your own. `debitura doctor --grant-sql` does not help {user}: it is for the roles that it makes."
        )
    names = (sql.Identifier(name).as_string() for name in (database, user))
    return (
        "As an administrator: GRANT CREATE, TEMPORARY ON DATABASE {} TO {}. Or run the SQL that `debitura doctor --grant-sql` "
        "prints, and connect as the roles that it makes: ".format(*names)
        + f"{PIPELINE} in DEBITURA_WAREHOUSE, {DBT} in DEBITURA_DBT_URL."
    )


def _of_pipeline(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[Lack]:
    """What the role lacks to make and fill its schemas and to read what dbt has built."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, DBT_SCHEMAS)]
    may_create, may_stage = connection.execute(_DATABASE).fetchone() or (False, False)
    found = {name: facts for name, *facts in connection.execute(_SCHEMAS, [[*own, *built]]).fetchall()}
    missing = [schema for schema in own if schema not in found]
    if missing and not may_create:
        yield Lack(f"create the schemas {', '.join(missing)} (CREATE on the database)")
    if not may_stage:
        yield Lack("make temporary tables (TEMPORARY on the database)")
    for schema in own:
        may_use, may_make, _, owner, _, foreign, owner_of_foreign = found.get(schema, WELL)
        if not may_use or not may_make:
            yield Lack(f"use and create in schema {schema}", owner)
        elif foreign:
            yield Lack(f"change {foreign} tables in {schema}, which are another role's", owner_of_foreign)
    for schema in built:
        may_use, _, _, owner, unreadable, _, _ = found.get(schema, WELL)
        if not may_use or unreadable:
            yield Lack(f"read schema {schema}", owner)


def _of_dbt(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[Lack]:
    """What the role lacks to read `raw` and `ops` and to build and replace the rest."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, DBT_SCHEMAS)]
    may_create, _ = connection.execute(_DATABASE).fetchone() or (False, False)
    if not may_create:
        yield Lack("create schemas to build in (CREATE on the database)")
    for schema, may_use, _, is_owner, owner, unreadable, _, _ in connection.execute(_SCHEMAS, [[*own, *built]]):
        if schema in built and not is_owner:
            yield Lack(f"replace schema {schema}, which is another role's", owner)
        elif schema in own and (not may_use or unreadable):
            yield Lack(f"read schema {schema}", owner)


_PLACE = "SELECT current_database(), pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database())"
_DATABASE = """SELECT has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP')"""
_SCHEMAS = """
    SELECT n.nspname, has_schema_privilege(n.oid, 'USAGE'), has_schema_privilege(n.oid, 'CREATE'),
        pg_has_role(n.nspowner, 'USAGE'), pg_get_userbyid(n.nspowner),
        count(c.oid) FILTER (WHERE NOT has_table_privilege(c.oid, 'SELECT')),
        count(c.oid) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE')),
        min(pg_get_userbyid(c.relowner)::text) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE'))
    FROM pg_namespace AS n LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'v', 'm', 'p')
    WHERE n.nspname = ANY(%s) GROUP BY n.oid, n.nspname, n.nspowner ORDER BY n.nspname"""
