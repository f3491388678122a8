"""dbt's schemas on Postgres are switched at once: no reader meets two nights, or none, however it reads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from debitura_pipeline.errors import WarehouseBusy
from debitura_pipeline.settings import Secret, WarehouseUrl
from debitura_pipeline.warehouse.postgres.neighbours import marked_table
from debitura_pipeline.warehouse.postgres.schema_swap import create_next_schemas, swap_schemas
from debitura_pipeline.warehouse.postgres.schemas import DBT_SCHEMAS
from tests.support.postgres import Database, PostgresServer

NIGHTS = 5
PAUSE_S = 0.001  # between readings; the switch takes longer


def build(database: WarehouseUrl, night: int) -> None:
    """A night's tables, one commit each, as dbt makes them."""
    prefix = database.schema_prefix
    create_next_schemas(database, [("marts", "kept")])
    with psycopg.connect(database.server.reveal(), autocommit=True) as connection:
        for table in (f"{prefix}marts__next.m", f"{prefix}reports__next.a", f"{prefix}reports__next.b"):
            connection.execute(f"CREATE TABLE {table} AS SELECT {night} AS night".encode())
            connection.execute(marked_table(table).encode())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {prefix}marts__next.kept (night integer NOT NULL)".encode())
        connection.execute(marked_table(f"{prefix}marts__next.kept").encode())
        connection.execute(f"INSERT INTO {prefix}marts__next.kept VALUES ({night})".encode())


def release(database: WarehouseUrl, night: int, meanwhile: Callable[[], None] = lambda: None, **options: float) -> None:
    build(database, night)
    meanwhile()
    swap_schemas(database, **options)  # type: ignore[arg-type]


Read = Callable[["psycopg.Connection[tuple[int]]"], list[int]]


def in_one_statement(connection: psycopg.Connection[tuple[int]]) -> list[int]:
    sql = b"SELECT a.night FROM reports.a UNION ALL SELECT b.night FROM reports.b UNION ALL SELECT m.night FROM marts.m"
    return [night for (night,) in connection.execute(sql)]


def in_one_transaction(connection: psycopg.Connection[tuple[int]]) -> list[int]:
    found = []
    with connection.transaction():
        for table in random.sample(["marts.m", "reports.a", "reports.b"], 3):
            found += [night for (night,) in connection.execute(f"SELECT night FROM {table}".encode())]
            time.sleep(random.random() * 0.02)
    return found


def with_an_old_snapshot(connection: psycopg.Connection[tuple[int]]) -> list[int]:
    """Its snapshot is from before the switch, and maybe from before the tables."""
    found = []
    with connection.transaction():
        connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(b"SELECT count(*) FROM pg_class")
        time.sleep(random.random() * 0.05)
        for table in ("reports.b", "marts.m", "reports.a"):
            found += [night for (night,) in connection.execute(f"SELECT night FROM {table}".encode())]
    return found


def test_readers_of_every_kind_see_one_night(postgres: Database) -> None:
    database = WarehouseUrl("postgresql", dsn=Secret(postgres.url))
    release(database, 0)
    done, seen, faults = threading.Event(), dict[str, list[list[int]]](), list[psycopg.Error]()

    def loop(read: Read) -> None:
        try:
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                while not done.is_set():
                    seen.setdefault(read.__name__, []).append(read(connection))
                    time.sleep(PAUSE_S)
        except psycopg.Error as error:
            faults.append(error)

    readers = [threading.Thread(target=loop, args=(read,)) for read in READERS]
    for reader in readers:
        reader.start()
    try:
        for night in range(1, NIGHTS):
            release(database, night)
    finally:
        done.set()
        for reader in readers:
            reader.join(30)
    assert faults == [], "no reader is the one that has to give way"
    for name, readings in seen.items():
        assert [nights for nights in readings if len(nights) != 3 or len(set(nights)) != 1] == [], name
        assert len({nights[0] for nights in readings}) > 2, name


READERS: tuple[Read, ...] = (in_one_statement, in_one_statement, in_one_transaction, with_an_old_snapshot)


def test_what_was_there_is_kept_once_and_state_is_carried_on(postgres: Database) -> None:
    database = WarehouseUrl("postgresql", dsn=Secret(postgres.url))
    for night in range(4):
        release(database, night)
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(b"SELECT night FROM reports.a").fetchall() == [(3,)]
        assert connection.execute(b"SELECT night FROM reports__previous.a").fetchall() == [(2,)]
        assert connection.execute(b"SELECT night FROM marts.kept ORDER BY 1").fetchall() == [(0,), (1,), (2,), (3,)]
        found = connection.execute(
            b"SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'"
        )
        assert {name for (name,) in found} == {schema + end for schema in DBT_SCHEMAS for end in ("", "__previous")}


def test_a_reader_who_does_not_let_go_is_named_and_keeps_what_it_has(postgres: Database) -> None:
    database = WarehouseUrl("postgresql", dsn=Secret(postgres.url))
    release(database, 0)
    with psycopg.connect(postgres.url, application_name="a dashboard") as reader:
        assert reader.execute(b"SELECT night FROM reports.a").fetchall() == [(0,)]
        with pytest.raises(WarehouseBusy, match=r"a dashboard\)\. They keep the old ones"):
            release(database, 1, swap_timeout_s=0.2, old_transactions_timeout_s=0.1)
        assert reader.execute(b"SELECT night FROM reports.b").fetchall() == [(0,)]
    release(database, 2)
    with psycopg.connect(postgres.url) as reader:
        assert in_one_statement(reader) == [2, 2, 2]


def test_who_may_read_a_schema_may_read_it_after_the_switch_too(
    postgres: Database, postgres_server: PostgresServer
) -> None:
    database = WarehouseUrl("postgresql", dsn=Secret(postgres.url))
    release(database, 0)
    postgres_server.admin("CREATE ROLE \"An Analyst\" LOGIN PASSWORD 'x'", postgres.name)
    try:
        postgres_server.admin('GRANT USAGE ON SCHEMA reports TO "An Analyst"', postgres.name)
        release(database, 1)
        release(database, 2)
        sql = """SELECT has_schema_privilege('An Analyst', s, 'USAGE') AND has_table_privilege('An Analyst', t, 'SELECT')
            FROM (VALUES ('reports', 'reports.a'), ('marts', 'marts.m')) AS v(s, t)"""
        assert postgres_server.admin(sql, postgres.name) == [(True,), (False,)]
    finally:
        postgres_server.admin('DROP OWNED BY "An Analyst"', postgres.name)
        postgres_server.admin('DROP ROLE "An Analyst"', postgres.name)
