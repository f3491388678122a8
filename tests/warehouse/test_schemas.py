"""SQL that names schemas plainly, translated for a database where they have a prefix."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse import estimates, merge_sql, ops_sql
from debitura_pipeline.warehouse.base import DeletionScope
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.postgres.schemas import SCHEMAS, Schemas
from debitura_pipeline.warehouse.tables import create_statements
from tests.support.command import debitura
from tests.support.postgres import Database
from tests.warehouse.landings import night

DEB = Schemas("deb_")
POSTGRES = "postgresql://user:password@host/db"


@pytest.mark.parametrize(
    ("plain", "translated"),
    [
        ("SELECT * FROM raw.cases AS c", "SELECT * FROM deb_raw.cases AS c"),
        ('INSERT INTO raw."cases" SELECT 1', 'INSERT INTO deb_raw."cases" SELECT 1'),
        ("SELECT marts . m.night FROM\nmarts.m, RAW.x", "SELECT deb_marts . m.night FROM\ndeb_marts.m, deb_raw.x"),
        ("CREATE SCHEMA IF NOT EXISTS raw", "CREATE SCHEMA IF NOT EXISTS deb_raw"),
        ("ALTER TABLE ops.syncs RENAME TO raw", "ALTER TABLE deb_ops.syncs RENAME TO raw"),
        ("SELECT count(*) FROM (SELECT 1 FROM ops.syncs)", "SELECT count(*) FROM (SELECT 1 FROM deb_ops.syncs)"),
        ("SELECT CAST($1 AS VARCHAR)||ops.f($2)", "SELECT CAST($1 AS VARCHAR)||deb_ops.f($2)"),
    ],
)
def test_qualified_names_get_the_prefix(plain: str, translated: str) -> None:
    assert DEB.translated(plain) == translated
    assert DEB.translated_back(translated).lower() == plain.lower()
    assert Schemas().translated(plain) == plain


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'raw.cases', 'it''s raw.cases', E'\\'raw.cases', $$raw.cases$$, $a$ raw.cases $$ ops.x $a$",
        'SELECT "raw".cases, "a""raw.cases", "ops.syncs" FROM x',
        "SELECT 1 -- raw.cases\n, 2 /* ops.syncs\n marts.m */",
        "SELECT t.raw, t.raw.x, raw, marts, a_raw.b, raw2.c, marts__next.m FROM straw.man",
    ],
)
def test_what_only_looks_like_a_schema_stays(sql: str) -> None:
    """A value that is a table's name, say in a message that is written, must reach the database as it is."""
    assert DEB.translated(sql) == sql


def test_every_statement_of_a_merge_names_its_schemas_plainly() -> None:
    """Whatever is said of `raw` and `ops` gets the prefix: not one name is left, and back it is what it was."""
    table, at = TABLES["cases"], night(0)
    statements = [
        *((sql, ()) for sql in create_statements()),
        merge_sql.is_empty(table), merge_sql.quarantined_keys(table), merge_sql.delta(table, "s", at),
        merge_sql.first_load(table, "s", at), merge_sql.delta_of_deleted(table, DeletionScope("client", ("t",))),
        merge_sql.close_versions(table, at), merge_sql.mark_deleted(table, at), merge_sql.remove_outdated(table),
        merge_sql.insert_current(table, at), merge_sql.verify_seen(table, DeletionScope("all"), at),
        ops_sql.newest_merged("cases"), *ops_sql.update_quarantine(table, "s", at, DeletionScope("all")),
        ops_sql.insert_drift("cases", "s", at), *ops_sql.replace_windows("cases", "s"),
        *ops_sql.update_partner_history("m", None, at), ops_sql.select_sync("s"), ops_sql.delete_sync("s"),
        *ops_sql.replace_control_totals("s"), *ops_sql.clear_ops(), *estimates.record_totals(TABLES["transactions"], at),
    ]  # fmt: skip
    for sql, _ in statements:
        translated = DEB.translated(sql)
        assert not any(f" {schema}." in translated for schema in SCHEMAS), translated
        assert DEB.translated_back(translated) == sql
        assert ("raw." in sql or "ops." in sql) == ("deb_" in translated) or "SCHEMA" in sql


def test_each_warehouse_of_a_database_has_locks_of_its_own() -> None:
    prefixes = ["", "a", "b", "deb_", "deb2_", "z" * 46]
    numbers = [Schemas(prefix).lock(number) for prefix in prefixes for number in (1, 2)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 < number < 2**31 for number in numbers)
    assert numbers[:2] == [1, 2], "as before there were prefixes: two versions may meet"


def test_the_longest_name_fits() -> None:
    prefix = load_settings({"DEBITURA_WAREHOUSE": POSTGRES, "DEBITURA_SCHEMA_PREFIX": "p" * 46}).warehouse.schema_prefix
    assert max(len(name) for name in Schemas(prefix).all()) == 63


@pytest.mark.parametrize(
    "prefix", ["Deb_", "1deb", "_deb", "deb-", 'deb"', "deb ops", "pg_deb", "pg_", "dëb", "p" * 47]
)
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match=r"DEBITURA_SCHEMA_PREFIX must .* Example: DEBITURA_SCHEMA_PREFIX=deb_$"):
        load_settings({"DEBITURA_WAREHOUSE": POSTGRES, "DEBITURA_SCHEMA_PREFIX": prefix})


def test_a_prefix_for_a_file_is_refused(tmp_path: Path) -> None:
    ended = debitura("status", env={"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_SCHEMA_PREFIX": "deb_"})
    assert ended.status == 2
    assert "DEBITURA_SCHEMA_PREFIX is set, but the warehouse is not Postgres" in ended.error_line


def test_function_is_found_behind_a_prefix_and_a_neighbours_is_not(postgres: Database, tmp_path: Path) -> None:
    """The page asks for `marts.transactions_as_of` before it uses it."""
    env = {"DEBITURA_DATA_DIR": str(tmp_path), "DEBITURA_WAREHOUSE": postgres.url, "DEBITURA_SCHEMA_PREFIX": "deb_"}
    function = "FUNCTION {}.transactions_as_of(ts timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    with psycopg.connect(postgres.url, autocommit=True) as neighbour:
        neighbour.execute("CREATE SCHEMA marts")
        neighbour.execute(f"CREATE {function.format('marts')}".encode())
        with open_warehouse(load_settings(env)) as warehouse:
            assert not warehouse.has_function("marts", "transactions_as_of")
            neighbour.execute("CREATE SCHEMA IF NOT EXISTS deb_marts")
            neighbour.execute(f"CREATE {function.format('deb_marts')}".encode())
            assert warehouse.has_function("marts", "transactions_as_of")
