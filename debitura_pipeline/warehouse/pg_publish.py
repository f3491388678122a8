"""A Postgres warehouse as files: a DuckDB file of all its tables and views, and a Parquet file of each, one moment in all.

Belongs here: taking that copy. Does not: giving the files their names (`publish.py`, which calls this). Tables pass through
Parquet, so nothing is held in memory; views become tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.duckdb import MEMORY_LIMIT, literal
from debitura_pipeline.warehouse.merge import quoted
from debitura_pipeline.warehouse.pg_connect import connect, place
from debitura_pipeline.warehouse.postgres import PostgresWarehouse

SCHEMAS = ("raw", "ops", "staging", "marts", "reports")

_COLUMNS = """
    SELECT c.table_schema, c.table_name, c.column_name, c.data_type FROM information_schema.columns AS c
    JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = ANY($1) ORDER BY c.table_schema, c.table_name, c.ordinal_position"""


@dataclass(frozen=True)
class Copied:
    """A table or view and the Parquet file that holds it."""

    schema: str
    name: str
    path: Path


def copy_out(database: WarehouseUrl, draft: Path) -> list[Copied]:
    """Write the DuckDB file `draft`, and beside it `<draft>.<schema>.<table>` of each table and view."""
    dsn = database.dbt_dsn or database.dsn  # dbt's own role, where there is one, may read all five schemas
    if dsn is None:
        raise ValueError("a copy is taken of a Postgres warehouse only")
    warehouse = PostgresWarehouse(connect(dsn, "publisher", read_only=True))
    try:
        with warehouse.snapshot():
            if not warehouse.is_prepared():
                raise WarehouseError(f"There is no warehouse at {place(dsn)} to publish. Run `debitura nightly` first.")
            tables = _tables(warehouse)
            copied = [Copied(schema, name, draft.with_name(f"{draft.name}.{schema}.{name}")) for schema, name in tables]
            for one in copied:
                names = ", ".join(quoted(column) for column, _ in tables[one.schema, one.name])
                warehouse.export(f"SELECT {names} FROM {quoted(one.schema)}.{quoted(one.name)}", one.path)
    finally:
        warehouse.close()
    try:
        _assemble(draft, [(one, tables[one.schema, one.name]) for one in copied])
    except duckdb.Error as error:
        raise WarehouseError(f"The published copy could not be made: {type(error).__name__}.") from error
    return copied


def _tables(warehouse: PostgresWarehouse) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Columns and their types by schema and table."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, table, column, kind in warehouse.rows(_COLUMNS, (list(SCHEMAS),)):
        found.setdefault((schema, table), []).append((column, kind))
    return found


def _assemble(draft: Path, tables: Sequence[tuple[Copied, list[tuple[str, str]]]]) -> None:
    with duckdb.connect(draft, config={"memory_limit": MEMORY_LIMIT, "threads": 1}) as file:
        file.execute("SET TimeZone = 'UTC'")
        file.execute("SET preserve_insertion_order = false")
        for schema in SCHEMAS:
            file.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for one, columns in tables:
            shown = ", ".join(
                f"CAST({quoted(column)} AS JSON) AS {quoted(column)}" if kind in ("json", "jsonb") else quoted(column)
                for column, kind in columns
            )
            file.execute(
                f"CREATE TABLE {quoted(one.schema)}.{quoted(one.name)} AS "
                f"SELECT {shown} FROM read_parquet({literal(str(one.path))}, hive_partitioning = false)"
            )
