"""A Postgres database that others use too: what is theirs is named, and neither changed nor moved nor dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from debitura_pipeline.doctor.roles import examine
from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import PROJECT_ROOT, Secret, Settings, WarehouseUrl, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.postgres.neighbours import MARK, marked_table, summarise
from debitura_pipeline.warehouse.postgres.roles import ANALYST, DBT, PIPELINE, grant_sql
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.support.command import debitura
from tests.support.neighbours import HOSTILE, OTHERS, snapshot
from tests.support.postgres import Database, PostgresServer
from tests.warehouse.test_release import release

CURE = "Set DEBITURA_SCHEMA_PREFIX (deb_, for example), use a separate database"


def settings_of(database: Database, folder: Path, **env: str) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(folder), "DEBITURA_WAREHOUSE": database.url, **env})


def warehouse_of(database: Database) -> WarehouseUrl:
    return WarehouseUrl("postgresql", dsn=Secret(database.url))


def run(database: Database, *statements: str) -> None:
    """As the role that the pipeline has."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for sql in statements:
            connection.execute(sql.encode())


@pytest.mark.parametrize("as_owner", [True, False], ids=["made by the same role", "made by another role"])
def test_schemas_of_others_stop_every_writing_command(
    postgres: Database, postgres_server: PostgresServer, tmp_path: Path, as_owner: bool
) -> None:
    """Their tables were taken over, moved out of sight the first night and dropped the second."""
    if as_owner:
        run(postgres, OTHERS)
    else:
        postgres_server.admin(OTHERS, postgres.name)
    before = snapshot(postgres.admin_url)
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_WAREHOUSE": postgres.url}
    for command in ("sync", "nightly", "replay") if as_owner else ("sync",):
        ended = debitura(command, env=env)
        assert ended.status == 1
        assert CURE in ended.error_line
        owner = "pipeline" if as_owner else "postgres"
        assert f"marts.dim_clients (table, owner {owner}), marts.finance (table, owner {owner})" in ended.error_line
        assert f"({10 if as_owner else 11} in all)" in ended.error_line, "an empty schema of our role's would do"
    left = {path.name for path in (tmp_path / "data").iterdir()}
    assert left <= {"run.lock", "nights.jsonl", "incidents", "metrics"}, "nothing was asked of the API"
    assert snapshot(postgres.admin_url) == before


def test_a_publication_of_a_schema_is_named(postgres: Database, postgres_server: PostgresServer) -> None:
    """Its entry went with the schema of the night before, and vanished two nights later."""
    database = warehouse_of(postgres)
    release(database, 0)
    try:
        postgres_server.admin("CREATE PUBLICATION cdc FOR TABLES IN SCHEMA reports", postgres.name)
    except psycopg.errors.SyntaxError:
        pytest.skip("a Postgres before 15 has none")
    with pytest.raises(WarehouseError, match=r"reports in publication cdc \(publication namespace, on reports\)"):
        create_next_schemas(database, [])


