"""A warehouse moves to another place with its whole history, or nothing has happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from debitura_pipeline.errors import SettingsError, WarehouseError
from debitura_pipeline.migration import NotEqual, masked_address, migrate_warehouse, read_sides
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_dev, exclusive_run
from debitura_pipeline.warehouse.tables import OPS, all_tables
from debitura_sandbox.world.world import WorldOptions
from tests.forecast.nights import Nights
from tests.support.command import debitura
from tests.support.day import ENGINES, of_the_day
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database
from tests.support.sandbox import RunningSandbox

NIGHTS = 100
Facts = dict[str, list[tuple[Any, ...]]]
# By kind: what is largest, smallest, empty or looks like something else.
ODD: dict[str, list[Any]] = {
    "VARCHAR": ["", "NULL", "\\N", "a\tb\r\n\"c\" 'd' \\", "\N{GRINNING FACE} e\N{COMBINING ACUTE ACCENT}", "x" * 70_000],
    "JSON": ['{"a": 1.10, "a": null}', "[]", '"\\u00e4 \\n"', "null"],
    "BOOLEAN": [True, False],
    "BIGINT": [2**63 - 1, -(2**63), 0],
    "DECIMAL(18,4)": [Decimal("99999999999999.9999"), Decimal("-0.0001"), Decimal(0)],
    "DECIMAL(28,4)": [Decimal("999999999999999999999999.9999"), Decimal("-18446744073709551616.0001"), Decimal("-0.0001")],
    "TIMESTAMPTZ": [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), datetime.fromtimestamp(0, UTC)],
}  # fmt: skip


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """A warehouse of a hundred nights, with odd values in every table of `ops`. Read only."""
    made = Nights(
        tmp_path_factory.mktemp("nights"), WorldOptions(seed=3, clients=5, cases=60, transactions=120, years=2)
    )
    made.write(NIGHTS)
    check_identity(made.settings).keep()
    with open_warehouse(made.settings) as warehouse:
        for name, columns in OPS.items():
            if name not in ("identity", "schema_version"):
                with warehouse.transaction():
                    warehouse.stage_rows("odd", columns, [*odd_rows(columns), *odd_rows(columns)[:1]])
                    warehouse.run(f"INSERT INTO ops.{name} SELECT * FROM odd")
                    warehouse.run("DROP TABLE odd")
    return made


def odd_rows(columns: tuple[tuple[str, str], ...]) -> list[tuple[Any, ...]]:
    most = max(len(ODD[kind]) for _, kind in columns)
    rows = [tuple(ODD[kind][place % len(ODD[kind])] for _, kind in columns) for place in range(most)]
    return [*rows, (None,) * len(columns)]


def everything(settings: Settings) -> Facts:
    """All rows of `raw` and `ops`, read by the engine's driver."""
    found = {}
    with open_warehouse(settings, read_only=True) as warehouse:
        for schema, name, columns in all_tables():
            listed = ", ".join(f'"{column}"' for column, _ in columns)
            found[f"{schema}.{name}"] = sorted(warehouse.rows(f"SELECT {listed} FROM {schema}.{name}"), key=repr)
    return found


def digest(settings: Settings) -> str:
    assert settings.warehouse.path is not None
    return hashlib.sha256(settings.warehouse.path.read_bytes()).hexdigest()


