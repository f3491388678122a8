"""Bisect windows whose totals differ and return the ranges to read. Each step is one request; nothing is read here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from decimal import Decimal

from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.differences import (
    BUCKETS,
    Difference,
    bisect,
    compare_totals,
    should_bisect,
    subtract,
)
from debitura_pipeline.incremental.hourly_totals import HourlyTotals

# Adjacent changes share bisection steps and pages: measured on daily changes of 100,000 to 1,000,000 cases, the total was
# 0.63 to 0.72 of the sum of their single costs.
SHARED_COST = 0.7


@dataclass(frozen=True)
class ReadTarget:
    """A bucket of a window that has to be read. `rows`: rows that the API states for it."""

    window: Window
    bucket: str
    rows: int


@dataclass
class Bisection:
    """Compares windows with `ours`. `fetch_totals` returns what the API states of a window, end excluded."""

    fetch_totals: Callable[[Window], Awaitable[Totals]]
    ours: HourlyTotals
    precision: Decimal

    async def find(
        self, window: Window, stated: Totals, buckets: Collection[str] = BUCKETS, roundings: int = 1
    ) -> list[ReadTarget]:
        """Return what to read of `window` so that no difference in `buckets` is left.

        `stated` is what the API states of `window`, computed from `roundings` responses. For example, with one changed row
        among 100,000 of a month, the month is bisected some nine times and a range of about 150 rows is returned.

        Raises whatever `fetch_totals` raises.
        """
        ours = self.ours.in_window(window)
        differing = [d for d in compare_totals(stated, ours, self.precision, roundings) if d.bucket in buckets]
        to_bisect = [d for d in differing if should_bisect(d, window)]
        targets = [_target(window, d) for d in differing if d not in to_bisect]
        halves = bisect(window)
        if to_bisect and halves is not None:
            found = await self._find_in_halves(halves, stated, {d.bucket for d in to_bisect}, roundings)
            targets += found + _unlocated(window, to_bisect, found)
        return targets

    async def _find_in_halves(
        self, halves: tuple[Window, Window], stated: Totals, buckets: Collection[str], roundings: int
    ) -> list[ReadTarget]:
        first = await self.fetch_totals(halves[0])
        in_first, in_second = await asyncio.gather(
            self.find(halves[0], first, buckets),
            self.find(halves[1], subtract(stated, first), buckets, roundings + 1),
        )
        return in_first + in_second


def _target(window: Window, difference: Difference) -> ReadTarget:
    return ReadTarget(window, difference.bucket, difference.stated_rows)


def _unlocated(window: Window, differences: Collection[Difference], found: Collection[ReadTarget]) -> list[ReadTarget]:
    """Read a bucket whole if neither half differs: differences below a cent may show only in the sum of both."""
    located = {target.bucket for target in found}
    return [_target(window, difference) for difference in differences if difference.bucket not in located]


def expected_cost(window: Window, stated: Totals, ours: HourlyTotals, precision: Decimal) -> float:
    """Estimate the requests for bisecting and reading the differences of a window, from its totals alone.

    A window without a start stands for its months, which can be bisected.
    """
    differing = compare_totals(stated, ours.in_window(window), precision)
    if window.start is None:
        return SHARED_COST * sum(min(difference.bisection_cost, difference.pages) for difference in differing)
    return SHARED_COST * sum(
        difference.bisection_cost if should_bisect(difference, window) else difference.pages for difference in differing
    )
