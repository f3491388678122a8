"""Where a control total differs: from stage or state down to the hour, and there to the client. Asks only about what differs.

Belongs here: walking down by the API's totals. Does not: deciding that something differs at all (`control.py`), telling
the clients apart (`by_client.py`), mending. Used by `debitura reconcile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page import Total
from debitura_pipeline.contract.listings import LISTINGS, Query
from debitura_pipeline.contract.stages import stage_sql
from debitura_pipeline.extract.answer import earliest_in
from debitura_pipeline.extract.comparison import ROW_PRECISION
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import EVERYTHING, Filters, Window
from debitura_pipeline.incremental.differences import (
    bisect,
    compare_totals,
    fee_precision,
    honours_date_filter,
    subtract,
)
from debitura_pipeline.incremental.hourly_totals import HourlyTotals
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.transform import Shaper
from debitura_pipeline.reconcile.by_client import STATE_SQL, STATES, ByClient, Place, filter_of, query_of
from debitura_pipeline.reconcile.control_totals import Rows

MAX_PLACES = 20  # named one by one; where more differ, a reading of everything is the better answer
MAX_REQUESTS = 500  # for walking down; afterwards the windows reached are named as they are


@dataclass
class Locator:
    """`rows` queries the warehouse; `mode` is the partner's invoicing mode; `upper` bounds the months that are asked for."""

    client: ApiClient
    shaper: Shaper
    rows: Rows
    mode: str | None
    upper: datetime
    requests_left: int = MAX_REQUESTS

    async def locate(self, resource: str) -> list[ControlTotal]:
        """One differing total per stage or state, window and client; empty where nothing can be made out."""
        walk = self._transactions if resource == "transactions" else self._cases
        date, places = await walk()
        clients = ByClient(self.client, self.shaper, self.rows, self.mode)
        found = [await clients.compare(resource, date, place) for place in places[:MAX_PLACES]]
        return [total for part in found for total in part]

    async def _transactions(self) -> tuple[str, list[Place]]:
        date, ours, stated = await self._dated("transactions", ("occurred_at", "paid_at"), stage_sql(self.mode))
        everything = await self._ask("transactions", EVERYTHING)
        precision = fee_precision((*stated.values(), everything))
        if not all(honours_date_filter(totals, everything) for totals in stated.values()):
            return date, [
                Place(EVERYTHING, d.bucket) for d in compare_totals(everything, ours.in_window(EVERYTHING), precision)
            ]

        def ask(window: Window) -> Awaitable[Totals]:
            return self._ask("transactions", window)

        walks = [self._walk(ask, ours, window, totals, precision) for window, totals in stated.items()]
        return date, [place for walk in await asyncio.gather(*walks) for place in walk]

    async def _cases(self) -> tuple[str, list[Place]]:
        """By state, each with its filter: what the summary's groups count is not said anywhere."""
        places: list[Place] = []
        windows = await self._months("cases", self._hourly_totals("cases", "created_at", "'closed'"))
        for bucket in STATES:
            sql = f"CASE WHEN {STATE_SQL} = '{bucket}' THEN 'closed' END"  # the walk compares one bucket of that name
            ours = self._hourly_totals("cases", "created_at", sql)

            async def ask(window: Window, bucket: str = bucket) -> Totals:
                totals = await self._ask("cases", window, filter_of("cases", bucket))
                return _counted(totals.count)

            if (await ask(EVERYTHING)).count == ours.rows(EVERYTHING):
                continue
            for window in windows:
                found = await self._walk(ask, ours, window, await ask(window), ROW_PRECISION)
                places += [Place(place.window, bucket) for place in found]
        return "created_at", places

    async def _dated(
        self, resource: str, dates: Sequence[str], bucket_sql: str
    ) -> tuple[str, HourlyTotals, Mapping[Window, Totals]]:
        """The date by which the API filters, our rows by it, and the API's totals of each month."""
        totals_by_date = {date: self._hourly_totals(resource, date, bucket_sql) for date in dates}
        windows = await self._months(resource, totals_by_date[dates[0]])
        stated = dict(
            zip(windows, await asyncio.gather(*(self._ask(resource, window) for window in windows)), strict=True)
        )

        def misses(date: str) -> int:
            return sum(abs(totals.count - totals_by_date[date].rows(window)) for window, totals in stated.items())

        date = min(dates, key=misses)  # of equals the first
        return date, totals_by_date[date], stated

    def _hourly_totals(self, resource: str, date: str, bucket_sql: str) -> HourlyTotals:
        usd = "coalesce(sum(referral_fee_usd), 0)" if resource == "transactions" else "0"
        counted = self.rows(
            f"SELECT date_trunc('hour', {date}), {bucket_sql} AS bucket, count(*), {usd} FROM raw.{resource} "
            f"WHERE _deleted_at IS NULL AND {date} IS NOT NULL GROUP BY 1, 2"
        )
        return HourlyTotals((at.astimezone(UTC), bucket, n, Decimal(usd)) for at, bucket, n, usd in counted if bucket)

    async def _months(self, resource: str, ours: HourlyTotals) -> Sequence[Window]:
        """From the first row on, ours or the API's: its lists begin with their oldest row."""
        first = await self.client.page(Query(LISTINGS[resource]), 1)
        known = [at for at in (ours.earliest(), earliest_in(first, LISTINGS[resource])) if at is not None]
        upper = self.upper.replace(minute=0, second=0, microsecond=0)  # our rows are counted by whole hours
        return EVERYTHING.months(min(known, default=upper), upper) or (EVERYTHING,)

    async def _ask(self, resource: str, window: Window, filters: Filters = ()) -> Totals:
        return Totals.of((await self.client.page(query_of(resource, window, filters), 1)).envelope)

    async def _walk(
        self,
        ask: Callable[[Window], Awaitable[Totals]],
        ours: HourlyTotals,
        window: Window,
        stated: Totals,
        precision: Decimal,
        roundings: int = 1,
    ) -> list[Place]:
        """The smallest windows in which a bucket differs: an hour, or where only the sum of small differences shows, more."""
        buckets = {found.bucket for found in compare_totals(stated, ours.in_window(window), precision, roundings)}
        parts = bisect(window)
        if not buckets or parts is None or self.requests_left <= 0:
            return [Place(window, bucket) for bucket in sorted(buckets)]
        self.requests_left -= 1
        first = await ask(parts[0])
        found = await self._walk(ask, ours, parts[0], first, precision)
        found += await self._walk(ask, ours, parts[1], subtract(stated, first), precision, roundings + 1)
        named = {place.bucket for place in found}
        return found + [Place(window, bucket) for bucket in sorted(buckets - named)]


def _counted(count: int) -> Totals:
    return Totals(count, {"closed": Total(count, None)})
