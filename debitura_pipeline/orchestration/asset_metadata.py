"""Static metadata of table assets: storage kind, full table name, columns. Metadata of runs is in `metadata.py`.

The definitions load even if the settings are invalid; a run then reports the error.
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
def _warehouse() -> tuple[str, str, str]:
    """The engine's kind as Dagster names it, the database's name, and the schema prefix."""
    try:
        url = load_settings().warehouse
    except SettingsError:
        return "duckdb", "warehouse", ""
    if url.dsn is not None:
        return "postgres", unquote(urlsplit(url.dsn.reveal()).path.lstrip("/")) or "postgres", url.schema_prefix
    return "duckdb", url.path.stem if url.path is not None else "warehouse", ""


def warehouse_kind() -> str:
    """The engine's kind as Dagster names it: `duckdb` or `postgres`."""
    return _warehouse()[0]


def asset_metadata(key: dg.AssetKey) -> dict[str, Any]:
    """`dagster/table_name` and, for tables that the pipeline writes itself, `dagster/column_schema`."""
    schema, name = key.path
    columns: dict[str, str] = {}
    if schema == "raw":
        columns = dict(current_columns(TABLES[name]))
    elif schema == "ops":
        columns = dict(OPS[name])
    shown = [TableColumn(column, sql_type.lower()) for column, sql_type in columns.items()]
    engine, database, prefix = _warehouse()
    table = f"{database}.{prefix}{schema}.{name}"
    if not shown:
        return {**TableMetadataSet(table_name=table, storage_kind=engine)}
    return {**TableMetadataSet(table_name=table, storage_kind=engine, column_schema=TableSchema(shown))}
