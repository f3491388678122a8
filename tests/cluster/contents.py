"""What a partner's warehouse holds, as two warehouses of the same nights must have it, and what must never be in one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import Warehouse
from debitura_pipeline.warehouse.opening import open_warehouse

Table = list[tuple[Any, ...]]
CURRENT = {"clients": "creditor_id", "cases": "case_id", "transactions": "transaction_id"}
# When a row was read or built, and by which sync, differs between two readings of the same day.
READING = ("_first_seen_at", "_changed_at", "_verified_at", "_deleted_at", "_sync_id", "_valid_from", "_valid_to")


def contents(settings: Settings) -> dict[str, Table]:
    """Every table of `raw` (current rows and versions) without the times of reading, and the money of `marts`, sorted."""
    with open_warehouse(settings, read_only=True) as warehouse:
        found = {}
        for name in CURRENT:
            found[f"raw.{name}"] = _rows(warehouse, "raw", name, "WHERE _deleted_at IS NULL")
            found[f"raw.{name}_history"] = _rows(warehouse, "raw", f"{name}_history", "")
        found["marts.fct_transactions"] = warehouse.rows(
            "SELECT transaction_id, revenue_stage, referral_fee_usd FROM marts.fct_transactions ORDER BY 1"
        )
        found["marts.fct_cases"] = warehouse.rows("SELECT case_id FROM marts.fct_cases ORDER BY 1")
    return found


def doubled(settings: Settings) -> list[str]:
    """Keys that stand in a table more than once, and keys with two current versions; and syncs that are not over."""
    faults = []
    with open_warehouse(settings, read_only=True) as warehouse:
        for name, key in CURRENT.items():
            for table, where in ((name, ""), (f"{name}_history", "WHERE _valid_to IS NULL")):
                sql = f"SELECT count(*), count(DISTINCT {key}) FROM raw.{table} {where}"
                ((rows, keys),) = warehouse.rows(sql)
                if rows != keys:
                    faults.append(f"raw.{table}: {rows} rows of {keys} keys")
            sql = f"SELECT count(*) FROM (SELECT {key}, _valid_from FROM raw.{name}_history GROUP BY 1, 2 HAVING count(*) > 1) AS x"
            if warehouse.rows(sql) != [(0,)]:
                faults.append(f"raw.{name}_history: versions of one instant")
    return faults


def differences(one: dict[str, Table], other: dict[str, Table], *, with_history: bool) -> list[str]:
    """A line per table that differs. A night that was not done in one of two warehouses leaves fewer versions there."""
    lines = []
    for name, rows in one.items():
        if not with_history and name.endswith("_history"):
            continue
        unlike = [pair for pair in zip(rows, other[name], strict=False) if pair[0] != pair[1]]
        if unlike or len(rows) != len(other[name]):
            lines.append(f"{name}: {len(rows)} rows and {len(other[name])}, {len(unlike)} differ")
    return lines


def _rows(warehouse: Warehouse, schema: str, table: str, where: str) -> Table:
    listing = (
        f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name = '{table}'"
    )
    columns = sorted(column for (column,) in warehouse.rows(listing) if column not in READING)
    listed = ", ".join(f'"{column}"' for column in columns)
    return sorted(
        (tuple(map(_plain, row)) for row in warehouse.rows(f"SELECT {listed} FROM {schema}.{table} {where}")), key=repr
    )


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
