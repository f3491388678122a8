"""The first two sheets of the workbook: what it holds, and what each column means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import xlsxwriter

from debitura_pipeline.warehouse.column_kinds import ColumnType
from debitura_pipeline.warehouse.sheet_rows import DIGITS

ABOUT, COLUMNS = "About", "Columns"
FIRST_ROW = 2  # below the title
NOTES = (
    ("Times", "UTC, without a time zone in the cell. Days and months are those of the UTC calendar."),
    (
        "Amounts",
        "Columns that end in _usd are US dollars; the others are in the currency of their row. Never add two currencies.",
    ),
    ("Numbers", f"Exact. Excel keeps {DIGITS} digits, so a number with more is text, which no sum includes."),
    ("Text", "Text that begins with = + - or @ is text, never a formula."),
)
NOT_READ = "Not checked yet: not everything has been read."


@dataclass(frozen=True)
class ReportSheet:
    """A report and its sheet. `rows`: how many the report has; `shown`: how many of them the sheet has; `is_read`: whether
    everything was read, so that no rows is an answer."""

    report: str
    name: str
    comment: str
    columns: Sequence[ColumnType]
    rows: int
    shown: int
    is_read: bool = True

    @property
    def note(self) -> str:
        """What the sheet does not show, as a sentence; empty if it shows all."""
        if not self.rows and not self.is_read:
            return NOT_READ
        if self.shown == self.rows:
            return ""
        return f"Only the first {self.shown:,} of {self.rows:,} rows fit into a sheet. All are in the published files."


def write_about(
    workbook: xlsxwriter.Workbook,
    sheets: Sequence[ReportSheet],
    *,
    is_simulated: bool,
    as_of: datetime | None,
    now: datetime,
) -> None:
    """The sheet that opens first: of when the data is, how to read it, and a list of all reports."""
    sheet = workbook.add_worksheet(ABOUT)
    title, bold = workbook.add_format({"bold": True, "font_size": 16}), workbook.add_format({"bold": True})
    wrapped, link = workbook.add_format({"text_wrap": True, "valign": "top"}), workbook.get_default_url_format()
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 12)
    sheet.set_column(2, 2, 110)
    sheet.write_string(0, 0, "Partner report", title)
    facts = [
        *([("Simulated data", "Everything comes from the sandbox, not from Debitura.")] if is_simulated else []),
        ("Data as of", f"{as_of:%Y-%m-%d %H:%M} UTC" if as_of else NOT_READ),
        ("Written", f"{now:%Y-%m-%d %H:%M} UTC"),
        *NOTES,
    ]
    for row, (name, text) in enumerate(facts, start=FIRST_ROW):
        sheet.write_string(row, 0, name, bold)
        sheet.write_string(row, 1, text)
    head = FIRST_ROW + len(facts) + 1
    for column, name in enumerate(("Report", "Rows", "What it shows")):
        sheet.write_string(head, column, name, bold)
    for row, one in enumerate(sheets, start=head + 1):
        sheet.write_url(row, 0, f"internal:'{one.name}'!A1", link, string=one.report)
        sheet.write_number(row, 1, one.rows)
        sheet.write_string(row, 2, f"{one.comment} {one.note}".strip(), wrapped)


def write_columns(workbook: xlsxwriter.Workbook, sheets: Sequence[ReportSheet]) -> None:
    """A row for each column of each report, with the description that the warehouse's catalogue has."""
    sheet = workbook.add_worksheet(COLUMNS)
    bold, wrapped = workbook.add_format({"bold": True}), workbook.add_format({"text_wrap": True, "valign": "top"})
    for column, (name, width) in enumerate((("Report", 34), ("Column", 30), ("Type", 26), ("Description", 110))):
        sheet.write_string(0, column, name, bold)
        sheet.set_column(column, column, width)
    lines = [(one.report, column.name, column.type, column.comment) for one in sheets for column in one.columns]
    for row, line in enumerate(lines, start=1):
        for column, text in enumerate(line):
            sheet.write_string(row, column, text, wrapped)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, len(lines), 3)
