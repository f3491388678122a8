"""Copy a Postgres warehouse into a DuckDB file in one snapshot: tables, views and as-of functions.

Each table passes through a Parquet file, so nothing is held in memory. Views that only select columns stay views; others
become tables, since DuckDB might interpret their SQL differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import WarehouseUrl
from debitura_pipeline.warehouse.comments import batched, comment_on
from debitura_pipeline.warehouse.duckdb_engine import sql_literal
from debitura_pipeline.warehouse.exports import bounded
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.postgres.connection import connect, server_label
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.postgres.neighbours import MARK
from debitura_pipeline.warehouse.postgres.schemas import SCHEMAS, Schemas
from debitura_pipeline.warehouse.published_folder import WAREHOUSE

PART_FILE = ".part"  # the table that is being copied
# Literals and calls are what the engines read differently; without them a text is columns of relations, decimals with another
# precision, and their union.
_IS_PLAIN = re.compile(r"(?:[^'()]|\([\w.]+\)::numeric\(\d+,\d+\))+")

_RELATIONS = """
    SELECT n.nspname, c.relname, CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY array_position($1, n.nspname), c.relname"""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = ANY($1) ORDER BY table_schema, table_name, ordinal_position"""
_COMMENTS = """
    SELECT n.nspname, c.relname, coalesce(a.attname, ''), d.description FROM pg_catalog.pg_description AS d
    JOIN pg_catalog.pg_class AS c ON d.classoid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objoid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
    WHERE n.nspname = ANY($1)"""
_FUNCTIONS = """
    SELECT p.proname, pg_get_function_sqlbody(p.oid)
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = $1 AND p.proname LIKE '%\\_as\\_of' AND p.prosqlbody IS NOT NULL AND p.proargnames[1] = 'ts'"""


@dataclass(frozen=True)
class Relation:
    """A table or view with its columns and types; `definition` if it can be a view in DuckDB.

    `source`: its schema's name in the database.
    """

    source: str
    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    definition: str | None

    @property
    def sql(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"


def write_snapshot(database: WarehouseUrl, folder: Path) -> None:
    """Write `folder/warehouse.duckdb`. Raises WarehouseError if there is no warehouse or it cannot be read."""
    dsn, schemas = database.for_dbt, Schemas(database.schema_prefix)  # dbt's own role may read all five schemas
    warehouse = PostgresWarehouse(connect(dsn, "publisher", read_only=True), schemas)
    try:
        with warehouse.snapshot():
            if not warehouse.is_prepared():
                raise WarehouseError(
                    f"There is no warehouse at {server_label(dsn)} to publish. Run `debitura nightly` first."
                )
            with bounded(folder / WAREHOUSE) as file:
                _copy(warehouse, schemas, file, folder / PART_FILE)
    finally:
        warehouse.close()


def _copy(warehouse: PostgresWarehouse, schemas: Schemas, file: duckdb.DuckDBPyConnection, part: Path) -> None:
    relations = _relations(warehouse, schemas)
    for schema in SCHEMAS:
        file.execute(f"CREATE SCHEMA {schema}")
    for one in relations:
        if one.definition is None:
            _copy_table(warehouse, file, one, part)
    for one in relations:
        if one.definition is not None:
            file.execute(f"CREATE VIEW {one.sql} AS {one.definition}")
    for sql in batched(list(_comments(warehouse, relations))):
        file.execute(sql)
    for name, body in warehouse.rows(_FUNCTIONS, (schemas.named("marts"),)):
        query = (
            schemas.translated_back(body)
            .strip()
            .removeprefix("BEGIN ATOMIC")
            .removesuffix("END")
            .strip()
            .removesuffix(";")
        )
        query = query.replace(f"{name}.ts", "CAST(ts AS TIMESTAMPTZ)")
        file.execute(f"CREATE MACRO marts.{quoted(name)}(ts) AS TABLE {query}")


def _relations(warehouse: PostgresWarehouse, schemas: Schemas) -> list[Relation]:
    """In an order in which each view follows those that it reads."""
    names = [schemas.named(schema) for schema in SCHEMAS]
    columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, name, column, kind in warehouse.rows(_COLUMNS, (names,)):
        columns.setdefault((schema, name), []).append((column, kind))
    return [
        Relation(
            source,
            schemas.plain(source),
            name,
            tuple(columns[source, name]),
            schemas.translated_back(definition) if definition and _is_view(schemas.plain(source), definition) else None,
        )
        for source, name, definition in warehouse.rows(_RELATIONS, (names,))
        if (source, name) in columns
    ]


def _comments(warehouse: PostgresWarehouse, relations: list[Relation]) -> Iterator[str]:
    """The comments of what was copied, without the mark, which says something of the database alone."""
    copied = {(one.source, one.name): one for one in relations}
    for source, name, column, text in warehouse.rows(_COMMENTS, (sorted({one.source for one in relations}),)):
        comment = text.removesuffix(MARK).rstrip()
        if (source, name) in copied and comment:
            one = copied[source, name]
            yield comment_on(one.schema, name, column, "VIEW" if one.definition else "TABLE", comment)


def _is_view(schema: str, definition: str) -> bool:
    return schema in ("raw", "staging") and _IS_PLAIN.fullmatch(definition) is not None


def _copy_table(warehouse: PostgresWarehouse, file: duckdb.DuckDBPyConnection, one: Relation, part: Path) -> None:
    names = ", ".join(quoted(column) for column, _ in one.columns)
    shown = ", ".join(
        f"CAST({quoted(column)} AS JSON) AS {quoted(column)}" if kind in ("json", "jsonb") else quoted(column)
        for column, kind in one.columns
    )
    warehouse.export(f"SELECT {names} FROM {quoted(one.source)}.{quoted(one.name)}", part)
    source = f"read_parquet({sql_literal(str(part))}, hive_partitioning = false)"
    file.execute(f"CREATE TABLE {one.sql} AS SELECT {shown} FROM {source}")
    part.unlink()
