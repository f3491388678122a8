"""Give a published file a second set of as-of macros, for where it is attached: `marts.cases_as_of_in(ts, 'its name')`.

DuckDB looks up the tables that a macro names in the caller's default database, and nothing tells a macro which file it is from.
So these name their tables through `query_table`, in the database that the caller names. They have a name of their own, not a
second form of the first: DuckDB 1.0 could not open a file with macros of several forms.
"""

from __future__ import annotations

import re

import duckdb

from debitura_pipeline.warehouse.duckdb_engine import sql_literal
from debitura_pipeline.warehouse.merge_sql import quoted

_MACROS = """
    SELECT function_name, macro_definition FROM duckdb_functions()
    WHERE schema_name = 'marts' AND function_type = 'table_macro' AND parameters = ['ts']"""
_RELATIONS = "SELECT table_schema, table_name FROM information_schema.tables"
_TABLE = re.compile(r'\b((?:FROM|JOIN) \(*)((?:"[^"]+"|\w+)\.(?:"[^"]+"|\w+))')
_DATABASE = """'"' || replace(db, '"', '""') || '"'"""


def add_attached_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """For each table macro `marts.<name>(ts)` of the file, one `marts.<name>_in(ts, db)`. Raises duckdb.Error."""
    relations = {f"{schema}.{table}" for schema, table in connection.execute(_RELATIONS).fetchall()}

    def in_database(found: re.Match[str]) -> str:
        if found[2].replace('"', "") not in relations:
            return found[0]
        return f"{found[1]}query_table({_DATABASE} || {sql_literal('.' + found[2])})"

    for name, body in connection.execute(_MACROS).fetchall():
        attached = _TABLE.sub(in_database, body)
        connection.execute(f"CREATE OR REPLACE MACRO marts.{quoted(f'{name}_in')}(ts, db) AS TABLE {attached}")
