"""A key stands once in the current rows: enforced inside the merge's transaction, also on tables from before it was."""

from __future__ import annotations

import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.warehouse.landings import Landings, case, night
from tests.warehouse.states import check_rules, state


def double(warehouse: SqlWarehouse) -> None:
    """As two syncs at once once left it. Postgres: in a table that has no key yet."""
    warehouse.execute("INSERT INTO raw.cases SELECT * FROM raw.cases WHERE case_id = 'b'")


def without_key(warehouse: SqlWarehouse, engine: str) -> None:
    if engine == "postgresql":
        warehouse.execute("ALTER TABLE raw.cases DROP CONSTRAINT cases_pkey")
        warehouse.execute("ALTER TABLE raw.cases ALTER case_id DROP NOT NULL")


def test_a_key_that_stands_twice_stops_the_merge_and_replay_mends_it(
    warehouse: SqlWarehouse, landings: Landings, engine: str
) -> None:
    """The row is touched by nothing in this merge, so that nothing but the check can notice."""
    first = landings.land("cases", [case("a"), case("b"), case("c")])
    second = landings.land("cases", [case("a", lifecycle="Closed"), case("b"), case("c")], at=night(1))
    warehouse.merge(first)
    without_key(warehouse, engine)
    double(warehouse)
    before = state(warehouse)
    with pytest.raises(WarehouseError, match=r"raw\.cases holds 1 keys more than once.*`debitura replay`"):
        warehouse.merge(second)
    assert state(warehouse) == before
    warehouse.replay([first])
    warehouse.merge(second)
    check_rules(warehouse)


def test_a_table_without_a_primary_key_gets_one(settings: Settings, landings: Landings, engine: str) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.merge(landings.land("cases", [case("a"), case("b")]))
        without_key(warehouse, engine)
        warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(1)))
        with pytest.raises(WarehouseError) as refused:
            double(warehouse)
            warehouse.merge(landings.land("cases", [case("a"), case("b")], at=night(2)))
        assert engine == "duckdb" or "SQLSTATE 23505" in str(refused.value)
