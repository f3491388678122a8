"""The page of a Postgres warehouse is the page of a DuckDB file with the same tables: same queries, same figures, same text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import psycopg

from debitura_pipeline.report import ReportFacts
from debitura_pipeline.report.page import render
from debitura_pipeline.report.statement import compose_statement
from debitura_pipeline.report.write import compose
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.base import FUNCTION
from tests.report.tables import CLIENT, NOW
from tests.support.postgres import Database

SCHEMAS = ("ops", "raw", "marts", "reports")
TYPES = {"DOUBLE": "double precision", "VARCHAR": "text", "JSON": "text", "TIMESTAMP WITH TIME ZONE": "timestamptz"}


class PostgresSource:
    """A ReportSource that asks Postgres, with `$1` as the engine's own cursor has it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return psycopg.RawCursor(self.connection).execute(sql.encode(), params).fetchall()

    def tables(self) -> set[str]:
        found = self.rows("SELECT table_schema, table_name FROM information_schema.tables")
        return {f"{schema}.{name}" for schema, name in found}

    def columns(self, schema: str, table: str) -> list[str]:
        asked = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
        return [name for (name,) in self.rows(asked, (schema, table))]

    def has_function(self, schema: str, name: str) -> bool:
        return bool(self.rows(FUNCTION, (schema, name)))


def test_both_engines_give_the_same_page(filled: tuple[Settings, ReportFacts], postgres: Database) -> None:
    """Sums come back as other types, and SQL that one engine takes the other refuses."""
    settings, facts = filled
    with psycopg.connect(postgres.url, options="-c timezone=UTC -c datestyle=ISO") as connection:
        _copy(str(settings.warehouse.path), connection)
        source = PostgresSource(connection)
        assert render(compose(source, is_simulated=True, written_at=NOW)) == facts.path.read_text()
        statement = compose_statement(source, f"tenant-{CLIENT}", is_simulated=True, written_at=NOW)
    assert [section.name for section in statement.sections] == [
        "calendar",
        "revenue",
        "cases",
        "transactions",
        "findings",
    ]


def _copy(path: str, connection: psycopg.Connection[Any]) -> None:
    """Every table of the file that has rows, and the empty ones that the page asks for."""
    with duckdb.connect(path, read_only=True) as file:
        file.execute("SET TimeZone = 'UTC'")
        for schema in SCHEMAS:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        tables = file.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE list_contains($1, schema_name)", [list(SCHEMAS)]
        ).fetchall()
        for schema, table in tables:
            name = f'{schema}."{table}"'
            columns = file.execute(f"DESCRIBE {name}").fetchall()
            kinds = ", ".join(f'"{column}" {TYPES.get(kind, kind)}' for column, kind, *_ in columns)
            connection.execute(f"CREATE TABLE {name} ({kinds})".encode())
            if rows := file.execute(f"FROM {name}").fetchall():
                with connection.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN".encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
