"""Postgres behind a pooler: one that keeps no session is refused before anything is set there, one that does is left clean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Secret, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.postgres.schema_swap import dbt_access
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.support.command import debitura
from tests.support.neighbours import HOSTILE
from tests.support.pooler import pooled
from tests.support.postgres import Database, PostgresServer

REFUSAL = "is a pooler in transaction mode; use the direct port or session mode"


def through(url: str, port: int) -> str:
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")


@pytest.fixture
def shared(postgres: Database, postgres_server: PostgresServer) -> Iterator[str]:
    """The database's address at a pooler in transaction mode."""
    with pooled(postgres_server.port, "transaction") as pooler:
        yield through(postgres.url, pooler.port)


def test_every_command_refuses_a_pooler_in_transaction_mode(shared: str, tmp_path: Path) -> None:
    """There, a session's lock stays with whoever is next, and so does `default_transaction_read_only`."""
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_WAREHOUSE": shared}
    ended = debitura("sync", env=env)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert REFUSAL in ended.err
    status = debitura("status", env=env)
    assert status.status == 0, "what cannot be read is an open problem"
    assert REFUSAL in status.out
    doctor = debitura("doctor", env=env)
    assert doctor.status == 2
    assert REFUSAL in doctor.out


def test_nothing_is_left_on_the_connections_of_a_pooler_that_is_refused(shared: str, postgres: Database) -> None:
    """A program of somebody else gets the same server connections before and after."""
    asked = b"""SELECT current_setting('search_path'), current_setting('default_transaction_read_only'),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"""
    with psycopg.connect(shared, autocommit=True) as other:
        before = other.execute(asked).fetchone()
        for read_only in (True, False):
            with pytest.raises(WarehouseError, match=REFUSAL):
                connect(Secret(shared), "test", read_only=read_only)
        with psycopg.connect(shared, autocommit=True) as another:
            rows = [connection.execute(asked).fetchone() for connection in (other, another)]
    assert rows == [before, before]
    with psycopg.connect(postgres.url) as direct:
        assert direct.execute(b"SELECT count(*) FROM pg_namespace WHERE nspname IN ('raw', 'ops')").fetchone() == (0,)


def test_a_pooler_that_hands_server_connections_round_is_refused_too(
    shared: str,
) -> None:
    """Where others have taken the first session's connection meanwhile, the second one gets another."""
    for _ in range(3):
        with psycopg.connect(shared) as other:
            other.execute(b"SELECT 1")  # in a transaction, and so a connection in use, until the end of the block
            with pytest.raises(WarehouseError, match=REFUSAL):
                connect(Secret(shared), "test")


def test_a_pooler_in_session_mode_is_used_and_left_clean(
    postgres: Database, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    with pooled(postgres_server.port, "session") as pooler:
        url = through(postgres.url, pooler.port)
        settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_WAREHOUSE": url})
        with exclusive_run(settings, "test"), open_warehouse(settings) as warehouse:
            warehouse.execute("INSERT INTO ops.schema_drift (kind) VALUES ('field')")
        assert warehouse_exists(settings)
        with connect(Secret(url), "test", read_only=True) as connection:
            assert connection.execute(b"SHOW search_path").fetchone() == ("pg_catalog",)
    with psycopg.connect(postgres.admin_url) as direct:
        held = b"""SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND d.datname = current_database()"""
        assert direct.execute(held).fetchone() == (0,)


def test_a_session_resets_what_it_has_set_before_the_pooler_has_it_back(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[bytes] = []
    with connect(Secret(postgres.url), "test") as connection:
        assert not connection.is_pooled  # type: ignore[attr-defined]
        connection.is_pooled = True  # type: ignore[attr-defined]
        execute = connection.execute

        def heard(sql: bytes) -> Any:
            said.append(sql)
            return execute(sql)

        monkeypatch.setattr(connection, "execute", heard)
        connection.execute(b"BEGIN")
    assert said == [b"BEGIN", b"DISCARD ALL"]


def test_functions_that_dbt_would_take_for_the_servers_own_behind_a_pooler_are_refused(
    postgres: Database, postgres_server: PostgresServer
) -> None:
    """A pooler takes no options, so dbt's search path is that of the server; directly, it is our own."""
    assert "search_path=pg_catalog" in dbt_access(Secret(postgres.url))["PGOPTIONS"]
    with pooled(postgres_server.port, "session") as pooler:
        url = Secret(through(postgres.url, pooler.port))
        assert "PGOPTIONS" not in dbt_access(url)
        postgres_server.admin(HOSTILE, postgres.name)
        with pytest.raises(
            WarehouseError, match=r"dbt would call public\.=, public\.current_database, public\.date_trunc inst"
        ):
            dbt_access(url)
