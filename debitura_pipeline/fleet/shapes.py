"""The reports that partners have published, and the columns that they have in common or not.

Partners may have published with different versions: a report has the columns that any of them has, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

SCHEMA, PARTNER = "reports", "partner"
SOURCE = "source"  # the files of partners are attached as source0, source1 and so on
OWN = ("partners", "incidents")  # tables of the fleet itself; a report of that name is left out
Columns = tuple[tuple[str, str], ...]  # name and type, in order

_COLUMNS = f"""
    SELECT database_name, table_name, column_name, data_type FROM duckdb_columns()
    WHERE database_name LIKE '{SOURCE}%' AND schema_name = '{SCHEMA}' AND NOT internal
    ORDER BY database_name, table_name, column_index"""
_COMMENTS = f"""
    SELECT table_name, '', comment FROM duckdb_tables()
    WHERE database_name LIKE '{SOURCE}%' AND schema_name = '{SCHEMA}' AND comment IS NOT NULL
    UNION SELECT table_name, column_name, comment FROM duckdb_columns()
    WHERE database_name LIKE '{SOURCE}%' AND schema_name = '{SCHEMA}' AND comment IS NOT NULL"""


def found_columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, str]]:
    """Database, report, column and type of the partners' files that are attached, in order. Raises duckdb.Error."""
    found: list[tuple[str, str, str, str]] = connection.execute(_COLUMNS).fetchall()
    return [row for row in found if row[1] not in OWN and row[2] != PARTNER]


@dataclass
class Shapes:
    """What was found in the files so far. `comments`: by report and column (empty: the report itself)."""

    variants: dict[str, dict[Columns, None]] = field(default_factory=dict)
    comments: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take in the reports of the partners' files that are attached. Raises duckdb.Error."""
        found: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for database, report, name, kind in found_columns(connection):
            found.setdefault((database, report), []).append((name, kind))
        is_new = False
        for (_, report), columns in found.items():
            known = self.variants.setdefault(report, {})
            is_new |= tuple(columns) not in known
            known[tuple(columns)] = None
        if is_new:
            texts = connection.execute(_COMMENTS).fetchall()
            self.comments |= {(report, column): text for report, column, text in texts if report in self.variants}

    def reports(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Columns]:
        """The columns of each report: the partner, then those of the widest variant, then others."""
        return {
            name: ((PARTNER, "VARCHAR"), *_united(connection, list(self.variants[name])))
            for name in sorted(self.variants)
        }


def _united(connection: duckdb.DuckDBPyConnection, variants: Sequence[Columns]) -> Columns:
    kinds: dict[str, dict[str, None]] = {}
    for shape in sorted(variants, key=lambda shape: (-len(shape), shape)):
        for name, kind in shape:
            kinds.setdefault(name, {})[kind] = None
    return tuple((name, _common_type(connection, list(found))) for name, found in kinds.items())


def _common_type(connection: duckdb.DuckDBPyConnection, kinds: Sequence[str]) -> str:
    """The type that holds all of them: of two decimals the wider one; text where there is no other."""
    if len(kinds) == 1:
        return kinds[0]
    parts = " UNION ALL ".join(f"SELECT CAST(NULL AS {kind}) AS value" for kind in kinds)
    try:
        ((found,),) = connection.execute(f"SELECT typeof(value) FROM ({parts}) LIMIT 1").fetchall()
    except duckdb.Error:
        return "VARCHAR"
    return str(found)


def lacks(tables: Mapping[str, Columns], table: str, columns: Iterable[str]) -> bool:
    """Whether a table is not there, or not with all of these columns."""
    return not {name for name, _ in tables.get(table, ())}.issuperset(columns)
