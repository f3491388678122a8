"""Locate a differing control total for `debitura reconcile`: by stage or state, down to the hour, then to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.listings import LISTINGS, Query
from debitura_pipeline.contract.stages import stage_sql
from debitura_pipeline.extract.comparison import ROW_PRECISION
from debitura_pipeline.extract.page_response import earliest_date
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import EVERYTHING, Filters, Window
from debitura_pipeline.incremental.differences import (
    bisect,
    compare_totals,
    fee_precision,
    honours_filter,
    subtract,
)
from debitura_pipeline.incremental.hourly_totals import HourlyTotals
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.reconcile.by_client import (
    STATE_SQL,
    STATES,
    ClientComparison,
    DifferenceLocation,
    bucket_filter,
    window_query,
)
from debitura_pipeline.reconcile.control_totals import RunQuery

MAX_LOCATIONS = 20  # if there are more, a full sync is the better remedy
MAX_REQUESTS = 500  # for bisection; when they are used up, the windows reached so far are reported


@dataclass
class DifferenceFinder:
    """`rows` runs a query on the warehouse; `invoicing_mode` is the partner's invoicing trigger; `upper` ends the last month."""

    client: ApiClient
    transformer: PageTransformer
    rows: RunQuery
    invoicing_mode: str | None
    upper: datetime
    requests_left: int = MAX_REQUESTS

    async def find(self, resource: str) -> list[ControlTotal]:
        """Return one differing total per stage or state, window and client; empty if none can be located. Raises ApiError."""
        find = self._transactions if resource == "transactions" else self._cases
        date, locations = await find()
        clients = ClientComparison(self.client, self.transformer, self.rows, self.invoicing_mode)
        found = [await clients.compare(resource, date, location) for location in locations[:MAX_LOCATIONS]]
        return [total for part in found for total in part]

    async def _transactions(self) -> tuple[str, list[DifferenceLocation]]:
        date, ours, stated = await self._totals_by_filter_date(
            "transactions", ("occurred_at", "paid_at"), stage_sql(self.invoicing_mode)
        )
        overall = await self._fetch_totals("transactions", EVERYTHING)
        precision = fee_precision((*stated.values(), overall))
        if not all(honours_filter(totals, overall) for totals in stated.values()):
            return date, [
                DifferenceLocation(EVERYTHING, d.bucket)
                for d in compare_totals(overall, ours.in_window(EVERYTHING), precision)
            ]

        def fetch_totals(window: Window) -> Awaitable[Totals]:
            return self._fetch_totals("transactions", window)

        searches = [self._bisect(fetch_totals, ours, window, totals, precision) for window, totals in stated.items()]
        return date, [location for found in await asyncio.gather(*searches) for location in found]

    async def _cases(self) -> tuple[str, list[DifferenceLocation]]:
        """Compare cases state by state with the API's filter, since the groups of the summary are not defined."""
        locations: list[DifferenceLocation] = []
        windows = await self._comparison_windows("cases", self._hourly_totals("cases", "created_at", "'closed'"))
        for bucket in STATES:
            sql = f"CASE WHEN {STATE_SQL} = '{bucket}' THEN 'closed' END"  # bisection compares the bucket of that name
            ours = self._hourly_totals("cases", "created_at", sql)

            async def fetch_totals(window: Window, bucket: str = bucket) -> Totals:
                totals = await self._fetch_totals("cases", window, bucket_filter("cases", bucket))
                return _counted(totals.count)

            if (await fetch_totals(EVERYTHING)).count == ours.rows(EVERYTHING):
                continue
            for window in windows:
                found = await self._bisect(fetch_totals, ours, window, await fetch_totals(window), ROW_PRECISION)
                locations += [DifferenceLocation(location.window, bucket) for location in found]
        return "created_at", locations

    async def _totals_by_filter_date(
        self, resource: str, dates: Sequence[str], bucket_sql: str
    ) -> tuple[str, HourlyTotals, Mapping[Window, Totals]]:
        """Return the date that the API filters by, our totals by that date, and the API's totals of each month."""
        totals_by_date = {date: self._hourly_totals(resource, date, bucket_sql) for date in dates}
        windows = await self._comparison_windows(resource, totals_by_date[dates[0]])
        stated = dict(
            zip(
                windows,
                await asyncio.gather(*(self._fetch_totals(resource, window) for window in windows)),
                strict=True,
            )
        )

        def mismatch(date: str) -> int:
            return sum(abs(totals.count - totals_by_date[date].rows(window)) for window, totals in stated.items())

        date = min(dates, key=mismatch)  # the first one if several match equally
        return date, totals_by_date[date], stated

    def _hourly_totals(self, resource: str, date: str, bucket_sql: str) -> HourlyTotals:
        usd = "coalesce(sum(referral_fee_usd), 0)" if resource == "transactions" else "0"
        counted = self.rows(
            f"SELECT date_trunc('hour', {date}), {bucket_sql} AS bucket, count(*), {usd} FROM raw.{resource} "
            f"WHERE _deleted_at IS NULL AND {date} IS NOT NULL GROUP BY 1, 2"
        )
        return HourlyTotals((at.astimezone(UTC), bucket, n, Decimal(usd)) for at, bucket, n, usd in counted if bucket)

    async def _comparison_windows(self, resource: str, ours: HourlyTotals) -> Sequence[Window]:
        """Return months from the oldest row on, ours or the API's; lists start with their oldest row."""
        first = await self.client.page(Query(LISTINGS[resource]), 1)
        known = [at for at in (ours.earliest(), earliest_date(first, LISTINGS[resource])) if at is not None]
        upper = self.upper.replace(minute=0, second=0, microsecond=0)  # our totals are hourly
        return EVERYTHING.months(min(known, default=upper), upper) or (EVERYTHING,)

    async def _fetch_totals(self, resource: str, window: Window, filters: Filters = ()) -> Totals:
        return Totals.of((await self.client.page(window_query(resource, window, filters), 1)).metadata)

    async def _bisect(
        self,
        fetch_totals: Callable[[Window], Awaitable[Totals]],
        ours: HourlyTotals,
        window: Window,
        stated: Totals,
        precision: Decimal,
        roundings: int = 1,
    ) -> list[DifferenceLocation]:
        """Return the smallest windows in which a bucket differs: an hour, or more if only the sum of its hours differs."""
        buckets = {found.bucket for found in compare_totals(stated, ours.in_window(window), precision, roundings)}
        parts = bisect(window)
        if not buckets or parts is None or self.requests_left <= 0:
            return [DifferenceLocation(window, bucket) for bucket in sorted(buckets)]
        self.requests_left -= 1
        first = await fetch_totals(parts[0])
        found = await self._bisect(fetch_totals, ours, parts[0], first, precision)
        found += await self._bisect(fetch_totals, ours, parts[1], subtract(stated, first), precision, roundings + 1)
        named = {location.bucket for location in found}
        return found + [DifferenceLocation(window, bucket) for bucket in sorted(buckets - named)]


def _counted(count: int) -> Totals:
    return Totals(count, {"closed": Total(count, None)})
