"""The nightly reading of a large partner's cases: all that are open, what closed since, and a count of the closed.

Belongs here: states as buckets, cases read one by one, clients whose own figures disagree. Does not: the walk down
(`hunt.py`). Used by `sync/`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.api.page import Total
from debitura_pipeline.extract.comparison import STEP
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Filters, Slice, Window
from debitura_pipeline.incremental.base import DAY, EVERYTHING, Forecast, Night, floor
from debitura_pipeline.incremental.differences import CLOSED
from debitura_pipeline.incremental.drilldown import Hunt, expected_cost
from debitura_pipeline.incremental.expected_state import Missing
from debitura_pipeline.incremental.hourly_totals import Ledger
from debitura_pipeline.incremental.rotation import joined, pages_of

OPEN_STATES = (
    "PendingContractSigning",
    "PendingVerificationInternal",
    "PendingVerification",
    "NeedsAdditionalDetails",
    "Leads",
    "LeadsQuoteGiven",
    "Active",
    "Paused",
)
CLOSED_STATES = ("Closed", "Merged")
OPEN_FILTER: Filters = tuple(("Statuses", state) for state in OPEN_STATES)
CLOSED_FILTER: Filters = tuple(("Statuses", state) for state in CLOSED_STATES)
OPEN = "open"


@dataclass
class CasesNight(Night):
    """`client_stats`: per creditor what its own record says: cases in all, cases closed, its tenant id."""

    client_stats: Mapping[str, tuple[int | None, int | None, str | None]] = field(default_factory=dict)

    async def first_look(self) -> None:
        """Everything open, everything new, and each case that was open and is so no longer."""
        new = [Slice(Window(self.last - DAY, None))] if self.last is not None else []
        await self.take([Slice(EVERYTHING, OPEN_FILTER), *new])
        await self.take(self._where_many_closed(self.overlay.missing(EVERYTHING, OPEN)))
        await self.settle(self.overlay.missing(EVERYTHING, OPEN))

    async def look_closer(self, number: int) -> list[str]:
        """Count the closed cases of each month; from the second round on, all cases, whatever their state is called."""
        ask = self._ask_closed if number == 1 else self._ask_any
        windows = self.months()
        stated = await asyncio.gather(*(ask(window) for window in windows))
        hunt = Hunt(ask, self.overlay.ledger(None if number == 1 else CLOSED), STEP)
        walks = [hunt.down(window, totals) for window, totals in zip(windows, stated, strict=True)]
        quarry = [found for walk in await asyncio.gather(*walks) for found in walk]
        filters = CLOSED_FILTER if number == 1 else ()
        await self.take([Slice(found.window, filters) for found in quarry])
        await self.look_again([(found.window, CLOSED if number == 1 else None) for found in quarry])
        for found in quarry:
            await self.settle(self.overlay.missing(found.window, CLOSED if number == 1 else None))
        if number == 1:
            await self._read_disagreeing_clients()
        return sorted({found.window.name for found in quarry})

    def agrees(self, closing: Totals, ledger: Ledger) -> bool:
        return closing.count == self.overlay.count()

    async def estimate(self, full: int) -> Forecast:
        return await self._foresee([EVERYTHING])

    async def forecast(self) -> Forecast:
        return await self._foresee(self.months())

    async def _foresee(self, windows: Sequence[Window]) -> Forecast:
        ledger = self.overlay.ledger()
        stated = await asyncio.gather(*(self._ask_closed(window) for window in windows))
        swept = await self.ask(EVERYTHING, OPEN_FILTER)
        new = await self.ask(Window(self.last - DAY, None)) if self.last is not None else Totals(0, {})
        was_open = ledger.of(EVERYTHING).get(OPEN, (0, 0))[0]
        closed_now = sum(totals.count for totals in stated) - ledger.of(EVERYTHING).get(CLOSED, (0, 0))[0]
        # More closed ones than ours closed since, and are read one by one; only fewer have to be hunted for.
        fewer = [(w, t) for w, t in zip(windows, stated, strict=True) if t.count < ledger.of(w).get(CLOSED, (0, 0))[0]]
        walks = sum(expected_cost(window, totals, ledger, STEP) for window, totals in fewer)
        return Forecast(
            (
                ("totals of windows", float(len(self.months()) + 1)),
                ("open cases", swept.count / 99 + len(self.months()) / 2),
                ("new cases", float(pages_of(new.count))),
                ("cases closed since", float(max(0, min(closed_now, was_open)))),
                ("windows that differ", walks),
                ("rows whose turn it is", float(self.turn_cost())),
            )
        )

    async def _ask_closed(self, window: Window) -> Totals:
        return _only_count(await self.ask(window, CLOSED_FILTER))

    async def _ask_any(self, window: Window) -> Totals:
        return _only_count(await self.ask(window))

    def _where_many_closed(self, rows: Sequence[Missing]) -> list[Slice]:
        """Clients and days that have more of these cases than pages: a contract that ended, a client that was unlinked."""
        ours, slices = self.overlay.per_client(), []
        for creditor, count in Counter(row.creditor for row in rows if row.creditor is not None).items():
            total, _, tenant = self.client_stats.get(creditor, (None, None, None))
            if tenant is not None and count > pages_of(max(total or 0, ours.get(creditor, (0, 0))[0])):
                slices.append(Slice(EVERYTHING, (("ExternalTenantId", tenant),)))
                rows = [row for row in rows if row.creditor != creditor]
        per_day = {day: count for day, count in Counter(floor(row.at, DAY) for row in rows).items() if count > 1}
        if not per_day:
            return slices
        ledger = self.overlay.ledger()
        held = {day: ledger.rows(Window(day, day + DAY)) for day in per_day}
        many = {Window(day, day + DAY): held[day] for day, count in per_day.items() if count > pages_of(held[day])}
        return [*slices, *map(Slice, joined(many))]

    async def settle(self, rows: Sequence[Missing]) -> None:
        """Read each of these cases by its id; one that the API does not know is gone."""
        landed, unknown = await self.reader.read_by_id("/cases", [row.key for row in rows])
        self.verified |= {verified.slice: verified for verified in landed}
        if landed:
            self.lay()
        self.lose([row for row in rows if row.key in unknown])

    async def _read_disagreeing_clients(self) -> None:
        """A client whose own figures differ from its cases has these read whole."""
        ours = self.overlay.per_client()
        tenants = []
        for creditor, (total, closed, tenant) in self.client_stats.items():
            counted, counted_closed = ours.get(creditor, (0, 0))
            differs = total not in (None, counted) or (closed is not None and closed > counted_closed)
            if differs and tenant is not None:
                tenants.append(tenant)
        await self.take([Slice(EVERYTHING, (("ExternalTenantId", tenant),)) for tenant in sorted(set(tenants))])


def _only_count(totals: Totals) -> Totals:
    return Totals(totals.count, {CLOSED: Total(totals.count, None)})
