"""What a verified window rests on: the stretches that its answers showed whole, the API's totals, the rows, the landed file.

Also its form as a line of the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.api.page import Envelope, Total
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.landing.findings import BadRow, Drift
from debitura_pipeline.landing.journal_lines import StatedTotals, WindowLine

# Sums that move with exchange rates from one answer to the next, so they say nothing about the list having moved.
FLOATING = ("Pending", "debitura_revenue")


@dataclass(frozen=True)
class Totals:
    """What the API states of a listing on one page: how many rows match, and its summary."""

    count: int
    summary: Mapping[str, Total]

    @classmethod
    def of(cls, envelope: Envelope) -> Totals:
        return cls(envelope.total_results, dict(envelope.totals))

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Equal on two answers only if nothing that shows in counts or settled sums happened between them."""
        settled = [
            (name, total.count, None if name in FLOATING else total.usd) for name, total in sorted(self.summary.items())
        ]
        return self.count, *settled

    def as_stated(self) -> StatedTotals:
        """As the journal holds them."""
        sums = {
            name: (total.count, None if total.usd is None else str(total.usd)) for name, total in self.summary.items()
        }
        return StatedTotals(self.count, sums)

    @classmethod
    def from_stated(cls, stated: StatedTotals) -> Totals:
        """Raises ArithmeticError where a sum is not a number."""
        summary = {
            name: Total(count, None if usd is None else Decimal(usd)) for name, (count, usd) in stated.summary.items()
        }
        return cls(stated.count, summary)


@dataclass(frozen=True)
class Stretch:
    """Rows from `start` up to `end` (aware UTC, None: without bound), all shown by one answer of `rows` rows.

    `method`: `answer`; `union`, where one instant holds more rows than a page and several readings were put together;
    `part`, where no two of those readings agreed, so that rows may be missing;
    `pages`, where the list was read by page numbers until two readings in a row were the same.
    """

    start: datetime | None
    end: datetime | None
    rows: int
    method: str = "answer"


@dataclass(frozen=True)
class VerifiedWindow:
    """A slice, every stretch of which one answer showed whole. `file` is None if it is empty.

    `totals`: the API's at the first answer. `attempts`: how often the window was read. `has_moved`: its answers' totals do
    not fit together, so that rows came or went while it was read.
    """

    slice: Slice
    seq: int
    totals: Totals
    rows: int
    distinct: int
    attempts: int
    file: str | None
    sha256: str | None
    bad: tuple[BadRow, ...] = ()
    drift: tuple[Drift, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    has_moved: bool = False

    @property
    def window(self) -> Window:
        return self.slice.window

    @property
    def is_partial(self) -> bool:
        """Whether rows that are there may be missing from it."""
        return any(stretch.method == "part" for stretch in self.stretches)

    def as_line(self) -> WindowLine:
        """As the journal holds it."""
        return WindowLine(
            name=self.slice.name,
            start=self.window.start,
            end=self.window.end,
            filters=self.slice.filters,
            seq=self.seq,
            api=self.totals.as_stated(),
            rows=self.rows,
            distinct=self.distinct,
            attempts=self.attempts,
            file=self.file,
            sha256=self.sha256,
            bad=self.bad,
            drift=self.drift,
            stretches=tuple((part.start, part.end, part.rows, part.method) for part in self.stretches),
            has_moved=self.has_moved,
        )

    @classmethod
    def from_line(cls, line: WindowLine) -> VerifiedWindow:
        """Raises ArithmeticError where a sum is not a number."""
        return cls(
            Slice(Window(line.start, line.end), line.filters),
            line.seq,
            Totals.from_stated(line.api),
            line.rows,
            line.distinct,
            line.attempts,
            line.file,
            line.sha256,
            line.bad,
            line.drift,
            tuple(Stretch(*part) for part in line.stretches),
            line.has_moved,
        )
