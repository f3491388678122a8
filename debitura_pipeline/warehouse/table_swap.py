"""Last step of a replay on DuckDB: replace the warehouse's tables with those rebuilt in a separate file.

One transaction: a killed process leaves the warehouse unchanged.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.tables import OPS, SUPERSEDED

REBUILT = (
    *(("raw", name) for resource in TABLES for name in (resource, resource + SUPERSEDED)),
    ("raw", "partner_history"),
    *(("ops", name) for name in ("windows", "quarantine", "schema_drift", "estimate_totals")),
)


class Engine(Protocol):
    """What the swap needs of the warehouse."""

    def execute_autocommit(self, sql: str) -> None: ...

    def execute_all(self, statements: Collection[str]) -> None: ...


def swap_tables(warehouse: Engine, beside: Path) -> None:
    """Copy the rebuilt tables from the file `beside`, and its records of syncs that the warehouse lacks. Raises
    WarehouseError."""
    name = "'" + str(beside).replace("'", "''") + "'"
    warehouse.execute_autocommit(f"ATTACH {name} AS beside (READ_ONLY)")
    try:
        warehouse.execute_all(_statements())
    finally:
        warehouse.execute_autocommit("DETACH beside")


def _statements() -> list[str]:
    found = [
        f"CREATE OR REPLACE TABLE {schema}.{quoted(name)} AS SELECT * FROM beside.{schema}.{quoted(name)}"
        for schema, name in REBUILT
    ]
    totals = _names("control_totals")
    found.append(
        f"INSERT INTO ops.control_totals ({totals}) SELECT {totals} FROM beside.ops.control_totals "
        "WHERE sync_id NOT IN (SELECT sync_id FROM ops.control_totals)"
    )
    syncs = _names("syncs")
    # One that had failed and was merged after all: its newer record counts.
    found.append("DELETE FROM ops.syncs WHERE status <> 'done' AND sync_id IN (SELECT sync_id FROM beside.ops.syncs)")
    found.append(f"INSERT INTO ops.syncs ({syncs}) SELECT {syncs} FROM beside.ops.syncs")
    return found


def _names(table: str) -> str:
    return ", ".join(quoted(name) for name, _ in OPS[table])
