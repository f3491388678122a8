"""Export marts and reports from a copied warehouse: one DuckDB file, and a Parquet file per table.

Memory is bounded regardless of row count and width: one thread, small row groups, no order kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.warehouse.comments import batched, comment_on
from debitura_pipeline.warehouse.duckdb_engine import sql_literal
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.published_folder import REPORTS, WAREHOUSE

SCHEMAS = ("marts", "reports")
_COMMENTS = """
    SELECT schema_name, table_name, '', comment FROM duckdb_tables() WHERE database_name = 'whole'
    UNION ALL SELECT schema_name, view_name, '', comment FROM duckdb_views() WHERE database_name = 'whole'
    UNION ALL SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE database_name = 'whole'"""
# DuckDB names an opened file's database after the file, and a database `reports` with a schema `reports` makes the name
# ambiguous in queries. So the file has another name, and `reports.duckdb` is a link to it: DuckDB goes by the file's own.
REPORTS_FILE = "debitura.duckdb"
# What DuckDB may buffer; with Python, Arrow and what DuckDB does not count, the process stays below 300 MiB.
MEMORY_LIMIT = "128MiB"
# Parquet is written a row group at a time, each held whole: of 60 columns, DuckDB's own 122,880 rows take over 100 MiB.
ROW_GROUP_ROWS = 20_480
ROW_GROUP_BYTES = "16MiB"
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"  # in UTC, as the connection is


def export_marts(folder: Path, *, with_csv: bool = False) -> None:
    """Write `reports.duckdb` and a `<table>.parquet` for each table and view in marts and reports of
    `folder/warehouse.duckdb`; `with_csv`: a `<table>.csv`, too.

    Raises WarehouseError if both schemas have a table of the same name, duckdb.Error if writing fails.
    """
    with bounded(folder / REPORTS_FILE) as connection:
        connection.execute(f"ATTACH {sql_literal(str(folder / WAREHOUSE))} AS whole (READ_ONLY)")
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = 'whole' "
            "AND table_schema IN ('marts', 'reports') ORDER BY table_name, table_schema"
        ).fetchall()
        if len({name for _, name in tables}) < len(tables):
            raise WarehouseError(f"Schemas {' and '.join(SCHEMAS)} hold tables of the same name; rename one.")
        for schema in SCHEMAS:
            connection.execute(f"CREATE SCHEMA {schema}")
        for schema, name in tables:
            table = f"{quoted(schema)}.{quoted(name)}"
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM whole.{table}")
            write_parquet(connection, f"SELECT * FROM whole.{table}", folder / f"{name}.parquet")
            if with_csv:
                write_csv(connection, f"SELECT * FROM whole.{table}", folder / f"{name}.csv")
        _copy_comments(connection)
    (folder / REPORTS).symlink_to(REPORTS_FILE)


def _copy_comments(connection: duckdb.DuckDBPyConnection) -> None:
    found = connection.execute(_COMMENTS).fetchall()
    statements = [
        comment_on(schema, table, column, "TABLE", comment)
        for schema, table, column, comment in found
        if schema in SCHEMAS and comment
    ]
    for sql in batched(statements):
        connection.execute(sql)


def write_parquet(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    connection.execute(
        f"COPY ({sql}) TO {sql_literal(str(path))} (FORMAT parquet, COMPRESSION zstd, "
        f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}, ROW_GROUP_SIZE_BYTES '{ROW_GROUP_BYTES}')"
    )


def write_csv(connection: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """RFC 4180 in UTF-8, with a header. Null is nothing, an empty text is `""`; values are as they are, formulas too."""
    connection.execute(
        f"COPY ({sql}) TO {sql_literal(str(path))} (FORMAT csv, HEADER, NEW_LINE '\\r\\n', TIMESTAMPFORMAT '{INSTANT}')"
    )


def newest_reading(warehouse: Path) -> datetime | None:
    """The API's clock at the last complete sync of the resource that was synced longest ago; None if a resource never was."""
    with duckdb.connect(warehouse, read_only=True) as connection:
        found = connection.execute(
            "SELECT max(epoch_us(as_of)) FROM ops.syncs WHERE status = 'done' AND mode <> 'client' GROUP BY resource"
        ).fetchall()
    instants = [microseconds for (microseconds,) in found if microseconds is not None]
    return datetime.fromtimestamp(min(instants) / 1e6, UTC) if len(instants) == len(TABLES) else None


@contextmanager
def bounded(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB file opened for writing with bounded memory, and a spill folder next to it."""
    spill = path.with_name(".spill")
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": 1,
        "temp_directory": str(spill),
    }
    with duckdb.connect(path, config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET enable_external_file_cache = false")
        yield connection
    if spill.exists():
        spill.rmdir()
