"""Partners in one Postgres database: a role of one can neither read nor write what is the other's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.roles import grant_sql, roles_of
from debitura_pipeline.warehouse.postgres.schemas import Schemas
from tests.support.postgres import Database, PostgresServer

TABLES = """
[a]
warehouse_variable = "A_URL"
schema_prefix = "a_"
[b-eu]
warehouse_variable = "B_URL"
schema_prefix = "b_"
"""
NAMES = ("a", "b-eu")


@pytest.fixture
def partners(postgres: Database, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[dict[str, Settings]]:
    (tmp_path / "partners.toml").write_text(TABLES)
    place = f"127.0.0.1:{postgres_server.port}/{postgres.name}"
    urls = {
        "A_URL": f"postgresql://debitura_pipeline_a:pw@{place}",
        "B_URL": f"postgresql://debitura_pipeline_b_eu:pw@{place}",
    }
    env = {"DEBITURA_PARTNERS": "partners.toml", **urls}
    found = {name: load_settings({**env, "DEBITURA_PARTNER": name}, tmp_path) for name in NAMES}
    for name, settings in found.items():
        for _ in range(2):
            postgres_server.admin(grant_sql(Schemas(settings.warehouse.schema_prefix), name), postgres.name)
        for role in roles_of(name):
            postgres_server.admin(f"ALTER ROLE {role} PASSWORD 'pw'")
    yield found
    for role in (role for name in NAMES for role in roles_of(name)):
        postgres_server.admin(f"DROP OWNED BY {role} CASCADE", postgres.name)
        postgres_server.admin(f"DROP ROLE {role}")


def test_a_partners_roles_have_no_right_in_the_others_schemas(
    partners: dict[str, Settings], postgres: Database, postgres_server: PostgresServer
) -> None:
    for settings in partners.values():
        with open_warehouse(settings):  # makes its tables
            pass
    postgres_server.admin(
        "CREATE TABLE b_marts.m AS SELECT 1 AS a; ALTER TABLE b_marts.m OWNER TO debitura_dbt_b_eu", postgres.name
    )
    place = f"127.0.0.1:{postgres_server.port}/{postgres.name}"
    for role in roles_of("a"):
        with psycopg.connect(f"postgresql://{role}:pw@{place}", autocommit=True) as connection:
            for sql in (
                "SELECT * FROM b_raw.cases",
                "SELECT * FROM b_ops.syncs",
                "SELECT * FROM b_marts.m",
                "DELETE FROM b_raw.cases",
                "INSERT INTO b_marts.m VALUES (2)",
                "CREATE TABLE b_raw.mine (a integer)",
                "DROP TABLE b_marts.m",
                "ALTER SCHEMA b_raw RENAME TO a_mine",
                "SET ROLE debitura_pipeline_b_eu",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.encode())
    with open_warehouse(partners["a"], read_only=True) as warehouse:
        assert warehouse.rows("SELECT count(*) FROM raw.cases") == [(0,)]
