"""Finds where the API's totals and ours differ, halving by halving, and names the slices to read. One request a step.

Belongs here: walking down. Does not: deciding (`narrow.py` does) or reading (`read.py`). Used by the nightly readings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from decimal import Decimal

from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.differences import BUCKETS, differences, halves, is_worth_narrowing, less
from debitura_pipeline.incremental.hourly_totals import Ledger

# Changes next to each other share halvings and pages: measured over nights of 100,000 to 1,000,000 cases, 0.63 to 0.72
# of what each would cost alone.
SHARED = 0.7


@dataclass(frozen=True)
class Quarry:
    """A bucket of a window whose rows have to be read, and how many these are."""

    window: Window
    bucket: str
    rows: int


@dataclass
class Hunt:
    """Compares windows with `ledger`; `ask` gets what the API states of one, by its own bounds exactly."""

    ask: Callable[[Window], Awaitable[Totals]]
    ledger: Ledger
    step: Decimal

    async def down(
        self, window: Window, stated: Totals, buckets: Collection[str] = BUCKETS, roundings: int = 1
    ) -> list[Quarry]:
        """What to read of `window`, of which the API states `stated`, so that no difference is left in `buckets`.
        `roundings`: of how many answers `stated` was computed."""
        differing = differences(stated, self.ledger.of(window), self.step, roundings)
        found = [d for d in differing if d.bucket in buckets]
        narrowed = {d.bucket for d in found if is_worth_narrowing(d, window)}
        quarry = [Quarry(window, d.bucket, d.stated_rows) for d in found if d.bucket not in narrowed]
        parts = halves(window)
        if narrowed and parts is not None:
            first = await self.ask(parts[0])
            both = await asyncio.gather(
                self.down(parts[0], first, narrowed),
                self.down(parts[1], less(stated, first), narrowed, roundings + 1),
            )
            quarry += both[0] + both[1]
            # Fractions of a cent here and there: only together do they show, so the whole bucket is read.
            unseen = narrowed - {part.bucket for part in quarry}
            quarry += [Quarry(window, d.bucket, d.stated_rows) for d in found if d.bucket in unseen]
        return quarry


def expected_cost(window: Window, stated: Totals, ledger: Ledger, step: Decimal) -> float:
    """Requests that hunting and reading this window's differences will take, as far as its totals tell."""
    return SHARED * sum(
        d.cost_of_narrowing if is_worth_narrowing(d, window) else d.pages
        for d in differences(stated, ledger.of(window), step)
    )
