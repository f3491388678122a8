"""Incremental sync of cases: read open and new cases, and compare the number of closed ones with the API's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.lifecycles import CLOSED_STATES, OPEN_STATES
from debitura_pipeline.errors import RefusedError, UnprovenError
from debitura_pipeline.extract.comparison import ROW_PRECISION
from debitura_pipeline.extract.listing_client import PAGE_ROWS
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import DAY, EVERYTHING, HOUR, Filters, Slice, Window, tenant_filter
from debitura_pipeline.incremental.base import CostEstimate, IncrementalSync, floor_to
from debitura_pipeline.incremental.differences import CLOSED, MERGED
from debitura_pipeline.incremental.drilldown import Bisection, ReadTarget, expected_cost
from debitura_pipeline.incremental.expected_state import MissingRow
from debitura_pipeline.incremental.hourly_totals import NO_ROWS, HourlyTotals
from debitura_pipeline.incremental.rotation import join_adjacent, page_count
from debitura_pipeline.plural import counted

OPEN_FILTER: Filters = tuple(("Statuses", state) for state in OPEN_STATES)
CLOSED_FILTER: Filters = tuple(("Statuses", state) for state in CLOSED_STATES)
MERGED_FILTER: Filters = (("Statuses", CLOSED_STATES[1]),)
OPEN = "open"
MAX_MOVED = 50  # cases whose transactions belong to another client, an hour's rows for each; with more, all are read
UNAUTHORIZED = 401


@dataclass
class CasesSync(IncrementalSync):
    """`client_stats`: what each client's own record states, by creditor: all cases, closed cases, tenant id.

    `owners`: case and creditor of transactions that are new or moved to another client.
    """

    client_stats: Mapping[str, tuple[int | None, int | None, str | None]] = field(default_factory=dict)
    owners: Sequence[tuple[str, str]] = ()

    async def initial_read(self) -> None:
        """Read open cases, new cases, and every case that was open before and no longer is."""
        new = [Slice(Window(self.last_upper - DAY, None))] if self.last_upper is not None else []
        await self.read([Slice(EVERYTHING, OPEN_FILTER), *new])
        await self.read(self._slices_with_many_closed(self.expected.missing(EVERYTHING, OPEN)))
        await self.resolve_missing(self.expected.missing(EVERYTHING, OPEN))

    async def first_round(self) -> list[str]:
        """Compare the closed cases of each window, and re-read clients whose own record states other counts."""
        targets = await self._find_differences(self._closed_totals, self.expected.hourly_totals())
        await self._read_targets(targets, CLOSED_FILTER, CLOSED)
        await self._read_newly_merged()
        await self._read_moved_cases()
        await self._read_disagreeing_clients()
        return sorted({target.window.name for target in targets})

    async def later_round(self) -> list[str]:
        """Compare all cases of each window, so that states unknown to the pipeline are covered too."""
        targets = await self._find_differences(self._all_totals, self.expected.hourly_totals(CLOSED))
        await self._read_targets(targets, (), None)
        await self._read_newly_merged()
        return sorted({target.window.name for target in targets})

    async def _find_differences(
        self, fetch_totals: Callable[[Window], Awaitable[Totals]], ours: HourlyTotals
    ) -> list[ReadTarget]:
        windows = self.comparison_windows()
        stated = await asyncio.gather(*(fetch_totals(window) for window in windows))
        bisection = Bisection(fetch_totals, ours, ROW_PRECISION)
        found = await asyncio.gather(
            *(bisection.find(window, totals) for window, totals in zip(windows, stated, strict=True))
        )
        return [target for targets in found for target in targets]

    async def _read_newly_merged(self) -> None:
        """Read cases that were closed before and are merged now, which no number of closed cases shows.

        Only if the API's numbers of closed and of merged cases add up: it may not know the state, and then count all cases.
        """
        ours, merged = self.expected.hourly_totals(CLOSED, only=MERGED), await self._merged_totals(EVERYTHING)
        if merged.count == ours.in_window(EVERYTHING).get(CLOSED, NO_ROWS)[0]:
            return
        both, closed = await asyncio.gather(
            self._closed_totals(EVERYTHING), self.fetch_totals(EVERYTHING, CLOSED_FILTER[:1])
        )
        if closed.count + merged.count == both.count:
            targets = await self._find_differences(self._merged_totals, ours)
            await self._read_targets(targets, MERGED_FILTER, MERGED)

    async def _read_targets(self, targets: Sequence[ReadTarget], filters: Filters, bucket: str | None) -> None:
        batch = await self.read([Slice(target.window, filters) for target in targets])
        await self.reread_stale([(target.window, bucket) for target in targets], batch)
        for target in targets:
            await self.resolve_missing(self.expected.missing(target.window, bucket))

    def matches(self, closing: Totals, ours: HourlyTotals) -> bool:
        """Whether the number of cases is equal; the API states no sums of cases."""
        return closing.count == self.expected.count()

    async def estimate(self, full_requests: int) -> CostEstimate:
        """Estimate from the closed cases of the whole listing; at most three requests."""
        return await self._estimate([EVERYTHING])

    async def detailed_estimate(self) -> CostEstimate:
        """Estimate from the closed cases of each month."""
        return await self._estimate(self.comparison_windows())

    async def _estimate(self, windows: Sequence[Window]) -> CostEstimate:
        ours = self.expected.hourly_totals()
        stated = await asyncio.gather(*(self._closed_totals(window) for window in windows))
        open_now = await self.fetch_totals(EVERYTHING, OPEN_FILTER)
        new = Totals(0, {})
        if self.last_upper is not None:
            new = await self.fetch_totals(Window(self.last_upper - DAY, None))
        known = ours.in_window(EVERYTHING)
        newly_closed = sum(totals.count for totals in stated) - known.get(CLOSED, NO_ROWS)[0]
        # Additional closed cases were open before and are read by id; only windows that lost closed cases are bisected.
        fewer = [
            (window, totals)
            for window, totals in zip(windows, stated, strict=True)
            if totals.count < ours.in_window(window).get(CLOSED, NO_ROWS)[0]
        ]
        months = len(self.comparison_windows())
        return CostEstimate(
            (
                ("totals of windows", float(months + 1)),
                ("open cases", open_now.count / (PAGE_ROWS - 1) + months / 2),
                ("new cases", float(page_count(new.count))),
                ("cases that moved", float(min(len(self.expected.of_other_clients(self.owners)), MAX_MOVED))),
                ("cases closed since", float(max(0, min(newly_closed, known.get(OPEN, NO_ROWS)[0])))),
                (
                    "windows that differ",
                    sum(expected_cost(window, totals, ours, ROW_PRECISION) for window, totals in fewer),
                ),
                *self.fixed_costs(),
            )
        )

    async def _closed_totals(self, window: Window) -> Totals:
        return _count_as_closed(await self.fetch_totals(window, CLOSED_FILTER))

    async def _merged_totals(self, window: Window) -> Totals:
        return _count_as_closed(await self.fetch_totals(window, MERGED_FILTER))

    async def _all_totals(self, window: Window) -> Totals:
        return _count_as_closed(await self.fetch_totals(window))

    def _slices_with_many_closed(self, rows: Sequence[MissingRow]) -> list[Slice]:
        """Clients and days where reading everything takes fewer requests than reading each of `rows` by its id.

        Many cases close at once when a contract ends or a client is unlinked.
        """
        counts, slices = self.expected.counts_by_client(), []
        for creditor, count in Counter(row.creditor for row in rows if row.creditor is not None).items():
            total, _, tenant = self.client_stats.get(creditor, (None, None, None))
            if tenant is not None and count > page_count(max(total or 0, counts.get(creditor, (0, 0))[0])):
                slices.append(Slice(EVERYTHING, tenant_filter(tenant)))
                rows = [row for row in rows if row.creditor != creditor]
        per_day = {day: n for day, n in Counter(floor_to(row.at, DAY) for row in rows).items() if n > 1}
        if not per_day:
            return slices
        ours = self.expected.hourly_totals()
        rows_of_day = {day: ours.rows(Window(day, day + DAY)) for day in per_day}
        many = {
            Window(day, day + DAY): rows_of_day[day] for day, n in per_day.items() if n > page_count(rows_of_day[day])
        }
        return [*slices, *map(Slice, join_adjacent(many))]

    async def resolve_missing(self, rows: Sequence[MissingRow]) -> None:
        """Read each of these cases by its id; a case unknown to the API was deleted."""
        await self._read_by_id([row.key for row in rows])

    async def _read_by_id(self, keys: Sequence[str]) -> None:
        """Raises UnprovenError if the API refuses to be asked for a case, or answers with another one: the list may show it."""
        try:
            landed, unknown = await self.reader.read_by_id("/cases", keys)
        except RefusedError as error:
            if error.status == UNAUTHORIZED:
                raise
            raise UnprovenError(f"cases: {error}", resource="cases") from None
        self.verified |= {window.slice: window for window in landed}
        if landed:
            self.apply_verified()
        bad = {row.row_key for window in landed for row in window.bad}
        if others := set(keys) - unknown - bad - self.expected.landed_keys(keys):
            raise UnprovenError(
                f"cases: {counted(len(others), 'case')} asked for by id, and others shown.", resource="cases"
            )
        self.mark_deleted([key for key in keys if key in unknown])

    async def _read_moved_cases(self) -> None:
        """Read the hours of cases whose transactions belong to another client by now: no number of cases shows that two were
        exchanged. Raises UnprovenError if there are too many of them."""
        moved = self.expected.of_other_clients(self.owners)
        if len(moved) > MAX_MOVED:
            raise UnprovenError(
                f"cases: the transactions of {len(moved)} cases belong to other clients.", resource="cases"
            )
        windows = {Window(hour, hour + HOUR) for hour in (floor_to(at, HOUR) for _, at in moved if at is not None)}
        ordered = sorted(windows, key=lambda window: window.name)
        await self.read([Slice(window) for window in ordered])
        for window in ordered:
            await self.resolve_missing(self.expected.missing(window, None))
        await self._read_by_id([key for key, at in moved if at is None])

    async def _read_disagreeing_clients(self) -> None:
        """Read all cases of clients whose own record states other counts than the expected state has."""
        counts = self.expected.counts_by_client()
        tenants = []
        for creditor, (total, closed, tenant) in self.client_stats.items():
            our_total, our_closed = counts.get(creditor, (0, 0))
            differs = total not in (None, our_total) or (closed is not None and closed > our_closed)
            if differs and tenant is not None:
                tenants.append(tenant)
        await self.read([Slice(EVERYTHING, tenant_filter(tenant)) for tenant in sorted(set(tenants))])


def _count_as_closed(totals: Totals) -> Totals:
    return Totals(totals.count, {CLOSED: Total(totals.count, None)})
