"""The tests' own server: not the machine's, not root's, and what was committed outlives its death."""

from __future__ import annotations

import psutil
import psycopg
import pytest

from tests.support.postgres import Database, PostgresServer


def test_server_is_the_wheels_own_and_not_roots(postgres_server: PostgresServer) -> None:
    assert postgres_server.version.startswith("18.")
    found = [p for p in psutil.process_iter() if _works_on(p, str(postgres_server.folder / "data"))]
    assert found and all(process.uids().real != 0 for process in found)


def _works_on(process: psutil.Process, folder: str) -> bool:
    try:
        return folder in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def test_owner_of_the_database_is_no_superuser_and_needs_its_password(
    postgres: Database, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    assert found == (False, False)
    without = f"postgresql://pipeline@127.0.0.1:{postgres_server.port}/{postgres.name}"
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(without)


def test_committed_rows_outlive_a_killed_server(postgres: Database, postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    lost = psycopg.connect(postgres.url)
    lost.execute("INSERT INTO kept VALUES (2)")
    postgres_server.kill()
    with pytest.raises(psycopg.OperationalError):
        lost.execute("SELECT 1")
    lost.close()
    postgres_server.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(1,)]
