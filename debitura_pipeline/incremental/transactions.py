"""The nightly reading of a large partner's transactions: each window's totals against ours, then only what differs.

Belongs here: stages as buckets, the estimates, and the way out where the summary does not follow the date filter. Does not:
the walk down (`hunt.py`). Used by `sync/`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from debitura_pipeline.api.page import Total
from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.incremental.base import EVERYTHING, Forecast, Night
from debitura_pipeline.incremental.differences import BUCKETS, differences, follows_dates, step_of
from debitura_pipeline.incremental.drilldown import Hunt, Quarry, expected_cost
from debitura_pipeline.incremental.expected_state import Missing
from debitura_pipeline.incremental.hourly_totals import Ledger
from debitura_pipeline.incremental.rotation import joined, pages_of

PENDING, PAID = "Pending", "Paid"
# Few rows that no total tells apart from settled ones: estimates (commission Unpaid or Credited) past the first stage,
# and rows whose platform invoice was credited, which fit no stage.
DOUBTFUL: tuple[Filters, ...] = (
    (
        ("CommissionPaymentStatuses", "0"),
        ("CommissionPaymentStatuses", "2"),
        *(("RevenueStages", str(number)) for number, stage in enumerate(STAGES) if stage != PENDING),
    ),
    (("PlatformInvoicingStatuses", "3"),),
)
NO_DATES = (
    "the API's summary does not follow the date filter, so sums could be compared for all rows together only, "
    "and counts of paid rows by window"
)


@dataclass
class TransactionsNight(Night):
    """`stated`: what the API states of each month, asked once a round."""

    stated: dict[Window, Totals] = field(default_factory=dict)
    everything: Totals = field(default_factory=lambda: Totals(0, {}))
    is_still: bool = False  # the last look found no window that differs

    async def first_look(self) -> None:
        """The windows' totals, and the estimates among the settled: neither counts nor sums show these come or go."""
        if not self.stated:
            await self._ask_months()
        await self.take([Slice(EVERYTHING, filters) for filters in DOUBTFUL])
        await self.settle_by_hours(self.overlay.missing(EVERYTHING, None, doubtful=True))
        if self._is_deaf_to_dates():
            self.unproven.append(NO_DATES)
            await self.take([Slice(EVERYTHING, of_stage(stage)) for stage in STAGES if stage != PAID])

    async def look_closer(self, number: int) -> list[str]:
        if number > 1:
            await self._ask_months()
        ledger = self.overlay.ledger()
        hunt = Hunt(self.ask, ledger, self._step())
        buckets = set(BUCKETS) - {PENDING} if number == 1 else set(BUCKETS)
        if self._is_deaf_to_dates():
            hunt = Hunt(self._ask_paid, ledger, self._step())
            stated = dict(zip(self.stated, await asyncio.gather(*map(self._ask_paid, self.stated)), strict=True))
            walks = [hunt.down(window, totals, {PAID}) for window, totals in stated.items()]
        else:
            walks = [hunt.down(window, totals, buckets) for window, totals in self.stated.items()]
        quarry = [found for walk in await asyncio.gather(*walks) for found in walk]
        self.is_still = not quarry if self._is_deaf_to_dates() else self._holds(ledger, buckets)
        if number == 1 and not self._is_deaf_to_dates():
            quarry += self._estimates(hunt.ledger)
        if number > 1 and self._is_deaf_to_dates():
            quarry += await self._sweep_again(hunt.ledger)
        await self._read_and_settle(quarry)
        return sorted({found.window.name for found in quarry})

    async def settle(self, rows: Sequence[Missing]) -> None:
        await self.settle_by_hours(rows)

    def agrees(self, closing: Totals, ledger: Ledger) -> bool:
        """Counts and settled sums equal; rows without a date count among all rows.

        Without totals by date nothing finds a paid row whose fee was edited, but its turn: counts alone decide then.
        """
        # Where no window differs, what the rounding of each window's sum hides is nothing that another round would find;
        # the control totals say so then.
        roundings = len(self.stated) + 1 if self.is_still else 1
        found = differences(closing, ledger.of(EVERYTHING), self._step(closing), roundings)
        if self._is_deaf_to_dates():
            found = [difference for difference in found if difference.bucket != PAID or difference.changed_rows]
        return closing.count == self.overlay.count() and not found

    async def estimate(self, full: int) -> Forecast:
        months = len(self.months())
        self.most_windows = max(1, full // 100)
        try:
            found = await self.forecast()
        finally:
            self.most_windows = sys.maxsize
        if len(self.stated) == months:
            return found
        self.stated = {}  # fewer windows than months do for a forecast, and hide too much from the night itself
        return Forecast((*found.parts, ("totals of months", float(months))))

    async def forecast(self) -> Forecast:
        if not self.stated:
            await self._ask_months()
        ledger = self.overlay.ledger()
        walks = sum(
            expected_cost(window, totals, ledger, self._step())
            for window, totals in self.stated.items()
            if not self._is_deaf_to_dates()
        )
        estimates = sum(pages_of(found.rows) for found in self._estimates(ledger))
        sweep = sum(pages_of(ledger.of(EVERYTHING).get(stage, (0, 0))[0]) for stage in STAGES if stage != PAID)
        parts = [("totals of windows", float(len(self.stated) + 1)), ("rows whose turn it is", float(self.turn_cost()))]
        if self._is_deaf_to_dates():
            parts += [("unsettled stages", float(sweep)), ("counts of paid rows", float(len(self.stated)))]
        else:
            parts += [("estimates", float(estimates)), ("windows that differ", walks)]
        return Forecast(tuple(parts))

    async def _ask_months(self) -> None:
        windows = self.months()
        self.stated = dict(zip(windows, await self.ask_all(windows), strict=True))
        self.everything = await self.reader.totals(Slice(EVERYTHING))

    def _holds(self, ledger: Ledger, buckets: set[str]) -> bool:
        found = (differences(totals, ledger.of(window), self._step()) for window, totals in self.stated.items())
        return not any(difference.bucket in buckets for of_window in found for difference in of_window)

    def _step(self, *more: Totals) -> Decimal:
        return step_of((*self.stated.values(), self.everything, *more))

    def _is_deaf_to_dates(self) -> bool:
        return not all(follows_dates(totals, self.everything) for totals in self.stated.values())

    def _estimates(self, ledger: Ledger) -> list[Quarry]:
        """The buckets of estimates of all windows: their USD moves every night, so they are read every night."""
        rows_of = {}
        for window, totals in self.stated.items():
            rows = (totals.summary.get(PENDING) or Total(0, None)).count or 0
            if rows or ledger.of(window).get(PENDING):
                rows_of[window] = rows
        return [Quarry(window, PENDING, rows) for window, rows in joined(rows_of).items()]

    async def _sweep_again(self, ledger: Ledger) -> list[Quarry]:
        """Stages whose totals moved on after they were swept."""
        moved = [d for d in differences(self.everything, ledger.of(EVERYTHING), self._step()) if d.bucket != PAID]
        if any(difference.bucket not in STAGES for difference in moved):
            await self.take([Slice(EVERYTHING, DOUBTFUL[1])])
        return [Quarry(EVERYTHING, d.bucket, d.stated_rows) for d in moved if d.bucket in STAGES]

    async def _ask_paid(self, window: Window) -> Totals:
        totals = await self.ask(window, of_stage(PAID))
        return Totals(totals.count, {PAID: Total(totals.count, None)})

    async def _read_and_settle(self, quarry: Sequence[Quarry]) -> None:
        """Read the buckets; a row that left one and is found in none has its hour read whole."""
        await self.take([Slice(found.window, of_stage(found.bucket)) for found in quarry])
        await self.look_again([(found.window, found.bucket) for found in quarry])
        lost = {row.key: row for found in quarry for row in self.overlay.missing(found.window, found.bucket)}
        if self._is_deaf_to_dates():
            sweep = (self.overlay.missing(EVERYTHING, stage) for stage in STAGES if stage != PAID)
            lost |= {row.key: row for rows in sweep for row in rows}
        await self.settle_by_hours(list(lost.values()))


def of_stage(stage: str) -> Filters:
    """Filter for one stage; rows that fit no stage can be had only with all others."""
    return (("RevenueStages", str(STAGES.index(stage))),) if stage in STAGES else ()
