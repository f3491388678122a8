"""A warehouse in outline: it keeps the rows that are live, as landed files and names of gone keys make them.

Belongs here: the merge's outcome, by the shortest way. Does not: history, quarantine, guards, records, control totals; those
have tests of their own (`tests/warehouse`), and one history in twenty runs on the real warehouse. What the extraction asks
of a warehouse is answered by the same SQL as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from debitura_pipeline.landing.contract import TABLES
from debitura_pipeline.warehouse.base import FailedSync, LandedSync, MergeCounts
from tests.simulation.shelf import landed_at

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

    def keep(self, name: str) -> None:
        """Set all rows aside under `name`."""
        self._own.execute(f"CREATE SCHEMA {name}")
        for table in TABLE_NAMES:
            self._own.execute(f"CREATE TABLE {_kept(name, table)} AS FROM {table}")

    def resume(self, name: str) -> None:
        """The rows that were set aside under `name`, and no others."""
        for table in TABLE_NAMES:
            self._own.execute(f"DELETE FROM {table}; INSERT INTO {table} FROM {_kept(name, table)}")

    def merge(self, landed: LandedSync, *, allow_shrink: bool = False) -> MergeCounts:
        """The newest reading of each key; of the rest, what the reading does not say is gone."""
        assert allow_shrink
        assert not landed.bad
        table, name = TABLES[landed.resource], f"raw.{landed.resource}"
        shown = _latest(landed.files, table.key)
        keys = shown[table.key].to_pylist() if shown is not None else []
        if landed.absent.kind == "keys":
            gone = [*keys, *landed.absent.keys]
            self._own.execute(f"DELETE FROM {name} WHERE {table.key} IN (SELECT unnest(?))", [gone])
        else:
            self._own.execute(f"DELETE FROM {name}")
        if shown is not None:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            self._own.register("shown", shown)
            self._own.execute(f"INSERT INTO {name} SELECT {columns}, ?, NULL FROM shown", [landed.at])
            self._own.unregister("shown")
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


def _latest(files: Sequence[Path], key: str) -> pa.Table | None:
    """Each key's row of its last reading; files come in the order of their readings."""
    if not files:
        return None
    rows = pa.concat_tables([landed_at(file)[0] for file in files])
    last = {row_key: place for place, row_key in enumerate(rows[key].to_pylist())}
    return rows.take(list(last.values()))


def _kept(name: str, table: str) -> str:
    return f"{name}.{table.partition('.')[2]}"
