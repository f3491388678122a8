"""The whole of `raw` and `ops` as plain values, to compare two states, and the rules that every state must keep."""

from __future__ import annotations

from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.tables import all_tables, current_columns

State = dict[str, list[tuple[Any, ...]]]


def state(warehouse: SqlWarehouse) -> State:
    """Every table's rows, sorted, by `schema.table`."""
    tables = {}
    for schema, name, columns in all_tables():
        names = ", ".join(f'CAST("{column}" AS VARCHAR)' for column, _ in columns)
        tables[f"{schema}.{name}"] = sorted(warehouse.rows(f'SELECT {names} FROM {schema}."{name}"'), key=repr)
    return tables


def check_rules(warehouse: SqlWarehouse) -> None:
    """Keys stand once; a row equals its newest version; versions do not overlap; live rows have one open version."""
    for resource, table in TABLES.items():
        current, history, key = f"raw.{resource}", f"raw.{resource}_history", table.key
        names = ", ".join(f"CAST({column} AS VARCHAR)" for column, _ in current_columns(table))
        newest = f"""SELECT {names} FROM {history} AS h WHERE NOT EXISTS (SELECT 1 FROM {history} AS later
            WHERE later.{key} = h.{key} AND later._valid_from > h._valid_from)"""
        rows = warehouse.rows(f"SELECT {names} FROM {current}")
        assert sorted(rows, key=repr) == sorted(warehouse.rows(newest), key=repr)
        assert len({row[0] for row in rows}) == len(rows)
        broken = f"""SELECT count(*) FROM {current} AS c WHERE c._deleted_at IS NULL AND 1 <> (SELECT count(*)
            FROM {history} AS h WHERE h.{key} = c.{key} AND h._valid_to IS NULL AND h._valid_from = c._changed_at)"""
        assert warehouse.rows(broken) == [(0,)]
        overlapping = f"""SELECT count(*) FROM {history} AS a JOIN {history} AS b ON a.{key} = b.{key}
            AND a._valid_from < b._valid_from AND (a._valid_to IS NULL OR a._valid_to > b._valid_from)"""
        assert warehouse.rows(overlapping) == [(0,)]
        repeated = f"SELECT count(*) - count(DISTINCT ({key}, _valid_from)) FROM {history}"
        assert warehouse.rows(repeated) == [(0,)]
