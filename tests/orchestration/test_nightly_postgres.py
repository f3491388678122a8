"""The nightly job into a Postgres that others use, too: from nothing to the page and the analysts' files, and what readers see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import psycopg
import pytest

from debitura_pipeline.doctor import examine
from debitura_pipeline.orchestration.nightly import NightlyResult, run_job
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.sync import read_status, reconcile, replay, verify
from debitura_pipeline.warehouse.postgres.roles import ANALYST, DBT, PIPELINE
from tests.support.command import debitura
from tests.support.neighbours import HOSTILE, OTHERS, snapshot
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database, PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

ROLES, PASSWORD = (PIPELINE, DBT, ANALYST), "of-all-three@:/% ?#&"
# What administrators set for whole databases and roles.
DEFAULTS = {
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "quote_all_identifiers": "on",
    "statement_timeout": "100ms",
    "lock_timeout": "5ms",
    "idle_in_transaction_session_timeout": "500ms",
    "idle_session_timeout": "1s",
}


@dataclass
class Night:
    """The first night, and what is needed for the next. `urls`: of each role. `before`: what others had in the database."""

    server: PostgresServer
    sandbox: RunningSandbox
    env: dict[str, str]
    settings: Settings
    database: Database
    urls: dict[str, str]
    before: dict[str, list[tuple[Any, ...]]]
    result: NightlyResult

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls[ANALYST]) as connection:
            return connection.execute(sql.encode()).fetchall()


@pytest.fixture(scope="module")
def night(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The pipeline, dbt and an analyst, none a superuser, in a shared database: under a prefix, beside schemas of the names that
    it would have had."""
    sandbox = start_sandbox(clients=4, cases=60, transactions=150, seed=11, no_rate_limit=True)
    data = tmp_path_factory.mktemp("night") / "data"
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server.database())
        for sql in (OTHERS, HOSTILE, "CREATE PUBLICATION all_changes FOR ALL TABLES"):
            postgres_server.admin(sql, database.name)
        before = snapshot(database.admin_url, without="deb_")
        urls = stack.enter_context(of_roles(postgres_server, database, data))
        env = {
            "DEBITURA_API_URL": sandbox.url,
            "DEBITURA_API_KEY": sandbox.key,
            "DEBITURA_DATA_DIR": str(data),
            "DEBITURA_REQUESTS_PER_MINUTE": "1000000",
            "DEBITURA_WAREHOUSE": urls[PIPELINE],
            "DEBITURA_DBT_URL": urls[DBT],
            "DEBITURA_SCHEMA_PREFIX": "deb_",
        }
        settings = load_settings(env)
        yield Night(postgres_server, sandbox, env, settings, database, urls, before, run_job(settings))
    sandbox.stop()


