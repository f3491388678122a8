"""Incremental sync of transactions: compare the totals of each revenue stage by window and read only what differs.

If the API's summary ignores the date filter, sums are compared for the whole listing and only counts by window.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.extract.behaviour import IgnoredParameterError
from debitura_pipeline.extract.comparison import Verdict, compare
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import DAY, EVERYTHING, HOUR, Filters, Slice, Window, tenant_filter
from debitura_pipeline.incremental.base import CostEstimate, IncrementalSync, floor_to
from debitura_pipeline.incremental.client_counts import ClientCounts
from debitura_pipeline.incremental.client_earnings import (
    MAX_ROWS,
    ClientEarnings,
    TooManySuspects,
    compare_client,
    totals_by_creditor,
)
from debitura_pipeline.incremental.differences import BUCKETS, compare_totals, fee_precision, honours_filter
from debitura_pipeline.incremental.drilldown import Bisection, ReadTarget, expected_cost
from debitura_pipeline.incremental.expected_state import MissingRow
from debitura_pipeline.incremental.hourly_totals import NO_ROWS, UNITS_PER_USD, CountAndSum, HourlyTotals
from debitura_pipeline.incremental.rotation import join_adjacent, page_count
from debitura_pipeline.landing.tenants import UnlistedTenantError
from debitura_pipeline.plural import counted

log = logging.getLogger(__name__)

PENDING, PAID = "Pending", "Paid"
NOT_STATED = Total(None, None)
OPEN_STAGES = tuple(stage for stage in STAGES if stage != PAID)
# A few rows can change without changing a count or a settled sum: estimates (commission Unpaid or Credited) after the first
# stage, and rows whose platform invoice was credited, which fit no stage.
SILENT_CHANGE_FILTERS: tuple[Filters, ...] = (
    (
        ("CommissionPaymentStatuses", "0"),
        ("CommissionPaymentStatuses", "2"),
        *(("RevenueStages", str(number)) for number, stage in enumerate(STAGES) if stage != PENDING),
    ),
    (("PlatformInvoicingStatuses", "3"),),
)
SUMMARY_IGNORES_DATES = (
    "the API's summary does not follow the date filter, so sums could be compared for all rows together only, "
    "and counts of paid rows by window"
)


@dataclass
class TransactionsSync(IncrementalSync):
    """`stated`: the API's totals of each comparison window, fetched once per round; `overall`: of the whole listing.

    `earnings`: what each client's own record states.
    """

    stated: dict[Window, Totals] = field(default_factory=dict)
    overall: Totals = field(default_factory=lambda: Totals(0, {}))
    windows_match: bool = False  # no window differed in the last round
    estimates_moved: bool = False  # while they were read in the last round
    client_counts: ClientCounts = field(default_factory=ClientCounts)
    earnings: ClientEarnings = field(default_factory=ClientEarnings)

    async def initial_read(self) -> None:
        """Read rows that change silently; if the summary ignores dates, also every stage that is not settled."""
        if not self.stated:
            await self._fetch_window_totals()
        self.earnings.begin(self.expected)
        await self.read([Slice(EVERYTHING, filters) for filters in SILENT_CHANGE_FILTERS])
        await self.resolve_missing_by_hour(self.expected.missing(EVERYTHING, None, only_silent=True))
        if self._summary_ignores_dates():
            self.unproven.append(SUMMARY_IGNORES_DATES)
            await self.read([Slice(EVERYTHING, stage_filter(stage)) for stage in OPEN_STAGES])

    async def first_round(self) -> list[str]:
        """Compare settled stages by window, and read all estimates: their USD moves with exchange rates every day."""
        ours = self.expected.hourly_totals()
        if self._summary_ignores_dates():
            targets = await self._compare_paid_counts(ours)
        else:
            targets = [*await self._compare_windows(ours, set(BUCKETS) - {PENDING}), *self._estimates(ours)]
        names = await self._read_targets(targets)
        await self._read_disagreeing_clients()
        return names

    async def _read_disagreeing_clients(self) -> None:
        """Check clients whose records state other earnings: read them if the API's totals of their rows are not ours.

        Rows that were thought to be theirs and are not among them moved to another client or were deleted. Those of a client that
        cannot be asked for are requested by their hours.
        """
        suspects = self.earnings.suspects(self.expected)
        if not suspects:
            return
        creditors = self.earnings.creditors_by_tenant(suspects)
        ours = totals_by_creditor(self.expected.totals_of_clients([one for ids in creditors.values() for one in ids]))
        verdicts = await asyncio.gather(
            *(self._compare_client(tenant, [ours[one] for one in ids]) for tenant, ids in creditors.items())
        )
        verdict = dict(zip(creditors, verdicts, strict=True))
        differing = sorted(tenant for tenant, found in verdict.items() if found == "differs")
        try:
            await self.read([Slice(EVERYTHING, tenant_filter(tenant)) for tenant in differing])
        except IgnoredParameterError:
            log.warning("%s: the list shows rows of other clients than asked for", self.reader.listing.resource)
        theirs = [who for who in suspects if verdict.get(self.earnings.tenants.get(who) or "") != "equal"]
        unread = self.expected.unread_of_clients(theirs)
        if len(unread) <= MAX_ROWS:
            await self.resolve_missing_by_hour(unread)
        else:
            self.unproven.append(
                f"the earnings stated for {counted(len(theirs), 'client')} differ from the sums of their transactions, which could "
                "not be read separately; a full sync settles it"
            )

    def _suspects(self) -> int:
        try:
            return len(self.earnings.suspects(self.expected))
        except TooManySuspects:  # an estimate before anything is read
            return 0

    async def _compare_client(self, tenant: str, ours: Sequence[Mapping[str, CountAndSum]]) -> Verdict:
        """Compare the API's totals of a tenant's rows with ours, one for each client; `unproven` if it is no longer listed."""
        try:
            stated = await self.fetch_totals(EVERYTHING, tenant_filter(tenant))
        except UnlistedTenantError:
            return "unproven"
        return compare_client(stated, self.overall, ours, self._precision(stated))

    async def later_round(self) -> list[str]:
        """Compare every stage by window, with totals fetched again."""
        await self._fetch_window_totals()
        ours = self.expected.hourly_totals()
        if self._summary_ignores_dates():
            targets = await self._compare_paid_counts(ours)
            return await self._read_targets([*targets, *await self._changed_open_stages(ours)])
        targets = await self._compare_windows(ours, set(BUCKETS))
        return await self._read_targets([*targets, *self._moved_estimates(ours, targets)])

    async def _compare_windows(self, ours: HourlyTotals, buckets: set[str]) -> list[ReadTarget]:
        """Bisect every window whose totals differ."""
        bisection = Bisection(self.fetch_totals, ours, self._precision())
        found = await asyncio.gather(
            *(bisection.find(window, totals, buckets) for window, totals in self.stated.items())
        )
        self.windows_match = self._all_windows_match(ours, buckets)
        return [target for targets in found for target in targets]

    async def _compare_paid_counts(self, ours: HourlyTotals) -> list[ReadTarget]:
        """Bisect every window whose number of paid rows differs: counts follow the date filter even if sums do not."""
        bisection = Bisection(self._paid_count, ours, self._precision())
        stated = dict(zip(self.stated, await asyncio.gather(*map(self._paid_count, self.stated)), strict=True))
        found = await asyncio.gather(*(bisection.find(window, totals, {PAID}) for window, totals in stated.items()))
        targets = [target for targets in found for target in targets]
        self.windows_match = not targets
        return targets

    async def resolve_missing(self, rows: Sequence[MissingRow]) -> None:
        """Read the hours of these rows with every stage; what they do not show is deleted, or found by `find_swapped_rows`."""
        await self.resolve_missing_by_hour(rows)
        keys = {row.key for row in rows}
        self.mark_deleted([row.key for row in self.expected.withdrawn() if row.key in keys])

    def matches(self, closing: Totals, ours: HourlyTotals) -> bool:
        """Whether counts and settled sums are equal, rows without a date included.

        If the summary ignores dates, sums of paid rows are not compared: a difference could not be located by window, only
        the periodic refresh would find it.
        """
        # If every window matches, a difference within the rounding of their sums cannot be found by another round; the
        # control totals report it.
        roundings = len(self.stated) + 1 if self.windows_match else 1
        found = compare_totals(closing, ours.in_window(EVERYTHING), self._precision(closing), roundings)
        if self._summary_ignores_dates():
            found = [difference for difference in found if difference.bucket != PAID or difference.changed_rows]
        return closing.count == self.expected.count() and not found

    async def find_swapped_rows(self, closing: Totals, ours: HourlyTotals) -> bool:
        """Compare what shows that a row's date moved to where was read already while another row there was deleted.

        The rows or the count of every client that seems to have lost rows, and the sum of the estimates, unless it stayed the
        same all the while: a difference to our sum is then due to exchange rates.
        """
        opening, stated = (totals.summary.get(PENDING, NOT_STATED) for totals in (self.overall, closing))
        self.estimates_moved = (
            not self._summary_ignores_dates()  # not proven anyway, and no window could be told from the others
            and opening != stated
            and self._estimates_differ(EVERYTHING, closing, ours)
        )
        return await self._read_clients_that_lost_rows() or self.estimates_moved

    async def _read_clients_that_lost_rows(self) -> bool:
        """Read all rows of clients whose missing rows may still exist; whether there were any."""
        tenants = await self.client_counts.to_read(self.expected, self._rows_of_client)
        await self.read([Slice(EVERYTHING, tenant_filter(tenant)) for tenant in tenants])
        shown = self.expected.landed_keys(self.deleted) if tenants else set()
        self.deleted = [key for key in self.deleted if key not in shown]
        return bool(tenants)

    def unsettled_notes(self) -> tuple[str, ...]:
        """Rows that vanished, of clients too large to be read for them."""
        left = self.client_counts.unsettled - self.expected.landed_keys(sorted(self.client_counts.unsettled))
        if not left:
            return ()
        return (f"{counted(len(left), 'row')} shown, then no longer, and it is not known whether deleted",)

    async def _rows_of_client(self, tenant: str) -> int | None:
        """Number of rows that the API counts of a client; None if it does not list the client any more."""
        try:
            return (await self.fetch_totals(EVERYTHING, tenant_filter(tenant))).count
        except UnlistedTenantError:
            return None

    async def estimate(self, full_requests: int) -> CostEstimate:
        """Estimate from few, long windows if months would take more than 1 % of `full_requests`."""
        months = len(self.comparison_windows())
        self.max_windows = max(1, full_requests // 100)
        try:
            found = await self.detailed_estimate()
        finally:
            self.max_windows = sys.maxsize
        if len(self.stated) == months:
            return found
        self.stated = {}  # long windows are good enough for an estimate, but would hide differences from the sync itself
        return CostEstimate((*found.parts, ("totals of months", float(months))))

    async def detailed_estimate(self) -> CostEstimate:
        """Estimate from the totals of each comparison window."""
        if not self.stated:
            await self._fetch_window_totals()
        ours = self.expected.hourly_totals()
        parts = [
            ("totals of windows", float(len(self.stated) + 1)),
            *self.fixed_costs(),
            ("clients whose earnings differ", float(self._suspects())),
        ]
        if self._summary_ignores_dates():
            known = ours.in_window(EVERYTHING)
            unsettled = sum(page_count(known.get(stage, NO_ROWS)[0]) for stage in OPEN_STAGES)
            parts += [("unsettled stages", float(unsettled)), ("counts of paid rows", float(len(self.stated)))]
        else:
            estimates = sum(page_count(target.rows) for target in self._estimates(ours))
            precision = self._precision()
            differing = sum(expected_cost(window, totals, ours, precision) for window, totals in self.stated.items())
            parts += [("estimates", float(estimates)), ("windows that differ", differing)]
        return CostEstimate(tuple(parts))

    def comparison_windows(self) -> list[Window]:
        """With a window for what is new since the last sync: spread over a month, new rows would seem to take many requests."""
        windows = super().comparison_windows()
        if self.last_upper is None:
            return windows
        at = floor_to(self.last_upper - DAY, HOUR)
        parts = [
            (Window(window.start, at), Window(at, window.end)) if _holds(window, at) else (window,)
            for window in windows
        ]
        return [window for part in parts for window in part]

    async def _fetch_window_totals(self) -> None:
        windows = self.comparison_windows()
        self.stated = dict(zip(windows, await self.fetch_all_totals(windows), strict=True))
        self.overall = await self.reader.totals(Slice(EVERYTHING))

    def _all_windows_match(self, ours: HourlyTotals, buckets: set[str]) -> bool:
        precision = self._precision()
        return not any(
            difference.bucket in buckets
            for window, totals in self.stated.items()
            for difference in compare_totals(totals, ours.in_window(window), precision)
        )

    def _precision(self, *more: Totals) -> Decimal:
        return fee_precision((*self.stated.values(), self.overall, *more))

    def _summary_ignores_dates(self) -> bool:
        return not all(honours_filter(totals, self.overall) for totals in self.stated.values())

    def _estimates(self, ours: HourlyTotals) -> list[ReadTarget]:
        """All windows that hold estimates, in as few read targets as possible."""
        rows_by_window = {}
        for window, totals in self.stated.items():
            rows = totals.summary.get(PENDING, NOT_STATED).count or 0
            if rows or ours.in_window(window).get(PENDING):
                rows_by_window[window] = rows
        return [ReadTarget(window, PENDING, rows) for window, rows in join_adjacent(rows_by_window).items()]

    def _moved_estimates(self, ours: HourlyTotals, targets: Sequence[ReadTarget]) -> list[ReadTarget]:
        """Windows whose estimates add up to another sum than ours, if some may have been swapped; without those of `targets`."""
        if not self.estimates_moved:
            return []
        read = [target.window for target in targets if target.bucket == PENDING]
        rows_by_window = {
            window: totals.summary.get(PENDING, NOT_STATED).count or 0
            for window, totals in self.stated.items()
            if window not in read and self._estimates_differ(window, totals, ours)
        }
        return [ReadTarget(window, PENDING, rows) for window, rows in join_adjacent(rows_by_window).items()]

    def _estimates_differ(self, window: Window, stated: Totals, ours: HourlyTotals) -> bool:
        usd, (rows, our_usd) = stated.summary.get(PENDING, NOT_STATED).usd, ours.in_window(window).get(PENDING, NO_ROWS)
        return (
            usd is not None
            and compare(usd, Decimal(our_usd) / UNITS_PER_USD, self._precision(stated), rows) == "differs"
        )

    async def _changed_open_stages(self, ours: HourlyTotals) -> list[ReadTarget]:
        """Stages that changed after `initial_read` read them."""
        differing = compare_totals(self.overall, ours.in_window(EVERYTHING), self._precision())
        changed = [difference for difference in differing if difference.bucket != PAID]
        if any(difference.bucket not in STAGES for difference in changed):
            await self.read([Slice(EVERYTHING, SILENT_CHANGE_FILTERS[1])])
        return [ReadTarget(EVERYTHING, d.bucket, d.stated_rows) for d in changed if d.bucket in STAGES]

    async def _paid_count(self, window: Window) -> Totals:
        totals = await self.fetch_totals(window, stage_filter(PAID))
        return Totals(totals.count, {PAID: Total(totals.count, None)})

    async def _read_targets(self, targets: Sequence[ReadTarget]) -> list[str]:
        """Read the targets; rows that left their stage and were found in no other have their hour read with every stage.

        Returns the names of the targets' windows.
        """
        batch = await self.read([Slice(target.window, stage_filter(target.bucket)) for target in targets])
        await self.reread_stale([(target.window, target.bucket) for target in targets], batch)
        missing = {row.key: row for target in targets for row in self.expected.missing(target.window, target.bucket)}
        if self._summary_ignores_dates():
            for stage in OPEN_STAGES:
                missing |= {row.key: row for row in self.expected.missing(EVERYTHING, stage)}
        await self.resolve_missing_by_hour(list(missing.values()))
        return sorted({target.window.name for target in targets})


def _holds(window: Window, at: datetime) -> bool:
    """Whether an instant is within a window, and not its start."""
    return (window.start is None or window.start < at) and (window.end is None or at < window.end)


def stage_filter(stage: str) -> Filters:
    """The API's filter for a stage; empty for rows that fit no stage, since they can only be requested with all others."""
    return (("RevenueStages", str(STAGES.index(stage))),) if stage in STAGES else ()
