"""A long slice cut by the calendar, so that as many windows are read side by side as requests may be in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract.behaviour import Behaviour, from_micros, to_micros
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.windows import EPOCH, Slice

MAX_WINDOW_ROWS = 5_000  # some 50 pages, 5 MB: what one window holds in memory
CHAIN_ROWS = 2_500  # a window is parted down to this while places in flight are idle: each part costs half a page
FILL_RATIO = 0.8  # parts are cut as if rows were spread evenly, with this much of the room used
MAX_EQUAL_TOTALS = 3  # parts of a window that state the whole window's total: then the total ignores the bounds


@dataclass
class Split:
    """A slice that was cut. `rows`: the API's total for it; `same`: parts with that same total; `is_honoured`: one had fewer."""

    rows: int
    same: int = 0
    is_honoured: bool = False


@dataclass(frozen=True)
class Part:
    """A slice to be read. `seed`: a wider answer that shows all of it; `cut`: what it is a part of."""

    slice: Slice
    source: PageResponse | None = None
    split: Split | None = None


@dataclass
class CalendarSplitter:
    """`upper`: the sync's upper bound, which parts a slice without one. `earliest`: the first row's date, once it is known."""

    behaviour: Behaviour
    upper: datetime
    earliest: datetime | None = None

    def parts(self, slice_: Slice, first: PageResponse, in_flight: int) -> list[Part]:
        """The parts of a slice that is long, its first answer given to those that it shows whole; none where it is not."""
        wanted = math.ceil(first.total / (MAX_WINDOW_ROWS * FILL_RATIO)) if first.total > MAX_WINDOW_ROWS else 1
        wanted = max(wanted, min(in_flight, int(first.total / CHAIN_ROWS)))
        if wanted < 2 or first.rows < self.behaviour.page_rows or first.total <= first.rows:
            return []
        self._note_earliest(slice_, first)
        split = Split(first.total)
        slices = slice_.split(self.earliest or self.upper, self.upper, wanted)
        return [Part(part, self._source(part, first), split) for part in slices]

    def check(self, first: PageResponse, part: Part) -> None:
        """Parts of one window cannot each have all its rows, but two where all lie on their common bound. Raises UnprovenError
        when more do."""
        split = part.split
        if split is None or part.slice.window.start is None:
            return
        split.same += first.total >= split.rows
        split.is_honoured |= first.total < split.rows
        if split.same >= MAX_EQUAL_TOTALS and not split.is_honoured:
            behaviour = self.behaviour
            raise UnprovenError(
                f"The list of {behaviour.resource} states {first.total} rows for each part of it: its total does not heed "
                f"{behaviour.from_name} and {behaviour.to_name}. Nothing of this sync reached the warehouse.",
                resource=behaviour.resource,
            )

    def _source(self, part: Slice, first: PageResponse) -> PageResponse | None:
        """The answer, where it shows the part to its end, by whichever date the list may go."""
        end = to_micros(part.window.end)
        lasts = [first.last(which) for which in self.behaviour.units]
        return first if end is not None and all(last is not None and end < last for last in lasts) else None

    def _note_earliest(self, slice_: Slice, first: PageResponse) -> None:
        """The first row's instant, where a window without lower bound has to be parted."""
        if slice_.window.start is None:
            dawn = to_micros(EPOCH) or 0
            dates = [at for which in self.behaviour.units for at in first.outline.dates(which) if at > dawn]
            self.earliest = from_micros(min(dates)) if dates else self.earliest
