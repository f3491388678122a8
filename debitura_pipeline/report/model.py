"""The parts of a page: figures, tables, charts, findings, sections. Plain values, no HTML and no SQL.

Amounts are exact Decimals; the template rounds them for display.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

Tone = Literal["good", "warn", "bad", "unknown"]
ColumnKind = Literal["text", "prose", "count", "money", "percent", "days", "date", "instant", "verdict"]
Cell = str | int | Decimal | datetime | None


@dataclass(frozen=True)
class Badge:
    """A judgement in words, and how it should feel."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Figure:
    """A headline amount in USD. `key` names it on the page and in the run's metadata."""

    key: str
    label: str
    value: Decimal
    meaning: str
    css: str


@dataclass(frozen=True)
class Heading:
    """Heading of a table column and how its cells are written."""

    label: str
    kind: ColumnKind = "text"

    @property
    def is_number(self) -> bool:
        return self.kind in ("count", "money", "percent", "days")

    @property
    def css(self) -> str:
        """Class of the column's cells in the style sheet; most text needs none."""
        special = {"prose": "wrap", "date": "when", "instant": "when", "verdict": "when"}
        return "num" if self.is_number else special.get(self.kind, "")


@dataclass(frozen=True)
class ReportTable:
    """Rows under headings; the first cell of a row is its header. `name` lets a test find it. `folded`: the line under
    which the table is hidden until the reader asks for it."""

    name: str
    caption: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[Cell | Badge, ...], ...]
    total: tuple[Cell, ...] | None = None
    folded: str | None = None

    def __post_init__(self) -> None:
        for row in (*self.rows, *((self.total,) if self.total else ())):
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} cells under {len(self.columns)} headings")


@dataclass(frozen=True)
class Chart:
    """One picture in two widths, with its words and the table behind it."""

    name: str
    caption: str
    description: str
    wide: str
    narrow: str
    legend: tuple[tuple[str, str], ...]
    table: ReportTable


@dataclass(frozen=True)
class Finding:
    """Something to look at: what, where, how much it may be worth, what to do."""

    title: str
    where: str
    advice: str
    stake_usd: Decimal | None
    age_days: int | None


@dataclass(frozen=True)
class Section:
    """A chapter of the page. Whatever is empty is left out."""

    name: str
    title: str
    lead: str
    verdict: Badge | None = None
    chart: Chart | None = None
    findings: tuple[Finding, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Masthead:
    """Whose figures, as of when, how fresh, how sure."""

    as_of: datetime | None
    is_simulated: bool
    facts: tuple[tuple[str, str | Badge], ...]


@dataclass(frozen=True)
class ReportPage:
    """Everything the template needs."""

    masthead: Masthead
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    written_at: datetime
    glossary: tuple[tuple[str, str], ...] = field(default=())
