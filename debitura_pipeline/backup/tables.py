"""Dump and load schemas `raw` and `ops` of a Postgres warehouse as files in COPY text format, one per table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from debitura_pipeline.backup.archive import CHUNK
from debitura_pipeline.backup.manifest import BackupError, TableManifest
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
from debitura_pipeline.warehouse.tables import all_tables


def table_columns() -> dict[str, tuple[str, ...]]:
    """Every table that the pipeline writes, `schema.name`, and its columns."""
    return {f"{schema}.{name}": tuple(column for column, _ in columns) for schema, name, columns in all_tables()}


def count_rows(settings: Settings) -> dict[str, TableManifest]:
    """Number of rows and columns of each table. Raises WarehouseError."""
    with open_warehouse(settings, read_only=True) as warehouse:
        return {
            name: TableManifest(int(warehouse.rows(f"SELECT count(*) FROM {_sql(name)}")[0][0]), columns)
            for name, columns in table_columns().items()
        }


def dump_tables(settings: Settings, folder: Path) -> Iterator[tuple[str, Path]]:
    """Dump each table to a file, all from one snapshot; the caller may delete a file before asking for the next. Raises
    WarehouseError."""
    with open_warehouse(settings, read_only=True) as warehouse:
        assert isinstance(warehouse, PostgresWarehouse)
        with warehouse.snapshot():
            for name, columns in table_columns().items():
                path = folder / f"{name}.copy"
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                    for chunk in warehouse.copy_out(f"COPY {_sql(name)} ({_listed(columns)}) TO STDOUT"):
                        out.write(chunk)
                yield name, path


def load_tables(settings: Settings, tables: Mapping[str, TableManifest], folder: Path) -> None:
    """Replace the content of `raw` and `ops` with the files, in one transaction. Raises BackupError if rows are missing."""
    with open_warehouse(settings) as warehouse:
        assert isinstance(warehouse, PostgresWarehouse)
        with warehouse.transaction():
            for name in table_columns():
                warehouse.run(f"TRUNCATE {_sql(name)}")
                if name in tables:
                    statement = f"COPY {_sql(name)} ({_listed(tables[name].columns)}) FROM STDIN"
                    rows = warehouse.copy_in(statement, _chunks(folder / f"{name}.copy"))
                    if rows != tables[name].rows:
                        raise BackupError(
                            f"{name} came to {rows:,} rows instead of {tables[name].rows:,}; nothing was changed."
                        )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _sql(name: str) -> str:
    schema, _, table = name.partition(".")
    return f"{schema}.{quoted(table)}"


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(quoted(column) for column in columns)
