"""Read the published files: read-only, with no way to other files of the machine, and never an older night than the newest.

DuckDB shares a database that a process has open among all who open the same path, and keeps showing that file after another
took its place. So the folder of the night is opened, not the link to it; and the file is attached to a database in memory, which
no other reader's settings can conflict with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.warehouse.duckdb_engine import sql_literal
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, current_night

DATABASE = "debitura"  # what the file is called in queries
FIRST = ("reports", "marts")  # where a name without a schema is looked up, in this order
# After these, nothing but the attached file can be read, and nothing of this can be undone.
LOCK = (
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)
SELECT_ONLY = "Only a single SELECT can be run on the published file, which is read-only"


@contextmanager
def open_published(
    folder: Path, *, memory_limit: str | None = None, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The newest night's `warehouse.duckdb` in `folder`, locked (see `LOCK`); times are UTC, names without a schema mean
    reports and marts. `spill`: folder for what does not fit into `memory_limit`.

    Raises WarehouseError if nothing is published or the file cannot be opened.
    """
    night = current_night(folder)
    path = (folder if night is None else night.path) / WAREHOUSE
    if not path.is_file():
        raise WarehouseError(f"Nothing is published yet in {folder}.", cure="Run `debitura nightly` first.")
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"SET temp_directory = {sql_literal(str(spill) if spill else '')}")
        if memory_limit is not None:
            connection.execute(f"SET memory_limit = {sql_literal(memory_limit)}")
        connection.execute("SET TimeZone = 'UTC'")
        try:
            connection.execute(f"ATTACH {sql_literal(str(path))} AS {DATABASE} (READ_ONLY)")
        except duckdb.Error as error:
            raise WarehouseError(f"{path} cannot be opened: {first_line(error)}") from error
        connection.execute(f"SET search_path = '{','.join(_search_path(connection))}'")
        for statement in LOCK:
            connection.execute(statement)
        yield connection


def _search_path(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = {schema for schema, _ in published_tables(connection)}
    return [f"{DATABASE}.{schema}" for schema in FIRST if schema in found] or [f"{DATABASE}.main"]


def published_tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    """Schema and name of each table and view; reports and marts first, each by name."""
    found: list[tuple[str, str]] = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = $1 ORDER BY ALL",
        [DATABASE],
    ).fetchall()
    return sorted(found, key=lambda one: (FIRST.index(one[0]) if one[0] in FIRST else len(FIRST), one))


def published_columns(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[str]:
    """The columns of a table or view, in order."""
    found = connection.execute(f"SELECT * FROM {qualified(schema, table)} LIMIT 0").description or []
    return [str(name) for name, *_ in found]


def qualified(schema: str, table: str) -> str:
    """The table's name in SQL."""
    return f"{DATABASE}.{quoted(schema)}.{quoted(table)}"


def checked_select(sql: str) -> str:
    """`sql` without what follows the statement. Raises WarehouseError unless it is one SELECT (or VALUES, FROM, DESCRIBE,
    SHOW, SUMMARIZE, which DuckDB rewrites to one)."""
    try:
        statements: Sequence[duckdb.Statement] = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise WarehouseError(f"The SQL cannot be parsed: {first_line(error)}") from error
    if not statements:
        raise WarehouseError("There is no SQL to run.", cure="Example: SELECT * FROM revenue_by_month")
    if len(statements) > 1:
        raise WarehouseError(f"{SELECT_ONLY}; this has {len(statements)} statements.")
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise WarehouseError(f"{SELECT_ONLY}; this is {statement.type.name.replace('_', ' ')}.")
    return statement.query


def first_line(error: Exception) -> str:
    """DuckDB's message on one line, without the place in the query and the kind of error."""
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    return text.partition(" Error: ")[2] or text
