"""Split a long slice by the calendar, so that its parts can be read concurrently."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.behaviour import Behaviour, from_micros, to_micros
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import EPOCH, Slice

MAX_WINDOW_ROWS = 5_000  # about 50 pages or 5 MB, all held in memory
CHAIN_ROWS = 2_500  # windows are not split below this for concurrency alone: each part costs half a page
FILL_RATIO = 0.8  # target size of a part relative to MAX_WINDOW_ROWS, since rows are not spread evenly
MAX_EQUAL_TOTALS = 3  # parts that may state the total of the whole before it is taken to ignore the bounds


@dataclass
class Split:
    """A slice that was split. `rows`: the API's total for it; `equal_totals`: parts that state that total or more;
    `is_honoured`: some part states fewer, so totals follow the bounds."""

    rows: int
    equal_totals: int = 0
    is_honoured: bool = False


@dataclass(frozen=True)
class Part:
    """A slice to be read. `source`: a wider response that already holds all of it; `split`: what it is a part of."""

    slice: Slice
    source: PageResponse | None = None
    split: Split | None = None


@dataclass
class CalendarSplitter:
    """`upper`: the upper bound of the sync, used for slices without one. `earliest`: date of the first row, once known."""

    behaviour: Behaviour
    upper: datetime
    earliest: datetime | None = None

    def parts(self, slice_: Slice, first: PageResponse, in_flight: int) -> list[Part]:
        """Return the parts of a long slice, or none if it is short. `first` is its first response, with the slice's total."""
        wanted = math.ceil(first.total / (MAX_WINDOW_ROWS * FILL_RATIO)) if first.total > MAX_WINDOW_ROWS else 1
        wanted = max(wanted, min(in_flight, int(first.total / CHAIN_ROWS)))
        if wanted < 2 or first.rows < self.behaviour.page_rows or first.total <= first.rows:
            return []
        self.note_earliest(slice_, first)
        split = Split(first.total)
        slices = slice_.split(self.earliest or self.upper, self.upper, wanted)
        return [Part(part, self._source(part, first), split) for part in slices]

    def check(self, first: PageResponse, part: Part) -> None:
        """Count parts whose first response states the total of the whole.

        Raises UnprovenError if too many do: at most two parts can hold all rows, if those lie on their common bound.
        """
        split = part.split
        if split is None or part.slice.window.start is None:
            return
        split.equal_totals += first.total >= split.rows
        split.is_honoured |= first.total < split.rows
        if split.equal_totals >= MAX_EQUAL_TOTALS and not split.is_honoured:
            behaviour = self.behaviour
            raise UnprovenError(
                f"The list of {behaviour.resource} states {first.total} rows for each part of it: its total ignores "
                f"{behaviour.from_name} and {behaviour.to_name}. Nothing of this sync reached the warehouse.",
                resource=behaviour.resource,
            )

    def _source(self, part: Slice, first: PageResponse) -> PageResponse | None:
        """The response, if it reaches beyond the end of the part by every date that the listing may filter by."""
        end = to_micros(part.window.end)
        lasts = [first.last(which) for which in self.behaviour.units]
        return first if end is not None and all(last is not None and end < last for last in lasts) else None

    def note_earliest(self, slice_: Slice, first: PageResponse) -> None:
        """Note the date of the first row, needed to split a window without a lower bound."""
        if slice_.window.start is None:
            epoch = to_micros(EPOCH) or 0
            dates = [at for which in self.behaviour.units for at in first.outline.dates(which) if at > epoch]
            self.earliest = from_micros(min(dates)) if dates else self.earliest
