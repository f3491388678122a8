"""What the processes that read a first load tell each other: the plan, and what was read of a part. Pure.

Parts are neighbours: each covers the time from the end of its predecessor to its own. Window numbers (`_seq`) are unique in a load:
those of part 3 begin at 300,001, those of the run itself after the last part's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.landing.journal_lines import Begin, Count, Instant, StatedTotals, WindowLine

FORMAT = 1
NUMBERS_A_PART = 100_000  # more windows than a part can have: its hours of eleven years

Bounds: TypeAlias = tuple[Instant | None, Instant | None]


class LoadPart(msgspec.Struct, frozen=True):
    """One part. `number` counts from 1; `windows`: adjacent, in order; `rows`: as the API stated when the load was planned."""

    number: Annotated[int, Meta(ge=1)]
    windows: Annotated[tuple[Bounds, ...], Meta(min_length=1)]
    rows: Count

    @property
    def slices(self) -> list[Slice]:
        """What is to be read."""
        return [Slice(Window(start, end)) for start, end in self.windows]

    @property
    def start(self) -> datetime | None:
        """Its beginning; None: unbounded."""
        return self.windows[0][0]

    @property
    def end(self) -> datetime | None:
        """Its end, excluded; None: unbounded."""
        return self.windows[-1][1]

    @property
    def first_number(self) -> int:
        """The number of its first window."""
        return self.number * NUMBERS_A_PART + 1

    def has_number(self, seq: int) -> bool:
        """Whether a window of this number may be of this part."""
        return self.first_number <= seq < self.first_number + NUMBERS_A_PART - 1


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A load. `begin`: the first line of its journal; `identity` and `privacy`: whose rows they are and how they are stored.

    `totals`: what the API stated of the whole listing. `readers`: processes that read at once; `is_counted_together`: whether
    their requests are, else each gets a share of the budget.
    """

    format: int = FORMAT
    begin: Begin
    identity: dict[str, str | None]
    privacy: str
    totals: StatedTotals
    readers: Annotated[int, Meta(ge=1)]
    is_counted_together: bool
    parts: tuple[LoadPart, ...]

    @property
    def load_id(self) -> str:
        """Its name."""
        return load_id_of(self.begin)

    @property
    def own_number(self) -> int:
        """The number of the first window that the run itself reads."""
        return (len(self.parts) + 1) * NUMBERS_A_PART + 1


class Beat(msgspec.Struct, frozen=True):
    """A sign of life of an attempt: its number, and the requests sent so far."""

    number: Count
    requests: Count


class PartResult(msgspec.Struct, frozen=True, kw_only=True):
    """A part that was read completely. `notes`: harmless oddities of the API."""

    windows: tuple[WindowLine, ...]
    requests: Count
    retries: Count
    notes: tuple[str, ...] = ()


def load_id_of(begin: Begin) -> str:
    """The name of the load that a journal begins: a sync that goes on with it on another machine has the same instant."""
    return f"{begin.at:%Y%m%dT%H%M%S%f}-{begin.resource}"


def grouped(pieces: Sequence[tuple[Window, int]], rows_a_part: int) -> tuple[LoadPart, ...]:
    """Adjacent windows with their rows, in order, as parts of about `rows_a_part` rows each; none has less than a tenth of that."""
    groups: list[list[tuple[Window, int]]] = []
    for window, count in pieces:
        rows = _rows(groups[-1]) if groups else 0
        is_full = rows + count / 2 > rows_a_part  # nearer to the wanted size without this window
        if not groups or (is_full and rows >= rows_a_part / 10):
            groups.append([])
        groups[-1].append((window, count))
    if len(groups) > 1 and _rows(groups[-1]) < rows_a_part / 10:
        last = groups.pop()
        groups[-1] += last
    return tuple(
        LoadPart(number, tuple((window.start, window.end) for window, _ in group), _rows(group))
        for number, group in enumerate(groups, 1)
    )


def _rows(group: Sequence[tuple[Window, int]]) -> int:
    return sum(count for _, count in group)


def chained(windows: Iterable[VerifiedWindow], part: LoadPart) -> list[VerifiedWindow] | None:
    """Those of `windows` that cover the part without a gap or an overlap; None if they do not. Of equal ones, the last counts."""
    by_start = {
        window.window.start: window for window in sorted(windows, key=lambda each: each.seq) if not window.slice.filters
    }
    found: list[VerifiedWindow] = []
    at = part.start
    while (window := by_start.pop(at, None)) is not None:
        found.append(window)
        at = window.window.end
        if at == part.end:
            return found
        if at is None:
            return None
    return None
