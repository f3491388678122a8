"""The record of a window that was read completely: its totals, rows, landed file, and the stretches that prove it.

Also its conversion to and from a journal line. Reading and verifying it: `window_verification.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.api.page_metadata import PageMetadata, Total
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.landing.findings import BadRow, Drift
from debitura_pipeline.landing.journal_lines import StatedTotals, WindowLine

# Sums that move with exchange rates between two responses, so a change does not mean that rows changed.
FLOATING = ("Pending", "debitura_revenue")


@dataclass(frozen=True)
class Totals:
    """What the API states with a page: `count` of all matching rows, and the summary by bucket."""

    count: int
    summary: Mapping[str, Total]

    @classmethod
    def of(cls, metadata: PageMetadata) -> Totals:
        """Take the totals from a page's envelope."""
        return cls(metadata.total_results, dict(metadata.totals))

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """A value that differs between two responses if a count or a settled sum changed."""
        return self.count, *self._settled()

    def _settled(self) -> list[tuple[str, int | None, Decimal | None]]:
        return [
            (name, total.count, None if name in FLOATING else total.usd) for name, total in sorted(self.summary.items())
        ]

    @property
    def digest(self) -> str:
        """A hash of `fingerprint`, for the journal."""
        sums = [(name, count, None if usd is None else f"{usd.normalize():f}") for name, count, usd in self._settled()]
        return hashlib.sha256(repr((self.count, sums)).encode()).hexdigest()[:16]

    def as_stated(self) -> StatedTotals:
        """Convert to the form stored in the journal."""
        sums = {
            name: (total.count, None if total.usd is None else str(total.usd)) for name, total in self.summary.items()
        }
        return StatedTotals(self.count, sums)

    @classmethod
    def from_stated(cls, stated: StatedTotals) -> Totals:
        """Convert from the form stored in the journal. Raises ArithmeticError if a sum is not a number."""
        summary = {
            name: Total(count, None if usd is None else Decimal(usd)) for name, (count, usd) in stated.summary.items()
        }
        return cls(stated.count, summary)


@dataclass(frozen=True)
class Stretch:
    """A part of a window, from `start` to `end` (aware UTC; None: unbounded), that was read completely.

    `method`: `answer`, a single response of `rows` rows; `union`, several passes over an instant with more rows than a page;
    `part`, the same but no two passes agreed, so rows may be missing; `pages`, by page numbers until two passes were equal.
    """

    start: datetime | None
    end: datetime | None
    rows: int
    method: str = "answer"


@dataclass(frozen=True)
class VerifiedWindow:
    """A slice that was read completely. `file` is its landed file, None if it has no rows.

    `totals`: stated by the first response. `distinct`: number of distinct keys. `attempts`: how often the slice was read.
    `has_moved`: the totals of its responses do not add up, so rows were added or removed while it was read. `opening`: digest of
    the opening totals of the whole when the window was read, None if the plan has no whole.
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
    opening: str | None = None

    @property
    def window(self) -> Window:
        """The window of the slice."""
        return self.slice.window

    @property
    def is_partial(self) -> bool:
        """Whether existing rows may be missing from it."""
        return any(stretch.method == "part" for stretch in self.stretches)

    def as_line(self) -> WindowLine:
        """Convert to a journal line."""
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
            opening=self.opening,
        )

    @classmethod
    def from_line(cls, line: WindowLine) -> VerifiedWindow:
        """Convert from a journal line. Raises ArithmeticError if a sum is not a number."""
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
            line.opening,
        )
