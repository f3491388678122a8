"""DuckDB in memory: one warehouse per process, and engines lent to whoever asks `duckdb` for one.

Starting an engine takes longer than a small world's use of it. The statements, and DuckDB itself, are the real ones; a
connection is closed as a file's would be, and what it had not committed is undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from tests.simulation.crash import Deaths
from tests.simulation.first_night import Tables

# Settings of the whole database, made once with it: threads that start and end with each opening cost more than a merge.
SHARED = ("SET threads", "SET memory_limit", "SET temp_directory")
HISTORIES_PER_DATABASE = 40  # deleted rows stay in memory, and are looked through


class Prepared(DuckDbWarehouse):
    """A warehouse whose tables are there already, so that each opening need not look."""

    def prepare(self) -> None:
        """It was done when the database was made."""


class MemoryWarehouse:
    """The warehouse's tables, made once and emptied between histories; each opening is a connection of its own."""

    def __init__(self, spill: Path, deaths: Deaths) -> None:
        self._spill, self._deaths = spill, deaths
        self._open: list[duckdb.DuckDBPyConnection] = []
        self._used = 0
        self._make()

    def _make(self) -> None:
        self._root = duckdb.connect(":memory:", config={"threads": 1})
        self.own = DuckDbWarehouse(self._root, self._spill)
        self._root.execute("SET threads = 1")
        self.own.prepare()
        self._tables = set(self._names())

    def empty(self) -> None:
        """As it was made, whatever was done to it."""
        self._used += 1
        if self._used % HISTORIES_PER_DATABASE == 0 or set(self._names()) != self._tables:
            self._root.close()
            self._make()
            return
        for schema, name in self._tables:
            self._root.execute(f'DELETE FROM "{schema}"."{name}"')

    def saved(self) -> Tables:
        """All rows, of the tables that have any."""
        found = {
            (schema, name): self._root.execute(f'SELECT * FROM "{schema}"."{name}"').to_arrow_table()
            for schema, name in self._tables
        }
        return {name: rows for name, rows in found.items() if rows.num_rows}

    def fill(self, tables: Tables) -> None:
        """Put saved rows into tables that are empty."""
        for (schema, name), rows in tables.items():
            self._root.register("saved_rows", rows)
            self._root.execute(f'INSERT INTO "{schema}"."{name}" SELECT * FROM saved_rows')
            self._root.unregister("saved_rows")

    @contextmanager
    def connection(self) -> Iterator[DuckDbWarehouse]:
        self._spill.mkdir(exist_ok=True)
        cursor = self._root.cursor()
        self._open.append(cursor)
        warehouse = Prepared(Watched(cursor, self._deaths), self._spill)  # type: ignore[arg-type]
        try:
            yield warehouse
        finally:
            cursor.close()
            self._open.remove(cursor)

    def drop_connections(self) -> None:
        for cursor in self._open:
            cursor.close()
        self._open.clear()

    def close(self) -> None:
        self._root.close()

    def _names(self) -> list[tuple[Any, ...]]:
        return self._root.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT temporary").fetchall()


class Watched:
    """A connection whose statements are points at which a process may die."""

    def __init__(self, own: duckdb.DuckDBPyConnection, deaths: Deaths) -> None:
        self._own, self._deaths = own, deaths

    def execute(self, sql: str, *params: Any) -> duckdb.DuckDBPyConnection:
        if sql.startswith(SHARED):
            return self._own
        self._deaths.statement(sql)
        done = self._own.execute(sql, *params)
        if sql == "COMMIT":
            self._deaths.committed()
        return done

    def executemany(self, sql: str, *params: Any) -> duckdb.DuckDBPyConnection:
        self._deaths.statement(sql)
        return self._own.executemany(sql, *params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class Engines:
    """Stands in for the module `duckdb`: each `connect` is a connection to a database of its own, in one engine."""

    def __init__(self) -> None:
        self._root = duckdb.connect(":memory:", config={"threads": 1})
        self._root.execute("SET TimeZone = 'UTC'")
        # The files of histories that are over would stay in it.
        self._root.execute("SET enable_external_file_cache = false")
        self._made = 0
        self._lent: list[Lent] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(duckdb, name)

    def connect(self, database: str = ":memory:", **_: Any) -> Lent:
        assert database == ":memory:", "only engines in memory are lent"
        self._made += 1
        lent = Lent(self._root, f"lent_{self._made}", self._lent)
        self._lent.append(lent)
        return lent

    def drop_all(self) -> None:
        for lent in list(self._lent):
            lent.close()

    def close(self) -> None:
        self._root.close()


class Lent:
    """A lent engine; closing it drops its database with all that was made in it."""

    def __init__(self, root: duckdb.DuckDBPyConnection, name: str, lent: list[Lent]) -> None:
        self._root, self._name, self._lent = root, name, lent
        root.execute(f"ATTACH ':memory:' AS {name}")
        self._own = root.cursor()
        self._own.execute(f"USE {name}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self in self._lent:
            self._lent.remove(self)
            self._own.close()
            self._root.execute(f"DETACH {self._name}")