def env_of(nights: Nights, **more: str) -> dict[str, str]:
    return {"DEBITURA_DATA_DIR": str(nights.settings.data_dir), "DEBITURA_PRIVACY_KEY": "k" * 32, **more}


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty target on either engine."""
    if request.param == "duckdb":
        return f"duckdb:///{tmp_path}/elsewhere.duckdb"
    url: str = request.getfixturevalue("postgres").url
    return url


def test_a_hundred_nights_there_and_back_are_equal(nights: Nights, postgres: Database, tmp_path: Path) -> None:
    """Every row and column of every table, by another way of reading than the command's own comparison."""
    original, before = everything(nights.settings), digest(nights.settings)
    there = read_sides(postgres.url, env=env_of(nights))
    done = migrate_warehouse(there)
    assert done.rows == sum(map(len, original.values())) - 1, "the version of the tables is the target's own"
    assert not done.was_there
    assert everything(there.target) == original
    back = read_sides(f"duckdb:///{tmp_path}/back.duckdb", env=env_of(nights, DEBITURA_WAREHOUSE=postgres.url))
    assert migrate_warehouse(back).left_out == done.left_out == ()
    assert everything(back.target) == original
    assert digest(nights.settings) == before
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == ["back.duckdb"]
    assert (tmp_path / "back.duckdb").stat().st_mode & 0o777 == 0o600
    assert not list((nights.settings.data_dir / "tmp").glob("migrate-*"))


def test_the_same_engine_and_a_second_time(nights: Nights, postgres: Database, tmp_path: Path) -> None:
    """A command that is given again, as after a kill whose moment nobody knows, finds that it is done."""
    file = read_sides(f"duckdb:///{tmp_path}/copy.duckdb", env=env_of(nights))
    assert not migrate_warehouse(file).was_there
    assert migrate_warehouse(file).was_there
    migrate_warehouse(read_sides(postgres.url, env=env_of(nights)))
    other = read_sides(postgres.url, "new_", env=env_of(nights, DEBITURA_WAREHOUSE=postgres.url))
    assert not migrate_warehouse(other).was_there
    assert migrate_warehouse(other).was_there
    assert everything(other.target) == everything(nights.settings) == everything(file.target)


def test_other_peoples_objects_and_the_prefix_are_respected(nights: Nights, postgres: Database) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as theirs:
        theirs.execute("CREATE SCHEMA raw")
        theirs.execute("CREATE TABLE raw.theirs (a integer)")
        theirs.execute("INSERT INTO raw.theirs VALUES (1)")
    sides = read_sides(postgres.url, env=env_of(nights))
    with pytest.raises(WarehouseError, match=r"raw\.theirs"):
        migrate_warehouse(sides)
    prefixed = read_sides(postgres.url, env=env_of(nights, DEBITURA_SCHEMA_PREFIX="deb_"))
    assert prefixed.source.warehouse.schema_prefix == ""
    migrate_warehouse(prefixed)
    assert everything(prefixed.target) == everything(nights.settings)
    with psycopg.connect(postgres.url) as theirs:
        found = theirs.execute(
            "SELECT table_schema FROM information_schema.tables WHERE table_schema ~ '^(deb_)?(raw|ops)$'"
        )
        assert {schema for (schema,) in found.fetchall()} == {"raw", "deb_raw", "deb_ops"}
        assert theirs.execute("SELECT * FROM raw.theirs").fetchall() == [(1,)]


@pytest.mark.parametrize("place", of_the_day(ENGINES), indirect=True)
def test_a_target_that_holds_anything_else_is_left_alone(nights: Nights, place: str, tmp_path: Path) -> None:
    """One row less or more, or reports of a warehouse that is gone."""
    sides = read_sides(place, env=env_of(nights))
    with open_warehouse(sides.target) as target:
        target.run("CREATE SCHEMA IF NOT EXISTS marts")
        target.run("CREATE TABLE marts.fct_stage_changes (change_id VARCHAR)")
        if sides.target.warehouse.dsn is not None:  # as dbt marks what it has built
            target.run("COMMENT ON TABLE marts.fct_stage_changes IS 'Made by the Debitura pipeline'")
    with pytest.raises(WarehouseError, match=r"not empty: it holds marts\.fct_stage_changes\. Nothing was changed\."):
        migrate_warehouse(sides)
    with open_warehouse(sides.target) as target:
        target.run("DROP TABLE marts.fct_stage_changes")
        target.execute("INSERT INTO ops.syncs (sync_id) VALUES ('theirs')")
    before = everything(sides.target)
    with pytest.raises(WarehouseError, match=r"not empty: it holds a warehouse that is not equal"):
        migrate_warehouse(sides)
    assert everything(sides.target) == before
    with open_warehouse(sides.target) as target:
        target.execute("DELETE FROM ops.syncs")
    migrate_warehouse(sides)
    assert everything(sides.target) == everything(nights.settings)


