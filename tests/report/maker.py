"""A DuckDB file with the pipeline's schemas, empty: report tables with exactly the columns that the dbt contracts promise.

The contract is read from dbt's own files, so a renamed column fails here and not on a partner's page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import yaml

from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.warehouse.base import FUNCTION
from debitura_pipeline.warehouse.tables import create_statements


class TableMaker:
    """A DuckDB file with the five schemas; `insert` takes column names and refuses unknown ones by itself."""

    def __init__(self, path: Path) -> None:
        self._open = duckdb.connect(str(path))
        self._waiting: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
        self.connection.execute("SET TimeZone = 'UTC'")
        for statement in create_statements():
            self.connection.execute(statement)
        for schema in ("marts", "reports"):
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            for file in sorted((PROJECT_ROOT / "dbt/models" / schema).glob("*.yml")):
                (model,) = yaml.load(file.read_text(), yaml.CSafeLoader)["models"]
                columns = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in model["columns"])
                self.connection.execute(f"CREATE TABLE {schema}.{model['name']} ({columns})")

    def insert(self, table: str, **values: Any) -> None:
        """Rows wait until the connection is used: one statement for many is a hundred times faster."""
        self._waiting.setdefault((table, tuple(values)), []).append(list(values.values()))

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        waiting, self._waiting = self._waiting, {}
        for (table, columns), rows in waiting.items():
            names, marks = ", ".join(f'"{name}"' for name in columns), f"({', '.join('?' * len(columns))})"
            values = [value for row in rows for value in row]
            self._open.execute(f"INSERT INTO {table} ({names}) VALUES {', '.join([marks] * len(rows))}", values)
        return self._open

    def rows(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, list(params)).fetchall()

    def tables(self) -> set[str]:
        found = self.rows("SELECT table_schema, table_name FROM information_schema.tables")
        return {f"{schema}.{name}" for schema, name in found}

    def columns(self, schema: str, table: str) -> list[str]:
        asked = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
        return [name for (name,) in self.rows(asked, (schema, table))]

    def has_function(self, schema: str, name: str) -> bool:
        return bool(self.rows(FUNCTION, (schema, name)))


@contextmanager
def tables(path: Path) -> Iterator[TableMaker]:
    maker = TableMaker(path)
    try:
        yield maker
    finally:
        maker.connection.close()
