"""The parts of a page: answers, figures, tables, charts, findings, sections. Plain values, no HTML and no SQL.

Amounts are exact Decimals; the template rounds them for display.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

Tone = Literal["good", "warn", "bad", "unknown"]
Pattern = Literal["", "stripes", "dots", "lines"]
ColumnKind = Literal[
    "text", "prose", "count", "money", "change", "percent", "days", "date", "month", "instant", "verdict"
]
Cell = str | int | Decimal | date | datetime | None


@dataclass(frozen=True)
class Badge:
    """A verdict in words, and its colour."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Link:
    """The text of a cell that leads to another file; without `href`, the text alone. `note`: small words behind it."""

    text: str
    href: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Series:
    """One colour of a chart: its label, its CSS variable, and the pattern that tells it apart without colour."""

    label: str
    css: str
    pattern: Pattern = ""

    @property
    def fill(self) -> str:
        """The colour as SVG wants it: the variable, or the page's pattern of that name."""
        return f"url(#fill{self.css[1:]})" if self.pattern else f"var({self.css})"


@dataclass(frozen=True)
class AnswerLine:
    """One line of an answer: its label, and an amount in USD, a verdict, or words. `key` lets a test find the amount.
    `is_change`: the amount is written with its sign. `printed`: what is printed, where that is not the amount rounded.
    `href`: where the label leads to."""

    label: str
    amount: Decimal | None = None
    words: str = ""
    badge: Badge | None = None
    key: str = ""
    is_change: bool = False
    is_late: bool = False
    printed: Decimal | None = None
    href: str | None = None


@dataclass(frozen=True)
class Answer:
    """One of the questions of the first screen. `section`: where the page says more."""

    name: str
    question: str
    lines: tuple[AnswerLine, ...]
    section: str = ""


@dataclass(frozen=True)
class Figure:
    """A headline amount in USD. `key` names it on the page and in the run's metadata. `printed`: as in `AnswerLine`."""

    key: str
    label: str
    value: Decimal
    meaning: str
    css: str
    printed: Decimal | None = None


@dataclass(frozen=True)
class Heading:
    """A table column's heading and the format of its cells. `change`: an amount with its sign."""

    label: str
    kind: ColumnKind = "text"

    @property
    def is_number(self) -> bool:
        return self.kind in ("count", "money", "change", "percent", "days")

    @property
    def css(self) -> str:
        """CSS class of the column's cells; empty for most text."""
        special = {"prose": "wrap", "date": "when", "month": "when", "instant": "when", "verdict": "when"}
        return "num" if self.is_number else special.get(self.kind, "")


@dataclass(frozen=True)
class ReportTable:
    """Rows under headings; a row's first cell is its header. `name` lets a test find it. `folded`: the summary line of a
    table that is collapsed at first. `is_sortable`: the page's script lets readers search and sort it. Raises ValueError
    if a row does not match the headings."""

    name: str
    caption: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[Cell | Badge | Link, ...], ...]
    total: tuple[Cell, ...] | None = None
    folded: str | None = None
    is_sortable: bool = False

    def __post_init__(self) -> None:
        for row in (*self.rows, *((self.total,) if self.total else ())):
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} cells under {len(self.columns)} headings")


@dataclass(frozen=True)
class Chart:
    """A chart in two widths, its caption and description, and the table behind it."""

    name: str
    caption: str
    description: str
    wide: str
    narrow: str
    legend: tuple[Series, ...]
    table: ReportTable


@dataclass(frozen=True)
class ReportFinding:
    """Something to look at: what, where, how much it may be worth, what to do."""

    title: str
    where: str
    advice: str
    stake_usd: Decimal | None
    age_days: int | None


@dataclass(frozen=True)
class Section:
    """A section of the page. Empty parts are left out."""

    name: str
    title: str
    lead: str
    verdict: Badge | None = None
    chart: Chart | None = None
    findings: tuple[ReportFinding, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Masthead:
    """Whose figures, as of when, how fresh, and whether proven. `subject`: the client of a statement."""

    as_of: datetime | None
    is_simulated: bool
    facts: tuple[tuple[str, str | Badge], ...]
    title: str = "Partner report"
    subject: str | None = None


@dataclass(frozen=True)
class ReportPage:
    """Everything the template needs. `lacking`: tables that sections were left out for."""

    masthead: Masthead
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    written_at: datetime
    answers: tuple[Answer, ...] = ()
    glossary: tuple[tuple[str, str], ...] = field(default=())
    lacking: tuple[str, ...] = ()
    patterns: tuple[Series, ...] = ()