def test_an_empty_file_counts_as_none(nights: Nights, tmp_path: Path) -> None:
    path = tmp_path / "empty.duckdb"
    path.touch()
    sides = read_sides(f"duckdb:///{path}", env=env_of(nights))
    migrate_warehouse(sides)
    assert everything(sides.target) == everything(nights.settings)


def test_another_programs_file_is_refused(nights: Nights, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "theirs.duckdb") as theirs:
        theirs.execute("CREATE TABLE invoices AS SELECT 1 AS a")
    with pytest.raises(WarehouseError, match=r"main\.invoices"):
        migrate_warehouse(read_sides(f"duckdb:///{tmp_path}/theirs.duckdb", env=env_of(nights)))
    (tmp_path / "text").write_text("not a database, but longer than its first bytes")
    said = debitura("migrate", "--to", f"duckdb:///{tmp_path}/text", env=env_of(nights))
    assert said.status == 1
    assert "is not a DuckDB file" in said.error_line


KILL = """
import os, signal
import debitura_pipeline.migration.migrate as m
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from debitura_pipeline.warehouse.postgres.engine import PostgresWarehouse
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
def deadly(engine):
    load = engine.load
    def loading(self, schema, name, columns, path):
        rows = load(self, schema, name, columns, path)
        if name == "transactions_superseded":
            die()
        return rows
    engine.load = loading
if {copying}:
    deadly(DuckDbWarehouse)
    deadly(PostgresWarehouse)
elif {comparing}:
    m.require_equal = lambda *_: die()
else:
    m.Migrated = lambda *_, **__: die()
"""


@pytest.mark.parametrize(
    ("place", "moment"),
    of_the_day([("duckdb", "copying"), ("postgresql", "comparing"), ("postgresql", "done")]),
    indirect=["place"],
)
def test_a_killed_migration_is_given_again(nights: Nights, place: str, moment: str) -> None:
    before = digest(nights.settings)
    kill = KILL.format(copying=moment == "copying", comparing=moment == "comparing")
    assert debitura("migrate", "--to", place, env=env_of(nights), before=kill).status == -9
    assert digest(nights.settings) == before
    done = debitura("migrate", "--to", place, env=env_of(nights))
    assert done.status == 0, done.err
    assert ("was copied before" in done.out) == (moment == "done")
    target = read_sides(place, env=env_of(nights)).target
    assert everything(target) == everything(nights.settings)
    if target.warehouse.path is not None:
        left = {path.name for path in target.warehouse.path.parent.iterdir()}
        assert left == {"elsewhere.duckdb", "elsewhere.duckdb.lock"}


