"""What is published of a Postgres warehouse: the same file and Parquet as of DuckDB, all tables of one moment."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import pg_publish
from debitura_pipeline.warehouse.open import open_warehouse
from debitura_pipeline.warehouse.postgres import PostgresWarehouse
from debitura_pipeline.warehouse.publish import publish
from debitura_pipeline.warehouse.tables import all_tables
from tests.warehouse.landings import Landings
from tests.warehouse.nights import many_nights
from tests.warehouse.states import state


@pytest.fixture
def engine() -> str:
    return "postgresql"


def fill(settings: Settings, mark: int) -> None:
    with open_warehouse(settings) as warehouse, warehouse.transaction():
        for schema, name in (("reports", "a"), ("marts", "b")):
            warehouse.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            warehouse.run(f"DROP TABLE IF EXISTS {schema}.{name}")
            warehouse.run(
                f"CREATE TABLE {schema}.{name} AS SELECT i, {mark} AS mark FROM generate_series(1, 2000) t(i)"
            )


def test_copy_holds_every_table_value_by_value(settings: Settings, landings: Landings) -> None:
    fill(settings, 1)
    with open_warehouse(settings) as warehouse:
        for landed in many_nights(landings):
            warehouse.merge(landed)
        expected = state(warehouse)
    published = publish(settings)
    assert published.path == settings.published_dir / "warehouse.duckdb"
    assert [path.name for path in published.parquet] == ["a.parquet", "b.parquet"]
    with duckdb.connect(published.path, read_only=True) as copy:
        copy.execute("SET TimeZone = 'UTC'")
        for schema, name, columns in all_tables():
            names = ", ".join(f'"{column}"' for column, _ in columns)
            described = copy.execute(f'SELECT {names} FROM {schema}."{name}" LIMIT 0').description or []
            assert [str(kind) for _, kind, *_ in described] == [
                kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for _, kind in columns
            ]
            texts = ", ".join(f'CAST("{column}" AS VARCHAR)' for column, _ in columns)
            found = copy.execute(f'SELECT {texts} FROM {schema}."{name}"').fetchall()
            assert sorted(found, key=repr) == expected[f"{schema}.{name}"]
    assert {path.stat().st_mode & 0o777 for path in settings.published_dir.iterdir()} == {0o600}
    assert not list(settings.published_dir.glob(".draft*"))


def test_table_that_is_gone_is_no_longer_published(settings: Settings) -> None:
    fill(settings, 1)
    publish(settings)
    with open_warehouse(settings) as warehouse:
        warehouse.execute("DROP TABLE marts.b")
    publish(settings)
    assert {path.name for path in settings.published_dir.iterdir()} == {"a.parquet", "warehouse.duckdb"}


def test_all_tables_are_of_one_night(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that ends while the copy is taken shows in all of its tables or in none."""
    fill(settings, 1)
    export, seen = PostgresWarehouse.export, []

    def interrupted(self: PostgresWarehouse, sql: str, path: Path) -> None:
        export(self, sql, path)
        if "marts" in sql:
            seen.append(sql)
            with open_warehouse(settings) as other:
                other.execute("UPDATE reports.a SET mark = 2")

    monkeypatch.setattr(PostgresWarehouse, "export", interrupted)
    publish(settings)
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as copy:
        marks = copy.execute("SELECT DISTINCT a.mark, b.mark FROM reports.a, marts.b").fetchall()
    assert marks == [(1, 1)] and seen


def test_nothing_to_publish_is_said(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="debitura nightly"):
        publish(settings)


def test_copy_that_fails_leaves_the_old_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(settings, 1)
    publish(settings)
    before = {path.name: path.read_bytes() for path in settings.published_dir.iterdir()}
    fill(settings, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pg_publish, "_assemble", full)
        with pytest.raises(WarehouseError, match="No space left"):
            publish(settings)
    after = {path.name: path.read_bytes() for path in settings.published_dir.glob("[!.]*")}
    assert after == before
    publish(settings)
    assert {path.name for path in settings.published_dir.iterdir()} == before.keys()
