"""What Dagster's UI shows of tables before anything has run: engine, full name, columns.

Belongs here: facts that hold for as long as the settings do. Does not: figures of a run (`metadata.py`). Settings that are wrong
are told where they are used; the definitions load all the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg
from dagster import TableColumn, TableSchema
from dagster._core.definitions.metadata import TableMetadataSet

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.tables import OPS, current_columns


@cache
def warehouse() -> tuple[str, str, str]:
    """The kind of the engine as Dagster calls it, the database's name, and what schemas' names begin with."""
    try:
        url = load_settings().warehouse
    except SettingsError:
        return "duckdb", "warehouse", ""
    if url.dsn is not None:
        return "postgres", unquote(urlsplit(url.dsn.reveal()).path.lstrip("/")) or "postgres", url.schema_prefix
    return "duckdb", url.path.stem if url.path is not None else "warehouse", ""


def table_metadata(key: dg.AssetKey) -> dict[str, Any]:
    """`dagster/table_name` and, for tables that the pipeline writes itself, `dagster/column_schema`."""
    schema, name = key.path
    columns: dict[str, str] = {}
    if schema == "raw":
        columns = dict(current_columns(TABLES[name]))
    elif schema == "ops":
        columns = dict(OPS[name])
    shown = [TableColumn(column, sql_type.lower()) for column, sql_type in columns.items()]
    engine, database, prefix = warehouse()
    table = f"{database}.{prefix}{schema}.{name}"
    if not shown:
        return {**TableMetadataSet(table_name=table, storage_kind=engine)}
    return {**TableMetadataSet(table_name=table, storage_kind=engine, column_schema=TableSchema(shown))}
