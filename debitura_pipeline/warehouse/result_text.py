"""Rows of a query as text, made by DuckDB: CSV and JSON lines by the million, in memory that does not grow.

Amounts are as exact as in the file, instants are ISO 8601 in UTC. Columns go by position, since a query may name two alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.duckdb_engine import sql_literal

INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"  # in UTC, as the connection is
CSV_END = "\r\n"
_AWARE = "TIMESTAMP WITH TIME ZONE"
_NESTED = ("STRUCT", "MAP", "UNION")


def csv_header(columns: Sequence[ColumnType]) -> str:
    """The first line, quoted where RFC 4180 asks for it."""
    return ",".join(_csv_quoted(column.name) for column in columns) + CSV_END


def csv_lines(sql: str, columns: Sequence[ColumnType]) -> str:
    """SELECT of one line per row of `sql`. Null is nothing, an empty text is `""`."""
    fields = [_csv_field(plain_text(column, number), column) for number, column in enumerate(columns)]
    return _select([" || ',' || ".join(fields) + f" || {sql_literal(CSV_END)}"], sql, columns)


def json_objects(sql: str, columns: Sequence[ColumnType]) -> str:
    """SELECT of one JSON object per row of `sql`: amounts are strings, as JSON's numbers are floats to most readers."""
    pairs = [
        f"{sql_literal(json.dumps(column.name, ensure_ascii=False) + ': ')} || coalesce({_json_value(column, number)}, 'null')"
        for number, column in enumerate(columns)
    ]
    return _select(["'{' || " + " || ', ' || ".join(pairs) + " || '}'"], sql, columns)


def cell_texts(sql: str, columns: Sequence[ColumnType]) -> str:
    """SELECT of the values of `sql`, each as text; an empty text for null."""
    texts = [f"coalesce({plain_text(column, number)}, '')" for number, column in enumerate(columns)]
    return _select(texts, sql, columns)


def plain_text(column: ColumnType, number: int) -> str:
    """The value of the column at that position as text, null if it is null."""
    if column.type == _AWARE:
        return f"strftime({_name(number)}, '{INSTANT}')"
    return f"CAST({_name(number)} AS VARCHAR)"


def _select(expressions: Sequence[str], sql: str, columns: Sequence[ColumnType]) -> str:
    """The line feed ends a comment that the query may end with."""
    names = ", ".join(_name(number) for number in range(len(columns)))
    return f"SELECT {', '.join(expressions)} FROM ({sql}\n) AS result({names})"


def _name(number: int) -> str:
    return f"column_{number}"


def _csv_field(text: str, column: ColumnType) -> str:
    if column.kind != "text":
        return f"coalesce({text}, '')"
    quoted = f"""'"' || replace({text}, '"', '""') || '"'"""
    return (
        f"""coalesce(CASE WHEN {text} = '' OR regexp_matches({text}, '[",\\r\\n]') THEN {quoted} ELSE {text} END, '')"""
    )


def _csv_quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or any(mark in text for mark in '",\r\n') else text


def _json_value(column: ColumnType, number: int) -> str:
    name, text = _name(number), plain_text(column, number)
    if column.type == "JSON" or column.kind in ("integer", "boolean"):
        return text
    if column.kind == "float":  # JSON has neither infinity nor NaN
        return f"CASE WHEN isfinite({name}) THEN {text} END"
    if column.type.endswith("]") or column.type.startswith(_NESTED):
        return f"CAST(to_json({name}) AS VARCHAR)"
    return f"CAST(to_json({text}) AS VARCHAR)"
