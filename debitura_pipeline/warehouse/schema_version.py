"""The version of schemas `raw` and `ops`: an older warehouse is upgraded by the next writer, a newer one is refused.

There is no way back: a version does not know what a newer one keeps, and would write rows without it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Protocol

from debitura_pipeline.errors import WarehouseError

# Raised by each release that changes what `tables.py` declares. 1: 0.1.0, 2: 0.2.0, neither of which wrote it down.
SCHEMA_VERSION = 3
FOUND = "SELECT version, written_by FROM ops.schema_version"


class VersionStore(Protocol):
    """What is needed of a warehouse."""

    def rows(self, sql: str) -> list[tuple[object, ...]]: ...

    def columns(self, schema: str, table: str) -> list[str]: ...

    def run(self, sql: str, params: tuple[object, ...] = ()) -> int: ...


def check_version(warehouse: VersionStore) -> bool:
    """Whether the warehouse has this version already. Raises WarehouseError if it has a newer one."""
    if not warehouse.columns("ops", "schema_version"):
        return False
    found = warehouse.rows(FOUND)
    refuse_newer(found)
    return [number for number, _ in found] == [SCHEMA_VERSION]


def refuse_newer(found: list[tuple[object, ...]]) -> None:
    """Raises WarehouseError if rows of `ops.schema_version` are of a newer version."""
    for number, writer in found:
        if isinstance(number, int) and number > SCHEMA_VERSION:
            raise WarehouseError(
                f"The warehouse was written by a newer version of the pipeline ({writer}): its schema has version {number}, and "
                f"this one knows {SCHEMA_VERSION}. Nothing was changed.",
                cure="Use that version or a later one; to go back, restore a backup that was made before the upgrade.",
            )


def write_version(warehouse: VersionStore) -> None:
    """Note this version, inside the transaction that brought the tables up to it."""
    warehouse.run("DELETE FROM ops.schema_version")
    warehouse.run(
        "INSERT INTO ops.schema_version (version, written_by) VALUES ($1, $2)",
        (SCHEMA_VERSION, f"debitura-pipeline {version('debitura-pipeline')}"),
    )
