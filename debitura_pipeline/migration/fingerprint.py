"""Compare the rows of two warehouses without moving them: each engine hashes its own, value by value.

A row's text holds each value with its length, so that no two rows share one: instants in microseconds, decimals with all of their
digits. The sum of the rows' hashes does not depend on their order. Neither engine has a part in the other's result, nor in the
copy, so a value that was changed on the way is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.tables import Columns

Engine = Literal["duckdb", "postgresql"]
HEX_DIGITS = 15  # of a hash, as one number of 60 bits; two of them are summed
_OTHERWISE = "CAST({} AS VARCHAR)"
_TEXT = {
    "duckdb": {
        "VARCHAR": "{}",
        "BOOLEAN": "CAST(CAST({} AS INTEGER) AS VARCHAR)",
        "TIMESTAMPTZ": "CAST(epoch_us({}) AS VARCHAR)",
    },
    "postgresql": {
        "VARCHAR": "{}",
        "BOOLEAN": "CAST(CAST({} AS INTEGER) AS VARCHAR)",
        "TIMESTAMPTZ": "CAST(CAST(extract(epoch FROM {}) * 1000000 AS BIGINT) AS VARCHAR)",
    },
}
# Postgres holds no character NUL, so Unicode's replacement character stands for it there (`binary_copy.py`).
_WITHOUT_NUL = "replace({}, chr(0), chr(65533))"
_LENGTH = {"duckdb": "strlen({})", "postgresql": "octet_length(convert_to({}, 'UTF8'))"}
_HASH = {"duckdb": "sha256({})", "postgresql": "encode(sha256(convert_to({}, 'UTF8')), 'hex')"}
_NUMBER = {
    "duckdb": "CAST('0x' || substr({0}, {1}, {2}) AS BIGINT)",
    "postgresql": "CAST(CAST('x' || substr({0}, {1}, {2}) AS BIT(60)) AS BIGINT)",
}


@dataclass(frozen=True)
class Side:
    """A warehouse as it is compared. `has_nul`: its texts may hold NUL, and those of the other side cannot."""

    warehouse: SqlWarehouse
    engine: Engine
    has_nul: bool = False


@dataclass(frozen=True)
class TableDifference:
    """A table that differs: its numbers of rows, and the columns whose values differ if these are equal."""

    table: str
    source_rows: int
    target_rows: int
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.source_rows != self.target_rows:
            return f"{self.table} has {self.source_rows:,} rows at the source and {self.target_rows:,} at the target"
        where = f"columns {', '.join(self.columns)}" if self.columns else "which values belong to one row"
        return f"{self.table} has {self.source_rows:,} rows on both sides and differs in {where}"


def difference(source: Side, target: Side, schema: str, name: str, columns: Columns) -> TableDifference | None:
    """How a table differs; None if all rows are equal. A column that the source lacks has to be null at the target."""
    listed = [_columns_of(side, schema, name, columns) for side in (source, target)]
    rows, other_rows = (
        _sums(side, schema, name, [_row_text(side, texts)])
        for side, texts in zip((source, target), listed, strict=True)
    )
    if rows == other_rows:
        return None
    if rows[0] != other_rows[0]:
        return TableDifference(f"{schema}.{name}", rows[0], other_rows[0])
    sums, other_sums = (
        _sums(side, schema, name, [_row_text(side, [text]) for text in texts])
        for side, texts in zip((source, target), listed, strict=True)
    )
    unlike = [column for place, (column, _) in enumerate(columns) if _pair(sums, place) != _pair(other_sums, place)]
    return TableDifference(f"{schema}.{name}", rows[0], other_rows[0], tuple(unlike))


def _columns_of(side: Side, schema: str, name: str, columns: Columns) -> list[str]:
    """Each column's value as text, by this engine."""
    there = set(side.warehouse.columns(schema, name))
    return list(_texts(side, there, columns))


def _texts(side: Side, there: set[str], columns: Columns) -> Iterator[str]:
    for column, kind in columns:
        text = _TEXT[side.engine].get(kind, _OTHERWISE).format(quoted(column) if column in there else "NULL")
        if column not in there:
            yield "CAST(NULL AS VARCHAR)"
        else:
            yield _WITHOUT_NUL.format(text) if side.has_nul and kind in ("VARCHAR", "JSON") else text


def _row_text(side: Side, texts: Iterable[str]) -> str:
    length: Callable[[str], str] = partial(_LENGTH[side.engine].format)
    return " || ".join(f"coalesce({length(text)} || ':' || {text}, '-')" for text in texts)


def _sums(side: Side, schema: str, name: str, texts: list[str]) -> tuple[int, ...]:
    """The number of rows, and two sums for each of `texts`. Nothing but these leaves the engine."""
    if not side.warehouse.columns(schema, name):
        return (0,) * (1 + 2 * len(texts))
    hashes = ", ".join(f"{_HASH[side.engine].format(text)} AS h{place}" for place, text in enumerate(texts))
    sums = ", ".join(
        f"coalesce(sum({_NUMBER[side.engine].format(f'h{place}', start, HEX_DIGITS)}), 0)"
        for place in range(len(texts))
        for start in (1, 1 + HEX_DIGITS)
    )
    found = side.warehouse.rows(
        f"SELECT count(*), {sums} FROM (SELECT {hashes} FROM {schema}.{quoted(name)}) AS hashed"
    )
    return tuple(int(value) for value in found[0])


def _pair(sums: tuple[int, ...], place: int) -> tuple[int, ...]:
    return sums[1 + 2 * place : 3 + 2 * place]
