"""A Postgres warehouse as a DuckDB file: its tables, views and as-of functions, one moment in all.

Each table passes through a Parquet file, so nothing is held in memory. A view that only names columns stays a view; any
other becomes a table, since its text may mean something else to DuckDB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.duckdb import literal
from debitura_pipeline.warehouse.exports import bounded
from debitura_pipeline.warehouse.merge import quoted
from debitura_pipeline.warehouse.pg_connect import connect, place
from debitura_pipeline.warehouse.postgres import PostgresWarehouse
from debitura_pipeline.warehouse.published import WAREHOUSE

PART = ".part"  # the table that is being copied
SCHEMAS = ("raw", "ops", "staging", "marts", "reports")
# Literals and calls are what the engines read differently; without them a text is columns of relations and their union.
_IS_PLAIN = re.compile(r"[^'()]+")

_RELATIONS = """
    SELECT n.nspname, c.relname, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY array_position($1, n.nspname), c.relname"""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = ANY($1) ORDER BY table_schema, table_name, ordinal_position"""
_FUNCTIONS = """
    SELECT n.nspname, p.proname, pg_get_function_sqlbody(p.oid)
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = 'marts' AND p.proname LIKE '%\\_as\\_of' AND p.prosqlbody IS NOT NULL AND p.proargnames[1] = 'ts'"""


@dataclass(frozen=True)
class Relation:
    """A table or view with its columns and their types; `definition` where it can be a view in DuckDB, too."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    definition: str | None

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def copy_out(database: WarehouseUrl, folder: Path) -> None:
    """Write `folder/warehouse.duckdb`. Raises WarehouseError where there is no warehouse or it refuses to be read."""
    dsn = database.dbt_dsn or database.dsn  # dbt's own role, where there is one, may read all five schemas
    if dsn is None:
        raise ValueError("a copy is taken of a Postgres warehouse only")
    warehouse = PostgresWarehouse(connect(dsn, "publisher", read_only=True))
    try:
        with warehouse.snapshot():
            if not warehouse.is_prepared():
                raise WarehouseError(f"There is no warehouse at {place(dsn)} to publish. Run `debitura nightly` first.")
            with bounded(folder / WAREHOUSE) as file:
                _copy(warehouse, file, folder / PART)
    finally:
        warehouse.close()


def _copy(warehouse: PostgresWarehouse, file: duckdb.DuckDBPyConnection, part: Path) -> None:
    relations = _relations(warehouse)
    for schema in SCHEMAS:
        file.execute(f"CREATE SCHEMA {schema}")
    for one in relations:
        if one.definition is None:
            _copy_table(warehouse, file, one, part)
    for one in relations:
        if one.definition is not None:
            file.execute(f"CREATE VIEW {one.sql} AS {one.definition}")
    for schema, name, body in warehouse.rows(_FUNCTIONS):
        query = body.strip().removeprefix("BEGIN ATOMIC").removesuffix("END").strip().removesuffix(";")
        query = query.replace(f"{name}.ts", "CAST(ts AS TIMESTAMPTZ)")
        file.execute(f"CREATE MACRO {quoted(schema)}.{quoted(name)}(ts) AS TABLE {query}")


def _relations(warehouse: PostgresWarehouse) -> list[Relation]:
    """In an order in which each view finds those that it reads."""
    columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, name, column, kind in warehouse.rows(_COLUMNS, (list(SCHEMAS),)):
        columns.setdefault((schema, name), []).append((column, kind))
    return [
        Relation(
            schema,
            name,
            tuple(columns[schema, name]),
            definition if definition and schema in ("raw", "staging") and _IS_PLAIN.fullmatch(definition) else None,
        )
        for schema, name, definition in warehouse.rows(_RELATIONS, (list(SCHEMAS),))
        if (schema, name) in columns
    ]


def _copy_table(warehouse: PostgresWarehouse, file: duckdb.DuckDBPyConnection, one: Relation, part: Path) -> None:
    names = ", ".join(quoted(column) for column, _ in one.columns)
    shown = ", ".join(
        f"CAST({quoted(column)} AS JSON) AS {quoted(column)}" if kind in ("json", "jsonb") else quoted(column)
        for column, kind in one.columns
    )
    warehouse.export(f"SELECT {names} FROM {one.sql}", part)
    source = f"read_parquet({literal(str(part))}, hive_partitioning = false)"
    file.execute(f"CREATE TABLE {one.sql} AS SELECT {shown} FROM {source}")
    part.unlink()
