"""Where `debitura report` reads from: the published night, which no run locks or changes; before the first one, the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.report.read import ReportSource
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import FUNCTION
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.published_folder import WAREHOUSE
from debitura_pipeline.warehouse.published_reader import (
    DATABASE,
    first_line,
    open_published,
    published_columns,
    published_tables,
)


class _Published:
    """The published file as a ReportSource."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._connection.execute(f"USE {DATABASE}.reports" if self._has_reports() else f"USE {DATABASE}")

    def _has_reports(self) -> bool:
        return any(schema == "reports" for schema, _ in published_tables(self._connection))

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, list(params)).fetchall()
        except duckdb.Error as error:
            raise WarehouseError(f"The published file cannot be read: {first_line(error)}") from error

    def tables(self) -> set[str]:
        return {f"{schema}.{name}" for schema, name in published_tables(self._connection)}

    def columns(self, schema: str, table: str) -> list[str]:
        return published_columns(self._connection, schema, table)

    def has_function(self, schema: str, name: str) -> bool:
        return bool(self.rows(FUNCTION, (schema, name)))


@contextmanager
def open_source(settings: Settings) -> Iterator[ReportSource]:
    """The newest published night, or the warehouse if nothing was published. Raises WarehouseError."""
    if (settings.published_dir / WAREHOUSE).is_file():
        with open_published(settings.published_dir) as connection:
            yield _Published(connection)
    else:
        with open_warehouse(settings, read_only=True) as warehouse:
            yield warehouse
