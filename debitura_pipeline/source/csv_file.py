"""Read a source from CSV: UTF-8, a header, comma or semicolon, fields in quotes where they need them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from typing import Any

from debitura_pipeline.source.raw import Header, RawRow, RawRows, unreadable
from debitura_pipeline.source.table import RowFault, SourceTable

csv.field_size_limit(2**31 - 1)  # a rule of the column says what is too long, of that row alone

DELIMITERS = (",", ";")


def read_csv(content: bytes, where: str, table: SourceTable[Any]) -> RawRows:
    """The rows of a CSV file. `where` names it in messages. Blank lines are skipped.

    A row with too few or too many fields, or with bytes that are not UTF-8, has a fault of its own. Raises SourceError if the
    file has no header, or ends within quotes.
    """
    if content[1:2] == b"\0":  # UTF-16 without its mark
        raise unreadable(table, where, "is not UTF-8 text", "Save it as CSV in UTF-8.")
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    records = _records(text, _delimiter(text, table), where, table)
    first = next(records, None)
    if first is None:
        raise unreadable(table, where, "is empty: not even a header is there")
    header = Header.match(first[1], table, where)
    rows = tuple(_row(header, fields, where, line) for line, fields in records)
    return RawRows(rows, header.unknown)


def _delimiter(text: str, table: SourceTable[Any]) -> str:
    """The one that splits the header into more known columns."""
    line = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""

    def known(delimiter: str) -> int:
        names = next(csv.reader([line], delimiter=delimiter), [])
        return sum(name.strip().lower() in table.names for name in names)

    return max(DELIMITERS, key=known)


def _records(text: str, delimiter: str, where: str, table: SourceTable[Any]) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not a blank line, with the number of the line on which it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error:
            cure = "Put the whole field in quotes, and double each quote within it."
            raise unreadable(
                table, where, f"has a field whose quotes do not match, from line {line} on", cure
            ) from None
        if fields is None:
            return
        if fields:
            yield line, fields


def _row(header: Header, fields: list[str], where: str, line: int) -> RawRow:
    faults = []
    if len(fields) != len(header.columns):
        faults.append(RowFault("", f"has {len(fields)} fields, and the header {len(header.columns)}"))
    pairs = zip(header.columns, fields, strict=False)
    return RawRow({name: value for name, value in pairs if name is not None and value}, tuple(faults), where, line)