def test_rows_that_a_policy_hides_are_an_error_and_doctor_names_the_table(postgres: Database, tmp_path: Path) -> None:
    """`migrate` copied what was left of a table, said that every row was equal, and ended with 0."""
    settings = settings_of(postgres, tmp_path)
    with open_warehouse(settings) as warehouse:
        run(postgres, "ALTER TABLE raw.cases ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        with pytest.raises(WarehouseError, match=r"row-level security .*cases.*BYPASSRLS"):
            warehouse.rows("SELECT count(*) FROM raw.cases")
    with pytest.raises(
        WarehouseError, match=r"may hide rows of raw\.cases from dbt's role.* ALTER ROLE \"pipeline\" BYPASSRLS"
    ):
        create_next_schemas(warehouse_of(postgres), [])
    (found,) = examine(settings)
    assert not found.is_ok and "may hide rows of raw.cases from user pipeline" in found.seen


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ("CREATE TABLE reports.mine AS SELECT 1 AS one", "reports.mine (table, owner pipeline)"),
        ("CREATE MATERIALIZED VIEW marts.wide AS SELECT 1 AS one", "marts.wide (materialized view, owner pipeline)"),
        ("CREATE FUNCTION marts.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "marts.f() (function, owner pipeline)"),
        ("CREATE DOMAIN staging.positive AS integer", "staging.positive (type, owner pipeline)"),
        ("CREATE TABLE raw.notes (a integer)", "raw.notes (table, owner pipeline)"),
        ("CREATE VIEW ops.seen AS SELECT 1 AS one", "ops.seen (view, owner pipeline)"),
        ("CREATE TABLE reports__previous.mine (a integer)", "reports__previous.mine (table, owner pipeline)"),
        ("CREATE SCHEMA marts__next; CREATE TABLE marts__next.m (a integer)", "marts__next.m (table, owner pipeline)"),
        ("CREATE SCHEMA team; CREATE VIEW team.v AS SELECT * FROM reports.a", "team.v (view, on reports.a)"),
        ("CREATE SCHEMA team; CREATE TABLE team.t (a integer); CREATE VIEW team.w AS SELECT * FROM marts__previous.m",
         "team.w (view, on marts__previous.m)"),
        ("CREATE SCHEMA team; CREATE FUNCTION team.f() RETURNS SETOF reports.a LANGUAGE sql AS 'SELECT * FROM reports.a'",
         "team.f() (function, on reports.a)"),
        ("CREATE SCHEMA team; CREATE FUNCTION team.f(reports.a[]) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
         "team.f(reports.a[]) (function, on reports.a)"),
        ("CREATE SCHEMA team; CREATE TABLE team.t (n integer, kept reports.a)", "team.t (table, on reports.a)"),
        ("CREATE SCHEMA team; CREATE TABLE team.t (n integer, kept reports.a[])", "team.t (table, on reports.a)"),
        ("CREATE SCHEMA team; CREATE VIEW team.v AS SELECT NULL::marts.m AS none", "team.v (view, on marts.m)"),
        ("CREATE SCHEMA team; CREATE TABLE team.t () INHERITS (reports.a)", "team.t (table, on reports.a)"),
        ("CREATE SCHEMA team; CREATE TYPE team.pair AS (one reports.a, n integer)",
         "team.pair (composite type, on reports.a)"),
        ("CREATE SCHEMA team; CREATE DOMAIN team.d AS reports.a", "team.d (type, on reports.a)"),
        ("CREATE SCHEMA team; CREATE TABLE team.t (n integer); "
         "CREATE POLICY p ON team.t USING (EXISTS (SELECT FROM reports.a))", "team.t (table, on reports.a)"),
        ("CREATE PUBLICATION cdc FOR TABLE reports.a", "cdc (publication, on reports.a)"),
    ],
)  # fmt: skip
def test_what_somebody_adds_between_nights_is_named_and_kept(
    postgres: Database, tmp_path: Path, theirs: str, named: str
) -> None:
    """By the role that the pipeline has, even: an analyst's work must not go with the night before last."""
    settings, database = settings_of(postgres, tmp_path), warehouse_of(postgres)
    with open_warehouse(settings):
        for night in range(2):
            release(database, night)
    run(postgres, theirs)
    before = snapshot(postgres.admin_url)
    for refused in (lambda: create_next_schemas(database, []), lambda: exclusive_run(settings).__enter__()):
        with pytest.raises(WarehouseError) as said:
            refused()
        assert f"did not create: {named}. Nothing was changed." in str(said.value)
    with (
        pytest.raises(WarehouseError, match=r"use a separate database|as models in dbt/models"),
        open_warehouse(settings),
    ):
        pass
    assert snapshot(postgres.admin_url) == before


def test_what_somebody_adds_while_a_night_is_built_keeps_the_switch_from_readers(postgres: Database) -> None:
    database = warehouse_of(postgres)
    for night in range(2):
        release(database, night)

    def in_the_middle() -> None:
        run(
            postgres,
            "CREATE TABLE marts.mine AS SELECT 7 AS seven",
            "CREATE TABLE reports__previous.kept AS SELECT 1 AS a",
        )

    with pytest.raises(WarehouseError, match=r"marts\.mine .*reports__previous\.kept"):
        release(database, 2, meanwhile=in_the_middle)
    with psycopg.connect(postgres.url) as reader:
        assert reader.execute(b"SELECT a.night, m.night, seven FROM reports.a, marts.m, marts.mine").fetchall() == [
            (1, 1, 7)
        ]
    run(postgres, "DROP TABLE marts.mine", "DROP TABLE reports__previous.kept")
    release(database, 3)


