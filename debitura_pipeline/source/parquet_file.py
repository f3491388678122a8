"""Read a source from Parquet. Every value becomes the text that it is written as in plain notation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from debitura_pipeline.source.raw import Header, RawRow, RawRows, misfit, unreadable
from debitura_pipeline.source.table import Holds, RowFault, SourceTable

UNREADABLE = object()


def read_parquet(content: bytes, where: str, table: SourceTable[Any]) -> RawRows:
    """The rows of a Parquet file. Raises SourceError if it is damaged or lacks a required column."""
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            names = list(file.schema_arrow.names)
            header = Header.match(names, table, where)
            wanted = [name for name, column in zip(names, header.columns, strict=True) if column is not None]
            table_read = file.read(wanted)
            columns = {name: _values(table_read.column(name)) for name in wanted}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(table, where, f"cannot be read as Parquet ({type(error).__name__})") from None
    known = {column: columns[name] for name, column in zip(names, header.columns, strict=True) if column is not None}
    rows = zip(*known.values(), strict=True)
    holds = table.holds
    return RawRows(tuple(_row(dict(zip(known, row, strict=True)), holds, where) for row in rows), header.unknown)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column; those that Python cannot hold, such as a date after the year 9999 or text that is not UTF-8, are
    `UNREADABLE`."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, KeyError):
        return [_value(one) for one in column]


def _value(one: pa.Scalar) -> Any:
    try:
        return one.as_py()
    except (ValueError, OverflowError, KeyError):
        return UNREADABLE


def _row(found: dict[str, Any], holds: Mapping[str, Holds], where: str) -> RawRow:
    values, faults = {}, []
    for column, value in found.items():
        text = "" if value is None else _text(value)
        if value is UNREADABLE:
            faults.append(RowFault(column, "has a value that cannot be read"))
        elif wrong := misfit(value, holds[column]):
            faults.append(RowFault(column, wrong))
        elif text is None:
            faults.append(RowFault(column, f"is of a type that has no text ({type(value).__name__})"))
        elif text:
            values[column] = text
    return RawRow(values, tuple(faults), where)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):  # the shortest text that means this number, without an exponent
        return f"{Decimal(repr(value)):f}" if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False) if _is_plain(value) else None
    return None


def _is_plain(value: list[Any]) -> bool:
    return all(isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in value)
