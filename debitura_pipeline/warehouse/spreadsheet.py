"""Write the reports as one Excel workbook: a sheet per report, and what they mean.

XlsxWriter makes the workbook with formats, headers and the first two sheets; `sheet_rows.py` adds the rows.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import xlsxwriter
from xlsxwriter.exceptions import XlsxWriterException
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.report_order import order_by
from debitura_pipeline.warehouse.sheet_about import ABOUT, COLUMNS, ReportSheet, write_about, write_columns
from debitura_pipeline.warehouse.sheet_rows import (
    MAX_ROWS,
    CellStyles,
    SheetRows,
    column_letters,
    fill_sheets,
    rows_sql,
    text_row,
)

MAX_NAME = 31  # characters of a sheet's name in Excel
SHOWN_ROWS = MAX_ROWS - 1  # all but the header
RESERVED = (ABOUT, COLUMNS, "History")  # Excel keeps the last for itself
WIDTHS = {"decimal": 18, "integer": 12, "float": 14, "boolean": 10, "day": 12, "instant": 20, "text": 26}
FORMATS = {"integer": "#,##0", "day": "yyyy-mm-dd", "instant": "yyyy-mm-dd hh:mm:ss"}
MEMORY_LIMIT = "128MiB"
_COLUMNS = """
    SELECT table_name, column_name, data_type, coalesce(comment, '') FROM duckdb_columns()
    WHERE schema_name = 'reports' ORDER BY table_name, column_index"""
_COMMENTS = "SELECT table_name, coalesce(comment, '') FROM duckdb_tables() WHERE schema_name = 'reports'"


class _Formats:
    """The cell formats of a workbook, each made once."""

    def __init__(self, workbook: xlsxwriter.Workbook) -> None:
        self._workbook, self._made = workbook, dict[str, Format]()

    def get(self, **properties: object) -> Format:
        key = repr(properties)
        if key not in self._made:
            self._made[key] = self._workbook.add_format(properties)
        return self._made[key]

    def of(self, column: ColumnType) -> Format:
        """Digits are shown as far as they are not zero, two at least."""
        if column.kind == "decimal":
            shown = "0.00" + "#" * (column.scale - 2) if column.scale > 1 else "0" + ".0" * column.scale
            return self.get(num_format=f"#,##{shown}")
        return self.get(num_format=FORMATS.get(column.kind, "General"))


def write_spreadsheet(marts: Path, path: Path, *, is_simulated: bool, as_of: datetime | None, now: datetime) -> None:
    """Write the workbook with the schema `reports` of the DuckDB file `marts` to `path`.

    Raises OSError, duckdb.Error.
    """
    try:
        _write(marts, path, is_simulated=is_simulated, as_of=as_of, now=now)
    except XlsxWriterException as error:
        raise OSError(str(error)) from error


def _write(marts: Path, path: Path, *, is_simulated: bool, as_of: datetime | None, now: datetime) -> None:
    skeleton = path.with_name(f".{path.name}")
    spill = path.with_name(f".{path.name}.spill")  # for the sorting of long reports
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "threads": 1,
        "temp_directory": str(spill),
    }
    with duckdb.connect(marts, read_only=True, config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        sheets, rows = _report_sheets(connection, is_read=as_of is not None), dict[str, SheetRows]()
        with closing(xlsxwriter.Workbook(skeleton, {"in_memory": True})) as workbook:
            workbook.set_properties({"title": "Partner report", "created": now.astimezone(UTC).replace(tzinfo=None)})
            formats = _Formats(workbook)
            write_about(workbook, sheets, is_simulated=is_simulated, as_of=as_of, now=now)
            write_columns(workbook, sheets)
            for number, sheet in enumerate(sheets, start=len(workbook.worksheets()) + 1):
                styles = _write_head(workbook.add_worksheet(sheet.name), formats, sheet)
                rows[f"xl/worksheets/sheet{number}.xml"] = _rows(sheet, styles)
        fill_sheets(skeleton, path, connection, rows)
    skeleton.unlink()
    if spill.exists():
        spill.rmdir()


def sheet_names(reports: list[str]) -> dict[str, str]:
    """A name for each report that Excel accepts: 31 characters at most, and none twice whatever their case."""
    names: dict[str, str] = {}
    taken = {name.lower() for name in RESERVED}
    for report in reports:
        plain = report.translate(dict.fromkeys(map(ord, "[]:*?/\\'"), "_"))
        tries = (plain[:MAX_NAME], *(f"{plain[: MAX_NAME - 3]}_{number:02}" for number in range(2, 100)))
        names[report] = next(name for name in tries if name.lower() not in taken)
        taken.add(names[report].lower())
    return names


def _report_sheets(connection: duckdb.DuckDBPyConnection, *, is_read: bool) -> list[ReportSheet]:
    columns: dict[str, list[ColumnType]] = {}
    for report, *column in connection.execute(_COLUMNS).fetchall():
        columns.setdefault(report, []).append(ColumnType(*column))
    names = sheet_names(list(columns))
    counts = [f"(SELECT count(*) FROM reports.{quoted(report)})" for report in columns]
    found = connection.execute(f"SELECT {', '.join(counts)}").fetchone() if counts else None
    comments = dict(connection.execute(_COMMENTS).fetchall())
    return [
        ReportSheet(report, names[report], comments[report], columns[report], rows, _shown(rows), is_read)
        for report, rows in zip(columns, found or (), strict=True)
    ]


def _shown(rows: int) -> int:
    """How many rows a sheet has; where that is not all, its last row says what is missing."""
    return rows if rows <= SHOWN_ROWS else SHOWN_ROWS - 1


def _write_head(worksheet: Worksheet, formats: _Formats, sheet: ReportSheet) -> CellStyles:
    """The header, frozen, with a filter over all rows; the formats of the cells below it."""
    head = formats.get(bold=True, bottom=1, text_wrap=True, valign="top")
    for number, column in enumerate(sheet.columns):
        worksheet.write_string(0, number, column.name, head)
        worksheet.set_column(number, number, max(WIDTHS[column.kind], min(len(column.name) + 3, WIDTHS["text"])))
    worksheet.freeze_panes(1, 0)
    worksheet.autofilter(0, 0, sheet.shown, len(sheet.columns) - 1)
    # What the workbook calls a format is known from when it is first used.
    styles = [formats.of(column)._get_xf_index() for column in sheet.columns]
    return CellStyles(styles, formats.get(quote_prefix=True)._get_xf_index())


def _rows(sheet: ReportSheet, styles: CellStyles) -> SheetRows:
    last = sheet.shown + 1 + bool(sheet.note)
    order = order_by(sheet.report, [column.name for column in sheet.columns])
    return SheetRows(
        rows_sql(f"reports.{quoted(sheet.report)}", sheet.columns, styles, sheet.shown, order),
        text_row(last, sheet.note) if sheet.note else "",
        f"A1:{column_letters(len(sheet.columns) - 1)}{last}",
        sheet.shown * len(sheet.columns),
    )