def test_a_warehouse_from_before_the_mark_is_known_and_gets_it(postgres: Database, tmp_path: Path) -> None:
    settings, database = settings_of(postgres, tmp_path), warehouse_of(postgres)
    with open_warehouse(settings):
        pass
    built = ("staging", "marts", "reports", "marts__previous", "marts__next")
    as_before = [
        *(f"COMMENT ON SCHEMA {schema} IS NULL" for schema in ("raw", "ops")),
        *(f"CREATE SCHEMA {schema}" for schema in built),
        "ALTER TABLE ops.syncs DROP COLUMN certificate_sha256",
        "CREATE VIEW staging.stg_debitura__cases AS SELECT * FROM raw.cases",
        "CREATE TABLE marts.fct_cases AS SELECT 1 AS night",
        "CREATE FUNCTION marts.cases_as_of(ts timestamptz) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE marts__next.fct_cases AS SELECT 1 AS night",
        "CREATE TABLE reports.data_quality AS SELECT 1 AS night",
    ]
    run(postgres, *as_before)
    for night in range(3):
        with open_warehouse(settings):
            release(database, night)
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute(
            b"SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname !~ '^(pg_|info|public)'"
        ).fetchall()
    assert {text for _, text in found} == {MARK}
    assert len(found) == 8
    run(postgres, "CREATE TABLE reports.data_quality AS SELECT 1 AS theirs")
    with pytest.raises(WarehouseError, match=r"reports\.data_quality \(table"):
        release(database, 4)


