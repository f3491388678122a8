"""Check the privileges of the pipeline's and dbt's Postgres roles by the server's catalogue; nothing is executed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Secret, Settings
from debitura_pipeline.warehouse.postgres.connection import connect, server_label
from debitura_pipeline.warehouse.postgres.roles import Roles, roles_of
from debitura_pipeline.warehouse.postgres.row_security import how_to_show_rows, partly_hidden_tables
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS, Schemas
from debitura_pipeline.warehouse.tables import SCHEMAS

NO_WAIT_S = 0.0
ALL_GRANTED = (True, True, True, None, 0, 0, None)  # for a schema that does not exist yet


@dataclass(frozen=True)
class MissingPrivilege:
    """What a user may not do, as the end of `may not …`. `owner`: owner of the schema or tables; None for the database."""

    action: str
    owner: str | None = None


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check both roles on Postgres; nothing on DuckDB. Failed logins are reported by the check of the warehouse."""
    dsn, dbt = settings.warehouse.dsn, settings.warehouse.dbt_dsn
    if dsn is None:
        return
    schemas = Schemas(settings.warehouse.schema_prefix)
    try:
        with connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
            where = connection.execute(_PLACE).fetchone()
            lacking = [*_of_pipeline(connection, schemas), *(() if dbt else _of_dbt(connection, schemas))]
            yield _judged(dsn, connection, lacking, roles_of(settings.partner), schemas)
    except DebituraError:  # reported by the check of the warehouse
        if dbt is not None:
            yield from _dbt_login(dbt, settings, None)
        return
    if dbt is not None:
        yield from _dbt_login(dbt, settings, where)


def _dbt_login(dsn: Secret, settings: Settings, where: Any) -> Iterator[Diagnosis]:
    try:
        with connect(dsn, "doctor", read_only=True, wait_s=NO_WAIT_S) as connection:
            if where is not None and connection.execute(_PLACE).fetchone() != where:
                cure = "Both must name the same server and database, each with its own user."
                yield failed(dsn.variable, f"{server_label(dsn)} is not the database of DEBITURA_WAREHOUSE.", cure)
                return
            schemas = Schemas(settings.warehouse.schema_prefix)
            lacking = list(_of_dbt(connection, schemas))
            yield _judged(dsn, connection, lacking, roles_of(settings.partner), schemas)
    except DebituraError as error:
        yield from_error(dsn.variable, error, settings)


def _judged(
    dsn: Secret,
    connection: psycopg.Connection[Any],
    lacking: list[MissingPrivilege],
    roles: Roles,
    schemas: Schemas,
) -> Diagnosis:
    user, what = connection.info.user, f"privileges in {dsn.variable}"
    if hidden := partly_hidden_tables(connection, schemas):
        seen = f"row-level security may hide rows of {', '.join(hidden)} from user {user} at {server_label(dsn)}."
        return failed(what, seen, how_to_show_rows(connection))
    if not lacking:
        return passed(what, f"user {user} at {server_label(dsn)} has all privileges that a nightly run needs")
    seen = f"user {user} at {server_label(dsn)} may not {', nor '.join(each.action for each in lacking)}."
    return failed(what, seen, _cure(dsn, user, connection.info.dbname, lacking, roles))


def _cure(dsn: Secret, user: str, database: str, lacking: list[MissingPrivilege], roles: Roles) -> str:
    """The fix. `--grant-sql` grants to the roles that it creates, so it does not help any other user."""
    if user in roles[:2]:
        return "As an administrator, run the output of `debitura doctor --grant-sql` in that database."
    owners = sorted({each.owner for each in lacking if each.owner is not None})
    if owners:
        return (
            f"Set {dsn.variable} to the owner ({' or '.join(owners)}), or set DEBITURA_SCHEMA_PREFIX to use separate schemas. "
            f"`debitura doctor --grant-sql` does not help {user}: it grants to the roles that it creates."
        )
    names = (sql.Identifier(name).as_string() for name in (database, user))
    return (
        "As an administrator: GRANT CREATE, TEMPORARY ON DATABASE {} TO {}. Or run the output of `debitura doctor --grant-sql` "
        "and connect as the roles that it creates: ".format(*names)
        + f"{roles.pipeline} in DEBITURA_WAREHOUSE, {roles.dbt} in DEBITURA_DBT_URL."
    )


def _of_pipeline(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[MissingPrivilege]:
    """Missing privileges of the pipeline's role: create and write its schemas, read dbt's."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, DBT_SCHEMAS)]
    may_create, may_stage = connection.execute(_DATABASE).fetchone() or (False, False)
    found = {name: facts for name, *facts in connection.execute(_SCHEMAS, [[*own, *built]]).fetchall()}
    missing = [schema for schema in own if schema not in found]
    if missing and not may_create:
        yield MissingPrivilege(f"create the schemas {', '.join(missing)} (CREATE on the database)")
    if not may_stage:
        yield MissingPrivilege("create temporary tables (TEMPORARY on the database)")
    for schema in own:
        may_use, may_make, _, owner, _, foreign, owner_of_foreign = found.get(schema, ALL_GRANTED)
        if not may_use or not may_make:
            yield MissingPrivilege(f"use and create in schema {schema}", owner)
        elif foreign:
            yield MissingPrivilege(
                f"change {foreign} tables in {schema}, which belong to another role", owner_of_foreign
            )
    for schema in built:
        may_use, _, _, owner, unreadable, _, _ = found.get(schema, ALL_GRANTED)
        if not may_use or unreadable:
            yield MissingPrivilege(f"read schema {schema}", owner)


def _of_dbt(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[MissingPrivilege]:
    """Missing privileges of dbt's role: read `raw` and `ops`, build and replace the other schemas."""
    own, built = [*map(schemas.named, SCHEMAS)], [*map(schemas.named, DBT_SCHEMAS)]
    may_create, _ = connection.execute(_DATABASE).fetchone() or (False, False)
    if not may_create:
        yield MissingPrivilege("create schemas to build in (CREATE on the database)")
    for schema, may_use, _, is_owner, owner, unreadable, _, _ in connection.execute(_SCHEMAS, [[*own, *built]]):
        if schema in built and not is_owner:
            yield MissingPrivilege(f"replace schema {schema}, which belongs to another role", owner)
        elif schema in own and (not may_use or unreadable):
            yield MissingPrivilege(f"read schema {schema}", owner)


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
