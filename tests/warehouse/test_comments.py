"""What raw and ops hold stands in the catalogue, and is put there once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.comments import batched, comment_on, comment_statements, descriptions
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.postgres import Database, PostgresServer

SettingsOf = Callable[[str], Settings]


@pytest.fixture
def settings_of(request: pytest.FixtureRequest, tmp_path: Path) -> SettingsOf:
    def made(engine: str) -> Settings:
        env = {"DEBITURA_DATA_DIR": str(tmp_path)}
        if engine == "postgres":
            env |= {"DEBITURA_WAREHOUSE": request.getfixturevalue("postgres").url, "DEBITURA_SCHEMA_PREFIX": "deb_"}
        return load_settings(env)

    return made


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_comments_are_set_once_and_mended(settings_of: SettingsOf, engine: str) -> None:
    """Under a prefix, too; an analyst's comment on a column that the docs do not name stays."""
    settings = settings_of(engine)
    with open_warehouse(settings) as warehouse:
        assert [place for *place, text in warehouse.comments() if not text] == []
        assert list(comment_statements(warehouse.comments())) == []
        warehouse.execute("COMMENT ON COLUMN raw.cases.remainder IS 'Changed by hand'")
        warehouse.execute("ALTER TABLE raw.cases ADD COLUMN mine VARCHAR")
        warehouse.execute("COMMENT ON COLUMN raw.cases.mine IS 'It''s mine'")
        warehouse.execute("COMMENT ON VIEW raw.cases_history IS NULL")
    with open_warehouse(settings) as warehouse:
        found = {(schema, table, column): text for schema, table, column, _, text in warehouse.comments()}
    assert found["raw", "cases", "remainder"] == descriptions()["remainder"]
    assert found["raw", "cases", "mine"] == "It's mine"
    assert found["raw", "cases_history", ""] == descriptions()["raw_cases_history"]
    assert found["ops", "syncs", "mode"] == descriptions()["ops_syncs__mode"]


def test_a_table_that_another_role_owns_is_left_alone(
    settings_of: SettingsOf, postgres: Database, postgres_server: PostgresServer
) -> None:
    """Only an owner may comment: a run must not fail for a description."""
    settings = settings_of("postgres")
    with open_warehouse(settings) as warehouse:
        warehouse.execute("COMMENT ON TABLE ops.identity IS 'Theirs'")
    postgres_server.admin("ALTER TABLE deb_ops.identity OWNER TO postgres", postgres.name)
    with open_warehouse(settings) as warehouse:
        assert not any(table == "identity" for _, table, *_ in warehouse.comments())


def test_statements_quote_what_they_name() -> None:
    assert comment_on("raw", 'a"b', "", "VIEW", "It's") == "COMMENT ON VIEW raw.\"a\"\"b\" IS 'It''s'"
    assert list(batched([])) == []