def test_an_empty_schema_counts_by_its_owner(
    postgres: Database, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    run(postgres, "CREATE SCHEMA marts")
    with open_warehouse(settings_of(postgres, tmp_path)):
        pass
    postgres_server.admin("CREATE SCHEMA reports", postgres.name)
    with (
        pytest.raises(WarehouseError, match=r"did not create: reports \(schema, owner postgres, empty\)\."),
        open_warehouse(settings_of(postgres, tmp_path)),
    ):
        pass


def test_dbt_sets_the_mark_that_is_looked_for() -> None:
    assert MARK in (PROJECT_ROOT / "dbt/macros/marks.sql").read_text()


def test_many_are_counted() -> None:
    assert summarise(["a", "b"]) == "a, b"
    assert summarise(list("abcdefg")) == "a, b, c, d and 3 more (7 in all)"


def test_two_prefixes_are_two_warehouses_that_run_at_once(postgres: Database, tmp_path: Path) -> None:
    run(postgres, OTHERS)
    before = snapshot(postgres.admin_url, without="deb")
    one = settings_of(postgres, tmp_path / "1", DEBITURA_SCHEMA_PREFIX="deb_")
    two = settings_of(postgres, tmp_path / "2", DEBITURA_SCHEMA_PREFIX="deb2_")
    with exclusive_run(one), exclusive_run(two), open_warehouse(one) as first, open_warehouse(two) as second:
        with first.transaction(), second.transaction():
            first.run("INSERT INTO ops.schema_drift (kind, value) VALUES ('field', 'in raw.cases')")
            assert second.rows("SELECT * FROM ops.schema_drift") == []
            second.run("DELETE FROM raw.cases")
        assert first.rows("SELECT value FROM ops.schema_drift") == [("in raw.cases",)]
        assert first.columns("ops", "identity") and first.tables() >= {"raw.cases_history", "ops.syncs"}
        for night in range(3):
            release(one.warehouse, night)
            release(two.warehouse, night + 10)
    with psycopg.connect(postgres.url) as reader:
        sql = b"SELECT deb_marts.m.night, deb2_reports__previous.a.night FROM deb_marts.m, deb2_reports__previous.a"
        assert reader.execute(sql).fetchall() == [(2, 11)]
    assert warehouse_exists(one)
    assert snapshot(postgres.admin_url, without="deb") == before


@pytest.fixture
def roles(postgres: Database, postgres_server: PostgresServer) -> Iterator[Callable[[str], list[Any]]]:
    """Runs a script as an administrator; the roles that it makes are gone at the end."""
    yield lambda sql: postgres_server.admin(sql, postgres.name)
    for role in (PIPELINE, DBT, ANALYST):
        if postgres_server.admin(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            postgres_server.admin(f"DROP OWNED BY {role} CASCADE", postgres.name)
            postgres_server.admin(f"DROP ROLE {role}")


def test_the_grant_script_changes_nothing_where_others_have_the_schemas(
    postgres: Database, roles: Callable[[str], list[object]]
) -> None:
    roles(OTHERS)
    before = snapshot(postgres.admin_url)
    for _ in range(2):
        with pytest.raises(
            psycopg.errors.RaiseException, match=r"did not create: marts\.dim_clients \(table, owner postgres\)"
        ):
            roles(grant_sql(Schemas()))
    assert snapshot(postgres.admin_url) == before
    with psycopg.connect(postgres.admin_url) as connection:
        assert connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [PIPELINE]).fetchall() == []


def test_the_grant_script_runs_twice_beside_hostile_functions_and_gives_nothing_away(
    postgres: Database, roles: Callable[[str], list[object]]
) -> None:
    """An administrator runs it: a function in `public` that is taken for a built-in one would run with all rights."""
    roles(OTHERS)
    roles(HOSTILE)
    before = snapshot(postgres.admin_url, without="deb_")
    script = grant_sql(Schemas("deb_"))
    for _ in range(2):
        roles("SET search_path = public, pg_catalog;" + script)
    after = snapshot(postgres.admin_url, without="deb_")
    assert after.pop("rights") != before.pop("rights"), "the three roles may connect"
    assert after == before
    assert after["public.caught"] == []
    with psycopg.connect(postgres.admin_url) as connection:
        everybody = "SELECT has_database_privilege('pipeline', current_database(), 'CONNECT, TEMPORARY')"
        assert connection.execute(everybody.encode()).fetchone() == (True,)
        owners = "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname LIKE 'deb\\_%'"
        assert dict(connection.execute(owners.encode()).fetchall()) == {
            "deb_raw": PIPELINE, "deb_ops": PIPELINE, "deb_staging": DBT, "deb_marts": DBT, "deb_reports": DBT,
        }  # fmt: skip
        for role in (PIPELINE, DBT, ANALYST):
            reads = "SELECT has_table_privilege(%s, 'raw.stripe_charges', 'SELECT') OR has_schema_privilege(%s, 'raw', 'USAGE')"
            assert connection.execute(reads, [role, role]).fetchone() == (False,)


def test_the_grant_script_in_a_database_of_its_own_leaves_an_analyst_no_more_than_reading(
    postgres: Database, postgres_server: PostgresServer, roles: Callable[[str], list[object]]
) -> None:
    for _ in range(2):
        roles(grant_sql(Schemas()))
    postgres_server.admin(f"ALTER ROLE {ANALYST} PASSWORD 'debitura'")
    url = f"postgresql://{ANALYST}:debitura@127.0.0.1:{postgres_server.port}/{postgres.name}"
    with psycopg.connect(url, autocommit=True) as analyst:
        for sql in (
            "CREATE TABLE public.mine (a integer)",
            "CREATE TABLE reports.mine (a integer)",
            "CREATE TEMPORARY TABLE mine (a integer)",
            "CREATE SCHEMA mine",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(sql.encode())


def test_the_grant_script_takes_over_what_the_pipeline_made_before(
    postgres: Database, roles: Callable[[str], list[object]], tmp_path: Path
) -> None:
    with open_warehouse(settings_of(postgres, tmp_path)):
        release(warehouse_of(postgres), 0)
    run(postgres, marked_table("marts.m"))
    roles(grant_sql(Schemas()))
    with psycopg.connect(postgres.admin_url) as connection:
        owners = """SELECT DISTINCT n.nspname, pg_get_userbyid(c.relowner) FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname IN ('raw', 'ops', 'marts', 'reports')"""
        assert dict(connection.execute(owners.encode()).fetchall()) == {
            "raw": PIPELINE, "ops": PIPELINE, "marts": DBT, "reports": DBT,
        }  # fmt: skip
