"""A warehouse of every released version is upgraded by the next writer and keeps its rows; one of a newer version is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.migration import migrate_warehouse, read_sides
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import opening
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.schema_version import SCHEMA_VERSION
from debitura_pipeline.warehouse.tables import all_tables
from tests.support.command import debitura
from tests.warehouse.landings import Landings, night

RELEASED = Path(__file__).with_name("released")
VERSIONS = {1: "0.1.0", 2: "0.2.0"}  # by the version of the schema; the one that is not released yet is 3
KEPT = "case_id, creditor_id, remainder, lifecycle, _first_seen_at, _changed_at"


def made_by(warehouse: SqlWarehouse, version: str) -> None:
    """What an empty warehouse of that version holds, in place of today's."""
    with warehouse.transaction():
        for schema in ("raw", "ops"):
            warehouse.run(f"DROP SCHEMA {schema} CASCADE")
        lines = (RELEASED / f"{version}.sql").read_text().splitlines()
        for statement in lines[1:]:
            warehouse.run(statement.removesuffix(";"))


def fill(warehouse: SqlWarehouse) -> None:
    """A case with two versions, as every released version keeps them."""
    with warehouse.transaction():
        for table, changed, more in (
            ("cases", 1, ""),
            ("cases_superseded", 0, f", _valid_from = '{night(0)}', _valid_to = '{night(1)}'"),
        ):
            warehouse.run(
                f"INSERT INTO raw.{table} (case_id, creditor_id, remainder, lifecycle, _row_hash, _first_seen_at, _changed_at, "
                f"_verified_at, _sync_id) VALUES ('c1', 'k1', {100 - changed}, 'Active', 'h{changed}', '{night(0)}', "
                f"'{night(changed)}', '{night(1)}', 's{changed}')"
            )
            if more:
                warehouse.run(f"UPDATE raw.{table} SET {more[2:]}")
        warehouse.run(
            f"INSERT INTO ops.syncs (sync_id, resource, mode, status, as_of) VALUES ('s1', 'cases', 'full', 'done', '{night(1)}')"
        )


def version_of(warehouse: SqlWarehouse) -> list[tuple[object, ...]]:
    return warehouse.rows("SELECT version FROM ops.schema_version")


def test_every_version_before_this_one_has_its_tables_here() -> None:
    """Whoever raises the version adds the tables of the release before it."""
    assert set(VERSIONS) == set(range(1, SCHEMA_VERSION))
    assert {path.stem for path in RELEASED.iterdir()} == set(VERSIONS.values())


@pytest.mark.parametrize("version", VERSIONS.values())
def test_a_released_version_is_upgraded(settings: Settings, landings: Landings, version: str) -> None:
    with open_warehouse(settings) as warehouse:
        made_by(warehouse, version)
        fill(warehouse)
    with open_warehouse(settings) as warehouse:
        assert version_of(warehouse) == [(SCHEMA_VERSION,)]
        for schema, name, columns in all_tables():
            assert set(warehouse.columns(schema, name)) >= {column for column, _ in columns}, name
        before = warehouse.rows(f"SELECT {KEPT} FROM raw.cases_history ORDER BY _changed_at")
        assert [row[2] for row in before] == [100, 99]
        landed = landings.land(
            "cases", [{"case_id": "c2", "creditor_id": "k1", "remainder": 7, "lifecycle": "Active"}],
            at=night(2) + timedelta(hours=1), sync_id="s2", deletion_scope=DeletionScope("none"),
        )  # fmt: skip
        assert warehouse.merge(landed).inserted == 1
        assert (
            warehouse.rows(f"SELECT {KEPT} FROM raw.cases_history WHERE case_id = 'c1' ORDER BY _changed_at") == before
        )


def test_the_early_history_is_taken_apart(settings: Settings) -> None:
    """Before the first release, `cases_history` was a table of all versions, the current ones included."""
    with open_warehouse(settings) as warehouse:
        made_by(warehouse, "0.1.0")
        fill(warehouse)
        with warehouse.transaction():
            for resource in ("clients", "cases", "transactions"):
                warehouse.run(f"CREATE TABLE raw.early AS SELECT * FROM raw.{resource}_history")
                warehouse.run(f"DROP VIEW raw.{resource}_history")
                warehouse.run(f"DROP TABLE raw.{resource}_superseded")
                warehouse.run(f"ALTER TABLE raw.early RENAME TO {resource}_history")
    with open_warehouse(settings) as warehouse:
        assert warehouse.rows("SELECT remainder FROM raw.cases_superseded") == [(100,)]
        assert [row[0] for row in warehouse.rows("SELECT remainder FROM raw.cases_history ORDER BY 1")] == [99, 100]
        assert version_of(warehouse) == [(SCHEMA_VERSION,)]


def test_a_newer_version_is_refused_and_left_alone(settings: Settings, env: dict[str, str], tmp_path: Path) -> None:
    """An older program would write rows without what the newer one keeps; on Postgres its tables would pass for strangers."""
    with open_warehouse(settings) as warehouse:
        warehouse.execute(
            f"UPDATE ops.schema_version SET version = {SCHEMA_VERSION + 1}, written_by = 'debitura-pipeline 9.0'"
        )
        warehouse.execute("CREATE TABLE ops.of_a_later_version (a INTEGER)")
    told = "newer version of the pipeline (debitura-pipeline 9.0): its schema has version"
    with pytest.raises(WarehouseError) as refused, exclusive_run(settings), open_warehouse(settings):
        pass
    assert told in str(refused.value)
    with pytest.raises(WarehouseError) as refused:
        migrate_warehouse(read_sides(f"duckdb:///{tmp_path}/elsewhere.duckdb", env=env))
    assert told in str(refused.value)
    said = debitura("sync", env=env)
    assert (said.status, told in said.error_line) == (1, True)
    found = opening.existing_tables(settings)
    assert "ops.of_a_later_version" in found
