"""A warehouse in outline: it keeps the rows that are live, as landed files and names of gone keys make them.

Belongs here: the merge's outcome, in one statement. Does not: history, quarantine, guards, records, control totals; those
have tests of their own (`tests/warehouse`), and one history in twenty runs on the real warehouse. What the extraction asks
of a warehouse is answered by the same SQL as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from debitura_pipeline.landing.contract import TABLES
from debitura_pipeline.warehouse.base import FailedSync, LandedSync, MergeCounts

TABLE_NAMES = (*(f"raw.{resource}" for resource in TABLES), "ops.syncs")
SYNCS = "resource VARCHAR, mode VARCHAR, status VARCHAR, upper_bound TIMESTAMPTZ"


class SketchWarehouse:
    """`raw` with live rows alone, and of `ops` the syncs' bounds."""

    def __init__(self) -> None:
        self._own = duckdb.connect(":memory:", config={"threads": 1})
        self._own.execute("SET TimeZone = 'UTC'")
        self._own.execute("CREATE SCHEMA raw; CREATE SCHEMA ops")

    def prepare(self) -> None:
        """The tables are there."""

    def empty(self) -> None:
        for table in TABLES.values():
            columns = ", ".join(f'"{column.name}" {column.kind.sql}' for column in table.columns)
            more = "_verified_at TIMESTAMPTZ, _deleted_at TIMESTAMPTZ"
            self._own.execute(f"CREATE OR REPLACE TABLE raw.{table.resource} ({columns}, {more})")
        self._own.execute(f"CREATE OR REPLACE TABLE ops.syncs ({SYNCS})")

    def tables(self) -> dict[str, Any]:
        """All rows, in a form that `fill` takes."""
        return {name: self._own.execute(f"SELECT * FROM {name}").to_arrow_table() for name in TABLE_NAMES}

    def fill(self, tables: Mapping[str, Any]) -> None:
        for name, rows in tables.items():
            self._own.register("kept", rows)
            self._own.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM kept")
            self._own.unregister("kept")

    def merge(self, landed: LandedSync, *, allow_shrink: bool = False) -> MergeCounts:
        """The newest reading of each key; of the rest, what the reading does not say is gone."""
        assert allow_shrink
        assert not landed.bad
        table, name = TABLES[landed.resource], f"raw.{landed.resource}"
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        self._own.execute(f"CREATE OR REPLACE TEMP TABLE shown AS SELECT {columns}, _verified_at FROM {name} LIMIT 0")
        if landed.files:
            files = ", ".join(f"'{path}'" for path in landed.files)
            latest = f"QUALIFY row_number() OVER (PARTITION BY {table.key} ORDER BY _seq DESC) = 1"
            self._own.execute(
                f"INSERT INTO shown SELECT {columns}, ? FROM read_parquet([{files}]) {latest}", [landed.at]
            )
        gone, values = "true", []
        if landed.absent.kind == "keys":
            gone, values = f"{table.key} IN (SELECT unnest(?))", [list(landed.absent.keys)]
        self._own.execute(f"DELETE FROM {name} WHERE {gone} OR {table.key} IN (SELECT {table.key} FROM shown)", values)
        self._own.execute(f"INSERT INTO {name} SELECT *, NULL FROM shown")
        done = [landed.resource, landed.mode, landed.upper_bound]
        self._own.execute("INSERT INTO ops.syncs VALUES (?, ?, 'done', ?)", done)
        return MergeCounts(0, 0, 0, 0, 0)

    def record_failure(self, sync: FailedSync, message: str) -> None:
        """Nothing to keep."""

    def write_control_totals(self, sync_id: str, at: datetime, totals: Sequence[Any]) -> None:
        """Nothing to keep."""

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._own.execute(sql, list(params)).fetchall()

    def export(self, sql: str, path: Path) -> None:
        self._own.execute(f"COPY ({sql}) TO '{path}' (FORMAT parquet)")

    def close(self) -> None:
        self._own.close()
