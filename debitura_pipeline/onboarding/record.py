"""One row per client in `ops.onboarding`. Belongs here: that upsert, of many clients at once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from debitura_pipeline.onboarding.lifecycle import read_partition_key
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.tables import OPS

TYPES = dict(OPS["onboarding"])
SETTABLE = TYPES.keys() - {"partition_key", "external_tenant_id", "creditor_id"}
AT_ONCE = 200  # rows of one statement: a few thousand parameters


@dataclass(frozen=True)
class News:
    """Columns of one client's row to set; the others stay. `at`: the API's clock, None where it is not known."""

    key: str
    at: datetime | None
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if unknown := self.values.keys() - SETTABLE:
            raise ValueError(f"ops.onboarding has no column {', '.join(sorted(unknown))}")


def record(settings: Settings, news: Iterable[News]) -> None:
    """Set columns of clients' rows, made where there are none."""
    found = list(news)
    if found:
        with open_warehouse(settings) as warehouse:
            record_in(warehouse, found)


def record_in(warehouse: Warehouse, news: Iterable[News]) -> None:
    """The same in a warehouse that is open."""
    for columns, group in groupby(sorted(news, key=_columns), key=_columns):
        found = list(group)
        for start in range(0, len(found), AT_ONCE):
            _upsert(warehouse, columns, found[start : start + AT_ONCE])


def _columns(news: News) -> tuple[str, ...]:
    return tuple(sorted(news.values))


def _upsert(warehouse: Warehouse, columns: Sequence[str], news: Sequence[News]) -> None:
    now = datetime.now(UTC)
    made = [(one.key, *read_partition_key(one.key), one.at or now) for one in news]
    names = ("partition_key", "external_tenant_id", "creditor_id", "first_seen_at")
    values, params = _values(names, made)
    warehouse.execute(
        f"INSERT INTO ops.onboarding ({', '.join(names)}) SELECT {_cast(names)} FROM {values} "
        "WHERE NOT EXISTS (SELECT 1 FROM ops.onboarding AS o WHERE o.partition_key = v.partition_key)",
        params,
    )
    said = [(one.key, *(one.values[name] for name in columns), one.at or now) for one in news]
    values, params = _values(("partition_key", *columns, "updated_at"), said)
    assignments = ", ".join(f"{name} = CAST(v.{name} AS {TYPES[name]})" for name in (*columns, "updated_at"))
    warehouse.execute(
        f"UPDATE ops.onboarding AS o SET {assignments} FROM {values} WHERE o.partition_key = v.partition_key", params
    )


def _values(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    """A relation `v` of rows that are parameters, and these."""
    width = len(names)
    marks = ", ".join(
        f"({', '.join(f'${row * width + place}' for place in range(1, width + 1))})" for row in range(len(rows))
    )
    return f"(VALUES {marks}) AS v ({', '.join(names)})", [value for row in rows for value in row]


def _cast(names: Sequence[str]) -> str:
    return ", ".join(f"CAST(v.{name} AS {TYPES[name]})" for name in names)
