"""Rows of a spreadsheet as XML, made by DuckDB: ten times as fast as a cell at a time, in memory that does not grow.

Cells are those of Office Open XML (ECMA-376, SpreadsheetML). Text is an inline string, which no spreadsheet program evaluates.
Excel keeps 15 significant digits and knows no day before 1900 (nor February 1900 as it was): other numbers and days are text.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.merge_sql import quoted

MAX_ROWS = 1_048_576  # Excel's, the header included
MAX_TEXT = 16_000  # characters, of two UTF-16 units at most; Excel accepts 32,767 units
DIGITS = 15
COMPRESSION = 3
ROW = '" row"'  # the column with the row's number; no report has a column of that name
ROWS_AT_ONCE = 2_000
END = b"</sheetData>"
ZIP64_BYTES, CELL_BYTES = 2**31, 200  # beyond 2 GiB a part needs another format; what a cell takes at most on average
# Control characters, which XML cannot hold; and what Excel would read as an escaped character.
_NO_XML = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x{FFFE}\x{FFFF}]"
_LIKE_ESCAPED = "_(x[0-9A-Fa-f]{4}_)"
_RISKY = "('=', '+', '-', '@', chr(9), chr(13))"  # the first character of what could be taken for a formula


@dataclass(frozen=True)
class CellStyles:
    """Numbers of the cell formats in the workbook: one per column, one for text that could be taken for a formula."""

    columns: Sequence[int]
    quoted: int


@dataclass(frozen=True)
class SheetRows:
    """What is added to a sheet: the rows of `sql`, then `last_row`. `extent`: the range that the sheet has with them, `A1:C9`;
    `cells`: how many that is."""

    sql: str
    last_row: str
    extent: str
    cells: int


def text_row(number: int, text: str) -> str:
    """A row with a text in its first cell. `text`: without characters that XML reserves."""
    return f'<row r="{number}"><c r="A{number}" t="inlineStr"><is><t>{text}</t></is></c></row>'


def rows_sql(table: str, columns: Sequence[ColumnType], styles: CellStyles, limit: int, order: str) -> str:
    """SELECT of one text per row: its XML, the first row being the second of the sheet. `order`: what follows ORDER BY."""
    cells = [
        _cell(column, column_letters(number), styles.columns[number], styles.quoted)
        for number, column in enumerate(columns)
    ]
    return (
        f"""SELECT '<row r="' || {ROW} || '">' || {" || ".join(cells)} || '</row>' FROM """
        f"(SELECT *, CAST(1 + row_number() OVER () AS VARCHAR) AS {ROW} FROM "
        f"(SELECT * FROM {table} ORDER BY {order} LIMIT {limit}))"
    )


def column_letters(number: int) -> str:
    """A, B, …, Z, AA, … for 0, 1, …"""
    letters = ""
    while number >= 0:
        number, digit = divmod(number, 26)
        letters, number = chr(ord("A") + digit) + letters, number - 1
    return letters


def fill_sheets(
    skeleton: Path, path: Path, connection: duckdb.DuckDBPyConnection, sheets: Mapping[str, SheetRows]
) -> None:
    """Copy the workbook `skeleton` to `path` with rows added. `sheets`: by the path inside, `xl/worksheets/sheet1.xml`."""
    with (
        zipfile.ZipFile(skeleton) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as target,
    ):
        for name in source.namelist():
            whole, rows = source.read(name), sheets.get(name)
            if rows is None:
                target.writestr(name, whole)
                continue
            whole = re.sub(rb'<dimension ref="[^"]*"/>', f'<dimension ref="{rows.extent}"/>'.encode(), whole)
            head, _, tail = whole.partition(END)
            with target.open(name, "w", force_zip64=rows.cells * CELL_BYTES > ZIP64_BYTES) as part:
                part.write(head)
                for chunk in _chunks(connection, rows.sql) if rows.cells else ():
                    part.write(chunk)
                part.write(rows.last_row.encode() + END + tail)


def _chunks(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[bytes]:
    reader = connection.execute(sql).to_arrow_reader(ROWS_AT_ONCE)
    for batch in reader:
        yield "".join(batch.column(0).to_pylist()).encode()


def _cell(column: ColumnType, letters: str, style: int, quoted_style: int) -> str:
    """The XML of one value as an SQL expression; empty for null."""
    x, start = quoted(column.name), f"""'<c r="{letters}' || {ROW} || '" s="'"""
    if column.kind == "text":
        text = f"CAST({x} AS VARCHAR)"
        chosen = f"if(left({text}, 1) IN {_RISKY}, '{quoted_style}', '{style}')"
        return f"coalesce({start} || {chosen} || {_inline(_escaped(text))}, '')"
    if column.kind == "boolean":
        return f"""coalesce({start} || '{style}" t="b"><v>' || CAST({x} AS INTEGER) || '</v></c>', '')"""
    value, fits = _number(column, x)
    number, text = f"""'"><v>' || {value} || '</v></c>'""", _inline(f"CAST({x} AS VARCHAR)")
    return f"coalesce({start} || '{style}' || CASE WHEN {fits} THEN {number} ELSE {text} END, '')"


def _number(column: ColumnType, x: str) -> tuple[str, str]:
    """The number in the cell, and the condition under which Excel shows it as it is."""
    if column.kind == "day":
        return f"({x} - DATE '1899-12-30')", f"{x} BETWEEN DATE '1900-03-01' AND DATE '9999-12-31'"
    if column.kind == "instant":
        within = f"{x} >= TIMESTAMP '1900-03-01' AND {x} < TIMESTAMP '10000-01-01'"
        return f"(epoch_us({x}) / 86400e6 + 25569)", within
    if column.kind == "float":
        return x, f"isfinite({x})"
    digits = f"trim(replace(replace(CAST({x} AS VARCHAR), '-', ''), '.', ''), '0')"
    bound = "9" * (DIGITS - column.scale) if column.scale < DIGITS else "0"
    return x, f"{x} BETWEEN -{bound} AND {bound} OR length({digits}) <= {DIGITS}"


def _inline(text: str) -> str:
    return f"""'" t="inlineStr"><is><t xml:space="preserve">' || {text} || '</t></is></c>'"""


def _escaped(text: str) -> str:
    """A carriage return has to be escaped, as XML would turn it into a line feed."""
    shown = f"if(length({text}) > {MAX_TEXT}, left({text}, {MAX_TEXT}) || '…', {text})"
    odd = f"regexp_replace({shown}, '{_NO_XML}', '\N{REPLACEMENT CHARACTER}', 'g')"
    odd = f"replace(regexp_replace({odd}, '{_LIKE_ESCAPED}', '_x005F_\\1', 'g'), chr(13), '_x000D_')"
    plain = f"if(regexp_matches({text}, '{_NO_XML}|\\r|{_LIKE_ESCAPED}'), {odd}, {shown})"
    return f"replace(replace(replace({plain}, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')"
