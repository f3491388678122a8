"""Read a page back: its answers and tables as plain values, past the report's own code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

ANSWER = re.compile(r'<data value="([^"]*)" data-answer="([^"]*)">([^<]*)</data>')


@dataclass
class PageTable:
    """Headings, and per row what `<data>` or `<time>` holds, else the text."""

    headings: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    foot: list[str] = field(default_factory=list)

    def column(self, heading: str) -> list[str]:
        """The cells of one column."""
        place = self.headings.index(heading)
        return [row[place] for row in self.rows]

    def amounts(self, heading: str) -> list[Any]:
        """A column of amounts; None where the page has a dash."""
        return [None if cell == "–" else Decimal(cell) for cell in self.column(heading)]


class _Reader(HTMLParser):
    """Collects every table that has a name."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, PageTable] = {}
        self._table: PageTable | None = None
        self._part, self._cell, self._value = "", "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table":
            self._table = self.tables[str(found["data-table"])] = PageTable()
        elif tag in ("thead", "tbody", "tfoot"):
            self._part = tag
        elif tag == "tr" and self._part == "tbody" and self._table:
            self._table.rows.append([])
        elif tag in ("td", "th"):
            self._cell, self._value = "", ""
        elif tag in ("data", "time"):
            self._value = str(found["value" if tag == "data" else "datetime"])

    def handle_data(self, data: str) -> None:
        self._cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._table = None
        elif tag in ("td", "th") and self._table:
            value = self._value or self._cell.strip()
            places = {"thead": self._table.headings, "tfoot": self._table.foot}
            places.get(self._part, self._table.rows[-1] if self._table.rows else []).append(value)


def read_tables(html: str) -> dict[str, PageTable]:
    """The page's tables by name."""
    reader = _Reader()
    reader.feed(html)
    return reader.tables


def read_answers(html: str) -> dict[str, Decimal]:
    """The amounts of the first screen by key."""
    return {key: Decimal(value) for value, key, _ in ANSWER.findall(html)}


def read_printed(html: str) -> dict[str, Decimal]:
    """The same as they are printed, in cents."""
    return {key: Decimal(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for _, key, text in ANSWER.findall(html)}
