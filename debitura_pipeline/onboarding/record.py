"""Upsert clients' rows in `ops.onboarding`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.tables import OPS

TYPES = dict(OPS["onboarding"])
SETTABLE = TYPES.keys() - {"partition_key", "external_tenant_id", "creditor_id"}
FIRST_TIMES = frozenset({"registered_at", "signed_at"})  # written once
BATCH_ROWS = 200  # per statement: a few thousand parameters


@dataclass(frozen=True)
class RowUpdate:
    """Columns to set in one client's row; other columns keep their values, FIRST_TIMES their first ones. `at`: the API's
    clock, None if unknown.

    Raises ValueError for an unknown column.
    """

    ref: ClientRef
    at: datetime | None
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if unknown := self.values.keys() - SETTABLE:
            raise ValueError(f"ops.onboarding has no column {', '.join(sorted(unknown))}")


def record(settings: Settings, updates: Iterable[RowUpdate]) -> None:
    """Set columns of clients' rows, which are inserted if missing. Raises WarehouseError."""
    found = list(updates)
    if found:
        with open_warehouse(settings) as warehouse:
            record_in(warehouse, found)


def record_in(warehouse: Warehouse, updates: Iterable[RowUpdate]) -> None:
    """`record` in an open warehouse."""
    for columns, group in groupby(sorted(updates, key=_columns), key=_columns):
        found = list(group)
        for start in range(0, len(found), BATCH_ROWS):
            _upsert(warehouse, columns, found[start : start + BATCH_ROWS])


def _columns(updates: RowUpdate) -> tuple[str, ...]:
    return tuple(sorted(updates.values))


def _upsert(warehouse: Warehouse, columns: Sequence[str], updates: Sequence[RowUpdate]) -> None:
    now = datetime.now(UTC)
    inserted = [(one.ref.key, one.ref.tenant, one.ref.creditor_id, one.at or now) for one in updates]
    names = ("partition_key", "external_tenant_id", "creditor_id", "first_seen_at")
    values, params = _values(names, inserted)
    warehouse.execute(
        f"INSERT INTO ops.onboarding ({', '.join(names)}) SELECT {_cast(names)} FROM {values} "
        "WHERE NOT EXISTS (SELECT 1 FROM ops.onboarding AS o WHERE o.partition_key = v.partition_key)",
        params,
    )
    updated = [(one.ref.key, *(one.values[name] for name in columns), one.at or now) for one in updates]
    values, params = _values(("partition_key", *columns, "updated_at"), updated)
    assignments = ", ".join(f"{name} = {_assigned(name)}" for name in (*columns, "updated_at"))
    warehouse.execute(
        f"UPDATE ops.onboarding AS o SET {assignments} FROM {values} WHERE o.partition_key = v.partition_key", params
    )


def _assigned(name: str) -> str:
    value = f"CAST(v.{name} AS {TYPES[name]})"
    return f"coalesce(o.{name}, {value})" if name in FIRST_TIMES else value


def _values(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """SQL of a relation `v` whose values are parameters, and the parameters."""
    width = len(names)
    marks = ", ".join(
        f"({', '.join(f'${row * width + place}' for place in range(1, width + 1))})" for row in range(len(rows))
    )
    return f"(VALUES {marks}) AS v ({', '.join(names)})", [value for row in rows for value in row]


def _cast(names: Sequence[str]) -> str:
    return ", ".join(f"CAST(v.{name} AS {TYPES[name]})" for name in names)
