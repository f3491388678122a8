"""Cut a long listing into parts of about equal size, by the API's row counts; a request for each window that is looked at."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from debitura_pipeline.extract.behaviour import to_micros
from debitura_pipeline.extract.calendar_parts import Part, Split
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Slice, Window
from debitura_pipeline.first_load.plan import LoadPart, grouped

LEAST_ROWS = 50_000  # of a part: without a rate limit, the run reads 20,000 while a worker's process starts
PARTS_A_READER = 4  # so that readers that are late or slow cost little

Pieces = list[tuple[Window, int]]


@dataclass(frozen=True)
class Divider:
    """Divides a listing for `readers` processes, into parts of `least_rows` or more."""

    reader: Reader
    readers: int
    least_rows: int = LEAST_ROWS

    async def divide(self, whole: Slice) -> tuple[Totals, tuple[LoadPart, ...]]:
        """What the API states of the listing, and its parts; none if it is too short, or cannot be cut.

        Raises UnprovenError if the API ignores a parameter, and ApiError.
        """
        first = await self._first_page(whole)
        self.reader.opening_totals[whole] = first.totals
        rows_a_part = max(self.least_rows, math.ceil(first.total / (PARTS_A_READER * self.readers)))
        if first.total < 2 * rows_a_part:
            return first.totals, ()
        parts = grouped(await self._pieces(whole, first, rows_a_part), rows_a_part)
        return first.totals, parts if len(parts) > 1 else ()

    async def _pieces(self, slice_: Slice, first: PageResponse, rows_a_part: int) -> Pieces:
        """Windows that cover the slice, with their rows; none has more than a part has, unless it cannot be cut."""
        wanted = math.ceil(first.total / rows_a_part)
        splitter = self.reader.splitter
        splitter.note_earliest(slice_, first)
        slices = slice_.split(splitter.earliest or self.reader.upper, self.reader.upper, wanted) if wanted > 1 else ()
        if not slices:
            return [(slice_.window, first.total)]
        split = Split(first.total)
        firsts = await asyncio.gather(*map(self._first_page, slices))
        for part, response in zip(slices, firsts, strict=True):
            splitter.check(response, Part(part, split=split))
        found = [await self._pieces(*each, rows_a_part) for each in zip(slices, firsts, strict=True)]
        return [piece for pieces in found for piece in pieces]

    async def _first_page(self, slice_: Slice) -> PageResponse:
        response = await self.reader.first_page(slice_)
        query = slice_.query(self.reader.listing)
        self.reader.behaviour.check(response, to_micros(query.from_), to_micros(query.to))
        return response
