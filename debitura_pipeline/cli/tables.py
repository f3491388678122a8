"""Tables of the command line. A table wider than the terminal is printed row by row, so that no value is cut off."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # they take half a second to load, and most tables show something else
    from debitura_pipeline.extract.plan import Plan
    from debitura_pipeline.incremental.base import CostEstimate
    from debitura_pipeline.landing.findings import ControlTotal
    from debitura_pipeline.sync.report import SyncReport

STYLES = {
    "equal": "green", "unproven": "yellow", "differs": "bold red", "proven": "green", "contradicted": "bold red",
    "done and proven": "green", "done, not proven": "yellow", "failed": "bold red", "killed": "bold red",
}  # fmt: skip
INDENT = "  "
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True)
class FittedTable:
    """A table if it fits the terminal, otherwise one block of lines per row.

    `names`: number of leading columns that form a block's heading. `right`: columns to align right.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    right: frozenset[str] = field(default_factory=frozenset)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table()
        width = Measurement.get(console, options.update(max_width=10_000), table).maximum
        if width <= options.max_width:
            yield table
            return
        for row in self.rows:
            yield from self._lines([_on_one_line(cell) for cell in row], options.max_width)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in self.head:
            table.add_column(name, justify="right" if name in self.right else "left", no_wrap=True)
        for row in self.rows:
            table.add_row(*(_cell(_on_one_line(cell)) for cell in row))
        return table

    def _lines(self, row: Sequence[str], width: int) -> RenderResult:
        for line in _folded([cell for cell in row[: self.names] if cell not in ("", "all")], width):
            yield Text(line, style="bold", no_wrap=True, overflow="ignore")
        pairs = zip(self.head[self.names :], row[self.names :], strict=True)
        # No-break spaces keep a name and its value on one line.
        pieces = [f"{name}\N{NO-BREAK SPACE}{_together(cell)}" for name, cell in pairs if cell]
        for line in _folded(pieces, width - len(INDENT)):
            yield Text(INDENT + line.replace("\N{NO-BREAK SPACE}", " "), no_wrap=True, overflow="ignore")


def sync_table(reports: Sequence[SyncReport]) -> FittedTable:
    """One row per resource: what was read and what changed."""
    counts = ("requests", "rows read", "new", "changed", "deleted", "unchanged", "quarantined")
    names = ("requests", "rows_read", "inserted", "changed", "deleted", "unchanged", "quarantined")
    rows = [
        (
            report.resource,
            report.mode,
            *(f"{getattr(report, name):,}" for name in names),
            report.proof,
            report.verdict,
        )
        for report in reports
    ]
    return FittedTable(("resource", "plan", *counts, "proof", "control totals"), rows, right=frozenset(counts))


def plan_table(estimates: Sequence[tuple[str, Plan, CostEstimate]]) -> FittedTable:
    """What a sync would read and how many requests each part takes."""
    rows = []
    for resource, plan, cost in estimates:
        rows += [(resource, plan.mode, what, f"{requests:,.0f}") for what, requests in cost.parts]
        rows.append((resource, plan.mode, "total", f"{cost.requests:,}"))
    return FittedTable(("resource", "plan", "what", "requests"), rows, right=frozenset({"requests"}))


def totals_table(totals: Sequence[ControlTotal]) -> FittedTable:
    """The API's totals beside the warehouse's."""
    rows = [
        (
            total.resource, total.check_name, total.scope, total.bucket, total.unit,
            *(number(value, total.unit) for value in (total.api_value, total.warehouse_value, total.difference)),
            total.verdict, total.detail or "",
        )
        for total in totals
    ]  # fmt: skip
    figures = ("API", "warehouse", "difference")
    head = ("resource", "check", "scope", "bucket", "unit", *figures, "verdict", "detail")
    return FittedTable(head, rows, names=5, right=frozenset(figures))


def worth_showing(totals: Sequence[ControlTotal]) -> list[ControlTotal]:
    """Totals of whole listings, and the totals of single clients that differ."""
    return [total for total in totals if total.scope == "all" or total.verdict == "differs"]


def number(value: Decimal | None, unit: str) -> str:
    """A count without decimals, an amount with four; `not stated` for None."""
    if value is None:
        return "not stated"
    return f"{value:,.0f}" if unit == "count" else f"{value:,.4f}"


def _on_one_line(text: str) -> str:
    """With control characters escaped, so that no value can look like another row."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _cell(text: str) -> Text:
    return Text(text, style=STYLES.get(text, ""))


def _together(text: str) -> str:
    """Keep short values on one line; sentences may wrap."""
    return text.replace(" ", "\N{NO-BREAK SPACE}") if len(text) <= 30 else text


def _folded(pieces: Sequence[str], width: int) -> list[str]:
    fold = textwrap.TextWrapper(
        width=width, break_long_words=False, break_on_hyphens=False, fix_sentence_endings=False, drop_whitespace=True
    )
    return fold.wrap("  ".join(pieces))
