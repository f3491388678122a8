"""A write is whole or not at all, and says so when it is not."""

from __future__ import annotations

import contextlib

import pytest

from debitura_pipeline.contract.tables import CASES
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import duckdb_engine
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.tables import all_tables, version_columns
from tests.support.day import engine_of_the_day, of_the_day
from tests.warehouse.landings import Landings, case, night
from tests.warehouse.states import state


def test_error_rolls_back_and_is_raised(warehouse: SqlWarehouse) -> None:
    with pytest.raises(ZeroDivisionError), warehouse.transaction():
        warehouse.run("INSERT INTO ops.webhook_events (event_id) VALUES ($1)", ("e",))
        raise ZeroDivisionError
    assert warehouse.rows("SELECT * FROM ops.webhook_events") == []


def test_swallowed_error_still_fails_the_transaction(warehouse: SqlWarehouse) -> None:
    """DuckDB's COMMIT after a failed statement succeeds and writes nothing: a night would be lost without a word."""
    with pytest.raises(WarehouseError, match="Nothing was written"), warehouse.transaction():
        warehouse.run("INSERT INTO ops.webhook_events (event_id) VALUES ($1)", ("e",))
        with contextlib.suppress(WarehouseError):
            warehouse.run("SELECT nonsense FROM nowhere")
    assert warehouse.rows("SELECT * FROM ops.webhook_events") == []
    assert warehouse.execute("INSERT INTO ops.webhook_events (event_id) VALUES ($1)", ("f",)) == 1
    assert warehouse.rows("SELECT event_id FROM ops.webhook_events") == [("f",)]


@pytest.mark.parametrize("step", of_the_day(range(6, 40, 3), 4))
@engine_of_the_day("postgresql")
def test_merge_that_fails_midway_leaves_the_old_state(
    warehouse: SqlWarehouse, landings: Landings, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Half a night in `raw` would be worse than none."""
    warehouse.merge(landings.land("cases", [case("a"), case("b")]))
    before = state(warehouse)
    real, calls = warehouse.run, iter(range(1_000))

    def failing(sql: str, params: object = ()) -> int:
        if next(calls) == step:
            raise WarehouseError("the disk is full")
        return real(sql, params)  # type: ignore[arg-type]

    monkeypatch.setattr(warehouse, "run", failing)
    rows = [case("a", lifecycle="X"), case("c")]
    with pytest.raises(WarehouseError, match="the disk is full"):
        warehouse.merge(landings.land("cases", rows, at=night(1)))
    monkeypatch.undo()
    assert state(warehouse) == before


@pytest.mark.parametrize("engine", ["duckdb"])  # Postgres merges in the server's memory
def test_merge_that_needs_more_memory_gets_it_step_by_step(
    warehouse: SqlWarehouse, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(warehouse, DuckDbWarehouse)
    warehouse.execute_autocommit("SET memory_limit = '2MiB'")
    rows = [case(f"c{number}", reference=f"{number}" * 300) for number in range(400)]
    before = state(warehouse)
    with monkeypatch.context() as patch:
        patch.setattr(duckdb_engine, "MEMORY_LIMITS_OF_RETRIES", ("2MiB", "2MiB"))
        with pytest.raises(WarehouseError, match="Out of Memory"):
            warehouse.merge(landings.land("cases", rows))
    assert state(warehouse) == before
    assert warehouse.merge(landings.land("cases", rows)).inserted == 400
    assert warehouse.rows("SELECT current_setting('memory_limit')") == [("256.0 MiB",)]


def test_columns_added_later_come_to_an_old_warehouse(settings: Settings, landings: Landings) -> None:
    with open_warehouse(settings) as warehouse:
        warehouse.execute("DROP VIEW raw.cases_history")
        for table in ("raw.cases", "raw.cases_superseded"):
            warehouse.execute(f"ALTER TABLE {table} DROP COLUMN needs_info")
        names = ", ".join(
            name for name, _ in version_columns(CASES) if name not in ("needs_info", "_valid_from", "_valid_to")
        )
        warehouse.execute(
            f"CREATE VIEW raw.cases_history AS SELECT {names}, _valid_from, _valid_to FROM raw.cases_superseded"
        )
        warehouse.execute("ALTER TABLE ops.syncs DROP COLUMN as_of")
    with open_warehouse(settings) as warehouse:
        warehouse.merge(landings.land("cases", [case("a", needs_info=True)]))
        assert warehouse.rows("SELECT needs_info FROM raw.cases") == [(True,)]
        assert warehouse.rows("SELECT needs_info FROM raw.cases_history") == [(True,)]


def test_a_history_that_was_a_table_keeps_every_version(settings: Settings, landings: Landings) -> None:
    with open_warehouse(settings) as warehouse:
        a, b, c = (case(key, needs_info=None) for key in "abc")  # from before that column was added
        warehouse.merge(landings.land("cases", [a, b, c]))
        warehouse.merge(landings.land("cases", [{**a, "lifecycle": "Closed"}, b], at=night(1)))
        before = state(warehouse)
        warehouse.execute("CREATE TABLE raw.every_version AS SELECT * FROM raw.cases_history")
        warehouse.execute("ALTER TABLE raw.every_version DROP COLUMN needs_info")
        warehouse.execute("DROP VIEW raw.cases_history")
        warehouse.execute("DROP TABLE raw.cases_superseded")
        warehouse.execute("ALTER TABLE raw.every_version RENAME TO cases_history")
    with open_warehouse(settings) as warehouse:
        assert state(warehouse) == before
        assert warehouse.rows("SELECT count(*), count(_valid_to) FROM raw.cases_history") == [(4, 2)]


def test_landing_from_before_a_column_was_added_merges(
    warehouse: SqlWarehouse, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tuple(column for column in CASES.columns if column.name != "collection_partner")
    with monkeypatch.context() as patch:
        patch.setitem(CASES.__dict__, "columns", older)
        landed = landings.land("cases", [case("a")])
    warehouse.merge(landed)
    assert warehouse.rows("SELECT case_id, collection_partner FROM raw.cases") == [("a", None)]


def test_tables_have_the_types_that_are_declared(warehouse: SqlWarehouse) -> None:
    for schema, name, columns in all_tables():
        found = warehouse.rows(
            "SELECT column_name, lower(data_type), numeric_precision, numeric_scale FROM information_schema.columns "
            "WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position",
            (schema, name),
        )
        assert [(column, _declared(*kind)) for column, *kind in found] == list(columns)


def _declared(kind: str, precision: int | None, scale: int | None) -> str:
    """A type as `tables.py` spells it, from what the engine calls it."""
    names = {"character varying": "VARCHAR", "timestamp with time zone": "TIMESTAMPTZ"}
    return f"DECIMAL({precision},{scale})" if kind.startswith(("decimal", "numeric")) else names.get(kind, kind.upper())


def test_preparing_twice_changes_nothing(warehouse: SqlWarehouse, landings: Landings) -> None:
    warehouse.merge(landings.land("cases", [case("a")]))
    before = state(warehouse)
    warehouse.prepare()
    assert state(warehouse) == before