@pytest.mark.parametrize(
    ("place", "spoil", "told"),
    of_the_day(
        [
            (
                "duckdb",
                "UPDATE raw.cases SET remainder = remainder + 0.0001 WHERE case_id = (SELECT min(case_id) FROM raw.cases)",
                "rows on both sides and differs in columns remainder.",
            ),
            (
                "postgresql",
                "UPDATE raw.transactions_superseded SET _valid_to = _valid_to + INTERVAL '1 microsecond'",
                "rows on both sides and differs in columns _valid_to.",
            ),
            ("postgresql", "UPDATE ops.syncs SET message = NULL WHERE message = ''", "differs in columns message."),
        ]
    ),
    indirect=["place"],
)
def test_a_copy_that_differs_is_discarded(
    nights: Nights, place: str, spoil: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the least that a value can differ in."""
    module = import_module("debitura_pipeline.migration.migrate")
    copy = module.copy_tables

    def spoiling(source: SqlWarehouse, target: SqlWarehouse, folder: Path, report: Callable[[str], None]) -> int:
        rows: int = copy(source, target, folder, report)
        target.run(spoil)
        return rows

    monkeypatch.setattr(module, "copy_tables", spoiling)
    sides = read_sides(place, env=env_of(nights))
    with pytest.raises(NotEqual) as refused:
        migrate_warehouse(sides)
    assert told in str(refused.value)
    if sides.target.warehouse.path is not None:
        assert not sides.target.warehouse.path.exists()
    else:
        assert [name for name, rows in everything(sides.target).items() if rows] == ["ops.schema_version"]


def test_a_copy_that_differs_is_exit_status_3(nights: Nights, tmp_path: Path) -> None:
    spoil = """
import debitura_pipeline.migration.migrate as m
copy = m.copy_tables
def spoiling(source, target, folder, report):
    rows = copy(source, target, folder, report)
    target.run("DELETE FROM raw.partner_history")
    return rows
m.copy_tables = spoiling
"""
    said = debitura("migrate", "--to", f"duckdb:///{tmp_path}/new.duckdb", env=env_of(nights), before=spoil)
    assert said.status == 3
    assert "raw.partner_history has 1 rows at the source and 0 at the target" in said.error_line


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_runs_are_kept_out_on_both_sides(nights: Nights, place: str) -> None:
    sides = read_sides(place, env=env_of(nights))
    elsewhere = read_sides(place, env=env_of(nights, DEBITURA_DATA_DIR=str(nights.settings.data_dir / "other"))).target
    with exclusive_run(elsewhere, "nightly"):
        assert debitura("migrate", "--to", place, env=env_of(nights)).status == 1
    with exclusive_run(nights.settings, "nightly"):
        said = debitura("migrate", "--to", place, env=env_of(nights))
        assert said.status == 1
        assert "nightly, process" in said.error_line

    with exclusive_dev(nights.settings):
        said = debitura("migrate", "--to", place, env=env_of(nights))
        assert said.status == 1
        assert "Another `debitura dev` has the data directory" in said.error_line

    def run_elsewhere(_: str) -> None:
        said = debitura(
            "sync",
            env={
                **env_of(nights),
                "DEBITURA_DATA_DIR": str(nights.settings.data_dir / "other"),
                "DEBITURA_WAREHOUSE": place,
            },
        )
        refusals.append(said.error_line)

    refusals: list[str] = []
    migrate_warehouse(sides, lambda text: run_elsewhere(text) if not refusals else None)
    assert "migrate" in refusals[0]
    assert "Another run has the warehouse" in refusals[0]


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_what_is_not_the_pipelines_is_named_and_an_older_source_is_filled_up(
    nights: Nights, place: str, tmp_path: Path
) -> None:
    """A column that an older version did not have yet is null, as an upgrade leaves it."""
    old = read_sides(f"duckdb:///{tmp_path}/old.duckdb", env=env_of(nights))
    migrate_warehouse(old)
    with open_warehouse(old.target) as warehouse:
        warehouse.run("DROP VIEW raw.transactions_history")
        warehouse.run("DROP VIEW raw.cases_history")
        warehouse.run("ALTER TABLE raw.transactions DROP COLUMN _opening_fee_usd")
        warehouse.run("ALTER TABLE raw.cases ADD COLUMN mine VARCHAR")
        warehouse.run(
            "UPDATE raw.cases SET company_name = 'a' || chr(0) || 'b' WHERE case_id = (SELECT min(case_id) FROM raw.cases)"
        )
        warehouse.run("DROP TABLE ops.submissions")
        warehouse.run("CREATE TABLE raw.notes (a INTEGER)")
    sides = read_sides(place, env=env_of(nights, DEBITURA_WAREHOUSE=f"duckdb:///{tmp_path}/old.duckdb"))
    before = digest(sides.source)
    done = migrate_warehouse(sides)
    assert done.left_out == ("raw.notes", "raw.cases.mine")
    assert digest(sides.source) == before
    with open_warehouse(sides.target, read_only=True) as warehouse:
        assert warehouse.rows("SELECT count(*), count(_opening_fee_usd) FROM raw.transactions")[0][1] == 0
        assert warehouse.rows("SELECT count(*) FROM ops.submissions") == [(0,)]
        found = warehouse.rows("SELECT company_name FROM raw.cases WHERE company_name LIKE 'a_b'")
        assert found == [("a\N{REPLACEMENT CHARACTER}b" if sides.target.warehouse.dsn else "a\0b",)]


def test_addresses_that_cannot_be_meant_are_refused_before_anything_is_touched(nights: Nights, tmp_path: Path) -> None:
    env = env_of(nights)
    for to, told in (
        ("mysql://host/db", "neither a duckdb:/// nor a postgresql:// address"),
        (f"duckdb:///{nights.path}", "names the warehouse that the settings name already"),
    ):
        said = debitura("migrate", "--to", to, env=env)
        assert said.status == 2
        assert told in said.error_line
    link = tmp_path / "hard-link.duckdb"
    link.hardlink_to(nights.path)
    with pytest.raises(SettingsError, match="names the warehouse that the settings name already"):
        read_sides(f"duckdb:///{link}", env=env)
    with pytest.raises(SettingsError, match="whose files are replaced every night"):
        read_sides(f"duckdb:///{env['DEBITURA_DATA_DIR']}/published/warehouse.duckdb", env=env)
    with pytest.raises(SettingsError, match="--to-schema-prefix is only for a Postgres database"):
        read_sides(f"duckdb:///{tmp_path}/x", "deb_", env=env)
    url = "postgresql://pipeline:se%40cret@host/db"
    with pytest.raises(SettingsError, match="names the warehouse that the settings name already"):
        read_sides(f"{url}?port=5432", env={**env, "DEBITURA_WAREHOUSE": url})
    with pytest.raises(SettingsError, match="names the warehouse that the settings name already"):
        read_sides("postgresql://[::1]/db", env={**env, "DEBITURA_WAREHOUSE": "postgresql://localhost:5432/db"})
    target = read_sides(f"{url}?sslmode=require", env=env).target.warehouse
    assert masked_address(target) == "postgresql://pipeline:***@host/db?sslmode=require"
    assert masked_address(read_sides("postgresql:///db?password=se%40cret", env=env).target.warehouse).endswith("=***")
    missing = debitura(
        "migrate", "--to", f"duckdb:///{tmp_path}/x", env={**env, "DEBITURA_DATA_DIR": str(tmp_path / "new")}
    )
    assert missing.status == 1
    assert "There is no warehouse" in missing.error_line


@pytest.fixture(scope="module")
def api() -> Iterator[RunningSandbox]:
    from tests.support.sandbox import start_sandbox

    sandbox = start_sandbox(clients=4, cases=60, transactions=90, seed=11, no_rate_limit=True)
    yield sandbox
    sandbox.stop()


def test_the_next_sync_goes_on_there(api: RunningSandbox, postgres: Database, tmp_path: Path) -> None:
    """Nothing is read as new, changed or deleted that was there before, and the chain of certificates holds."""
    here = Pipeline(tmp_path / "data", api)
    here.sync()
    api.admin("advance", {"days": 1})
    here.sync()
    said = debitura("migrate", "--to", postgres.url, env=here.env)
    assert said.status == 0, said.err
    assert postgres.url not in said.out + said.err
    assert "DEBITURA_WAREHOUSE=postgresql://pipeline:***@" in said.out
    there = Pipeline(tmp_path / "data", api, DEBITURA_WAREHOUSE=postgres.url)
    assert there.state() == here.state()
    reports = there.sync()
    assert all(report.is_proven for report in reports)
    assert [(report.inserted, report.changed, report.deleted) for report in reports] == [(0, 0, 0)] * 3
    assert debitura("verify", env=there.env).status == 0
    api.admin("advance", {"days": 1})
    assert all(report.is_proven for report in there.sync())
    assert everything(there.settings)["raw.cases"] != everything(here.settings)["raw.cases"], "the old one stands still"