@contextmanager
def of_roles(server: PostgresServer, database: Database, data: Path) -> Iterator[dict[str, str]]:
    """Their addresses, once the SQL that `doctor` prints was executed; a second time does no harm."""
    env = {"DEBITURA_DATA_DIR": str(data), "DEBITURA_WAREHOUSE": database.url, "DEBITURA_SCHEMA_PREFIX": "deb_"}
    printed = debitura("doctor", "--grant-sql", env=env)
    assert printed.status == 0
    urls = {}
    try:
        for _ in range(2):
            server.admin(printed.out, database.name)
        for role in ROLES:
            server.admin(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
            for name, value in DEFAULTS.items() if role != ANALYST else ():
                server.admin(f"ALTER ROLE {role} SET {name} = '{value}'")
            urls[role] = f"postgresql://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{database.name}"
        yield urls
    finally:
        for role in ROLES:
            server.admin(f"DROP OWNED BY {role} CASCADE", database.name)
            server.admin(f"DROP ROLE {role}")


def test_the_first_night_into_an_empty_database_ends_with_published_files(night: Night) -> None:
    assert night.result.success, night.result.error
    assert night.result.checks > 20
    clients = len(night.sandbox.truth("clients"))
    listed = "SELECT count(*) FROM {}marts.dim_clients WHERE client_record <> 'unknown'"
    assert night.rows(listed.format("deb_")) == [(clients,)]
    folder = night.settings.published_dir
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as copy:
        assert copy.execute(listed.format("")).fetchone() == (clients,)
    tables = night.rows(
        "SELECT table_name FROM information_schema.tables WHERE table_schema IN ('deb_marts', 'deb_reports')"
    )
    assert {path.stem for path in folder.glob("*.parquet")} == {name for (name,) in tables}
    assert (night.settings.reports_dir / "partner-report.html").exists()


def test_the_published_copy_answers_as_of_an_instant_as_the_server_does(night: Night) -> None:
    file = night.settings.published_dir / "warehouse.duckdb"
    with duckdb.connect(str(file), read_only=True) as copy, duckdb.connect() as tool:
        copy.execute("SET TimeZone = 'UTC'")
        tool.execute(f"SET TimeZone = 'UTC'; ATTACH '{file.resolve()}' AS deb (READ_ONLY)")
        for resource, key in (("transactions", "transaction_id, revenue_stage"), ("cases", "case_id, lifecycle")):
            for instant, some in (("9990-01-01", True), ("0001-01-01", False)):
                as_of = f"marts.{resource}_as_of('{instant} 00:00:00+00')"
                attached = f"deb.marts.{resource}_as_of_in('{instant} 00:00:00+00', 'deb')"
                found = copy.execute(f"SELECT {key} FROM {as_of} ORDER BY 1").fetchall()
                assert found == night.rows(f"SELECT {key} FROM deb_{as_of} ORDER BY 1") and bool(found) is some
                assert found == tool.execute(f"SELECT {key} FROM {attached} ORDER BY 1").fetchall()


def test_the_password_is_in_no_file_of_the_data_directory(night: Night) -> None:
    """Dagster's storage, dbt's logs and targets are copied and shown around."""
    needles = [text.encode() for text in (PASSWORD, quote(PASSWORD, safe=""))]
    files = [path for path in night.settings.data_dir.rglob("*") if path.is_file()]
    assert any("dbt-postgres" in path.parts for path in files)
    assert [path for path in files if any(needle in path.read_bytes() for needle in needles)] == []


def test_the_other_commands_work(night: Night) -> None:
    pipeline = Pipeline(night.settings.data_dir, night.sandbox, **night.env)
    odd = "rows in none of the API's stages, so no total holds them"
    assert [problem for problem in read_status(night.settings)["problems"] if odd not in problem] == []
    assert {total.verdict for total in reconcile(night.settings, pipeline.endpoint)} <= {"equal", "unproven"}
    assert replay(night.settings)["transactions"] == len(night.sandbox.truth("transactions"))
    assert not [finding for finding in verify(night.settings) if finding.faults]


# The same money by two ways, from both tables in one statement.
BOTH = """
    SELECT r.n, r.usd, m.n, m.usd FROM
        (SELECT sum(transaction_count) AS n, sum(referral_fee_usd) AS usd FROM deb_reports.revenue_by_client) AS r,
        (SELECT sum(transactions_total) AS n, sum(fee_total_usd + fee_disputed_usd + fee_unclassified_usd) AS usd
        FROM deb_reports.attribution_by_client) AS m"""
PREVIOUS = "SELECT sum(transaction_count), sum(referral_fee_usd) FROM deb_reports__previous.revenue_by_client"
READ_EVERY_S = 0.02  # hundreds of times during a build, without taking its processor


@contextmanager
def reading(url: str, seen: list[tuple[Any, ...]]) -> Iterator[None]:
    """Ask for both again and again while the block runs; every answer goes to `seen`."""
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not done.wait(READ_EVERY_S):
                seen.append(connection.execute(BOTH.encode()).fetchall()[0])

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            yield
        finally:
            done.set()
        reader.result(30)


def test_the_roles_of_grant_sql_suffice_in_a_shared_database(night: Night) -> None:
    owners = """SELECT DISTINCT n.nspname, pg_get_userbyid(c.relowner) FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname IN ('deb_raw', 'deb_ops', 'deb_staging', 'deb_marts', 'deb_reports') ORDER BY 1"""
    assert dict(night.server.admin(owners, night.database.name)) == {
        "deb_marts": DBT, "deb_ops": PIPELINE, "deb_raw": PIPELINE, "deb_reports": DBT, "deb_staging": DBT,
    }  # fmt: skip
    with psycopg.connect(night.urls[ANALYST], autocommit=True) as analyst:
        for readable in ("deb_reports.revenue_by_month", "deb_marts.fct_cases", "deb_marts.cases_as_of(now())"):
            analyst.execute(f"SELECT * FROM {readable}".encode())
        for sql in (
            "SELECT * FROM deb_raw.cases",
            "SELECT * FROM deb_ops.syncs",
            "SELECT * FROM deb_staging.int_clock",
            "DELETE FROM deb_reports.revenue_by_month",
            "SELECT * FROM marts.finance",
            "CREATE SCHEMA mine",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(sql.encode())


def test_an_analyst_sees_one_night_while_the_next_is_built(night: Night) -> None:
    """Money of one night beside a count of another looks like a loss, and nobody could find it afterwards."""
    night.sandbox.admin("advance", {"days": 1})
    seen: list[tuple[Any, ...]] = []
    with reading(night.urls[ANALYST], seen):
        second = run_job(night.settings)
    assert second.success, second.error
    assert [both for both in seen if both[:2] != both[2:]] == []
    assert len(set(seen)) == 2, "the nights must differ, or this proves nothing"
    assert night.server.admin(PREVIOUS, night.database.name) == [seen[0][:2]], "last night's are kept"
    assert_copy_has_plain_names(night.settings)


def test_what_others_have_in_the_database_is_as_it_was(night: Night) -> None:
    """After two nights and all the commands above."""
    after = snapshot(night.database.admin_url, without="deb_")
    assert {**after, "rights": night.before["rights"]} == night.before, "but for who may connect"
    assert after["public.caught"] == []


def assert_copy_has_plain_names(settings: Settings) -> None:
    """The published copy is the same whatever the schemas are called on the server, views and macros included."""
    with duckdb.connect(str(settings.published_dir / "warehouse.duckdb"), read_only=True) as copy:
        schemas = copy.execute("SELECT DISTINCT table_schema FROM information_schema.tables ORDER BY 1").fetchall()
        assert schemas == [("marts",), ("ops",), ("raw",), ("reports",), ("staging",)]
        views = "SELECT count(*) FROM information_schema.tables WHERE table_type = 'VIEW' AND table_schema = 'staging'"
        (count,) = copy.execute(views).fetchone() or (0,)
        assert count > 5
        then = copy.execute("SELECT count(*) FROM marts.cases_as_of('9999-01-01')").fetchone()
        assert then == copy.execute("SELECT count(*) FROM marts.fct_cases").fetchone() != (0,)


def test_an_empty_database_is_well_and_holds_nothing_yet(postgres: Database, tmp_path: Path) -> None:
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_WAREHOUSE": postgres.url}
    status = debitura("status", env=env)
    assert (status.status, status.out[:24]) == (0, "Nothing is published yet")
    (seen,) = [diagnosis for diagnosis in examine(load_settings(env)) if diagnosis.what == "warehouse"]
    assert seen.is_ok
    assert seen.seen.endswith("holds nothing yet; the first run creates it")
