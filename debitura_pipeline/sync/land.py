"""Read what a plan names into a sync folder: the whole listing, or only what has changed if that is cheaper."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from debitura_pipeline.errors import RefusedError, UnprovenError
from debitura_pipeline.extract.calendar_parts import MAX_WINDOW_ROWS
from debitura_pipeline.extract.landed_rows import DATE_COLUMNS
from debitura_pipeline.extract.listing_client import PAGE_ROWS, SPARE_REQUESTS
from debitura_pipeline.extract.plan import KnownState, Plan
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import Slice
from debitura_pipeline.incremental.base import CostEstimate, IncrementalSync
from debitura_pipeline.incremental.baseline import snapshot_sql
from debitura_pipeline.incremental.cases import CasesSync
from debitura_pipeline.incremental.client_counts import ClientCounts
from debitura_pipeline.incremental.client_earnings import UNDERSTOOD, ClientEarnings, StatedEarnings
from debitura_pipeline.incremental.date_column import detect_filter_date
from debitura_pipeline.incremental.expected_state import ExpectedState
from debitura_pipeline.incremental.transactions import TransactionsSync
from debitura_pipeline.reconcile.completeness import Prover
from debitura_pipeline.warehouse.base import Warehouse

BAD_REQUEST = 400
BEFORE = "before.parquet"  # the warehouse's rows when the sync began; removed once it is merged
# An incremental sync must take at most this share of a full sync's requests: each of its requests takes twice the CPU.
MAX_INCREMENTAL_SHARE = 0.5
ABORT_SHARE = 0.75  # an incremental sync that has taken this share of a full sync's requests is abandoned

log = logging.getLogger(__name__)

ReadSlices = Callable[[Reader, Sequence[Slice]], Awaitable[list[VerifiedWindow]]]
# As of the last comparison, if it followed a proven reading of transactions.
_CHECKED_EARNINGS = """
    WITH earnings AS (
        SELECT * FROM ops.control_totals WHERE resource = 'clients' AND check_name = 'earnings_usd' AND scope <> 'all'
    ), read AS (
        SELECT as_of, is_proven, row_number() OVER (ORDER BY as_of DESC) AS place FROM ops.syncs
        WHERE resource = 'transactions' AND status = 'done' AND mode <> 'client'
    )
    SELECT scope, api_value FROM earnings
    WHERE checked_at = (SELECT max(checked_at) FROM earnings) AND verdict = 'differs'
        AND EXISTS (SELECT 1 FROM read WHERE place = 1 AND is_proven AND as_of <= checked_at)"""
# Whether nearly all clients agreed at any comparison, after whatever reading: then it is known what the figures mean.
_UNDERSTOOD = """
    SELECT 1 FROM ops.control_totals
    WHERE resource = 'clients' AND check_name = 'earnings_usd' AND scope <> 'all' AND api_value <> 0
    GROUP BY checked_at HAVING count(*) FILTER (WHERE verdict = 'equal') >= CAST($1 AS DECIMAL(4, 3)) * count(*) LIMIT 1"""

ClientStats = Mapping[str, tuple[int | None, int | None, str | None]]

# A blank tenant id is none: as a filter it may count as absent, and the listing is then not limited to the client.
ASKABLE_TENANT = "CASE WHEN trim(external_tenant_id) <> '' THEN external_tenant_id END"


@dataclass(frozen=True)
class Baseline:
    """The state before a sync: the warehouse's rows in a Parquet file, and the totals in the clients' records."""

    before: Path
    client_stats: ClientStats = field(default_factory=dict)
    # Tenant id by creditor id, including deleted clients: their rows must be looked up before they are marked deleted.
    tenants: Mapping[str, str | None] = field(default_factory=dict)
    earnings: StatedEarnings = field(default_factory=StatedEarnings)
    # Case and creditor of transactions that are new or moved (`moved_cases.py`), for a sync of cases.
    owners: tuple[tuple[str, str], ...] = ()
    # New tenant ids of clients whose rows still have another one, with the number of these rows (`renamed_clients.py`).
    renamed: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Landing:
    """What was read: the certificate's windows, the API's closing totals, deleted keys, what is not proven.

    `mode`: the plan that was followed in the end. `is_settled`: for every row that was not returned it is known whether it was
    deleted. `notes`: harmless oddities of the API. For a sync of some tenants, `tenants` are those read completely, and `failed`
    has the reasons of the others.
    """

    windows: tuple[VerifiedWindow, ...]
    totals: Totals
    mode: str
    gone: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    is_settled: bool = True
    notes: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def export_baseline(warehouse: Warehouse, resource: str, mode: str | None, folder: Path) -> Baseline:
    """Export what a sync needs from the warehouse, so that it can be closed while reading. Raises WarehouseError."""
    before = folder / BEFORE
    warehouse.export(snapshot_sql(resource, mode, DATE_COLUMNS[resource]), before)
    found = warehouse.rows(
        f"SELECT creditor_id, cases_total, cases_closed, {ASKABLE_TENANT}, earnings_usd FROM raw.clients "
        "WHERE _deleted_at IS NULL"
    )
    stats = {creditor: (total, closed, tenant) for creditor, total, closed, tenant, _ in found}
    earnings = {creditor: Decimal(earned) for creditor, *_, earned in found if earned is not None}
    known = {creditor: Decimal(api) for creditor, api in warehouse.rows(_CHECKED_EARNINGS) if api is not None}
    is_understood = bool(warehouse.rows(_UNDERSTOOD, (UNDERSTOOD,)))
    stated = StatedEarnings(earnings, known, is_understood)
    return Baseline(before, stats, tenants_by_creditor(warehouse, resource), stated)


def tenants_by_creditor(warehouse: Warehouse, resource: str) -> dict[str, str | None]:
    """Tenant ids of all clients ever listed; of those that never were, the one that live rows of `resource` state."""
    unlisted = warehouse.rows(
        f"SELECT r.creditor_id, max({ASKABLE_TENANT}) FROM raw.{resource} AS r WHERE r._deleted_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM raw.clients AS c WHERE c.creditor_id = r.creditor_id) GROUP BY r.creditor_id"
    )
    listed = warehouse.rows(f"SELECT creditor_id, {ASKABLE_TENANT} FROM raw.clients")
    return {creditor: tenant for creditor, tenant in [*unlisted, *listed] if creditor is not None}


async def land(
    reader: Reader, chosen: Plan, baseline: Baseline | None, mode: str | None, read: ReadSlices | None = None
) -> Landing:
    """Read everything that the plan names and prove it. `read`: reads it in another way than `reader.read`.

    Raises ApiError, UnprovenError and LandingError.
    """
    before, tenants = (baseline.before, baseline.tenants) if baseline is not None else (None, {})
    prover = Prover(reader, chosen.whole, mode, before, tenants)
    windows = await (reader.read(chosen.slices) if read is None else read(reader, chosen.slices))
    proof = await prover.prove(windows)
    return Landing(
        proof.windows, proof.totals, _whole_mode(chosen), proof.deleted, proof.unproven, proof.is_settled, reader.notes
    )


@dataclass(frozen=True)
class Incremental:
    """An incremental sync of one resource. `at`: the sync's instant. `refresh_days`: every row is re-read within this time."""

    reader: Reader
    plan: Plan
    baseline: Baseline
    known: KnownState
    invoicing_mode: str | None
    at: datetime
    refresh_days: int

    async def land(self) -> Landing:
        """Read what has changed and prove the rest by the API's totals; read everything if that is no more expensive.

        Raises ApiError, UnprovenError and LandingError.
        """
        reader, requests = self.reader, self.plan.requests
        reader.listing_client.request_limit = math.ceil(ABORT_SHARE * requests) + SPARE_REQUESTS // 2
        try:
            date = await detect_filter_date(reader, self.baseline.before)
            if date is not None:
                with closing(self._expected(date)) as expected:
                    incremental = self._sync(expected)
                    if (await incremental.estimate(requests)).requests <= MAX_INCREMENTAL_SHARE * requests:
                        found = await incremental.run()
                        return Landing(
                            found.windows,
                            found.totals,
                            self.plan.mode,
                            found.deleted,
                            found.unproven,
                            notes=reader.notes,
                        )
        except UnprovenError:  # totals that cannot be compared in part can still be proven by reading everything
            log.warning("%s: the nightly plan could not be proven; reading everything instead", reader.listing.resource)
        except RefusedError as error:
            _ensure_filter_refused(error)
            log.warning("%s: a filter was refused; reading everything instead", reader.listing.resource)
        reader.listing_client.request_limit = reader.requests + 2 * requests + SPARE_REQUESTS
        return await land(reader, self.plan, self.baseline, self.invoicing_mode)

    async def estimate(self) -> tuple[str, CostEstimate]:
        """The mode that `land` would use, and its cost. Reads totals only. Raises ApiError."""
        date = await detect_filter_date(self.reader, self.baseline.before)
        if date is not None:
            with closing(self._expected(date)) as expected:
                incremental = self._sync(expected)
                try:
                    cost = await incremental.estimate(self.plan.requests)
                    if cost.requests <= MAX_INCREMENTAL_SHARE * self.plan.requests:
                        return self.plan.mode, await incremental.detailed_estimate()
                except RefusedError as error:
                    _ensure_filter_refused(error)
        return _whole_mode(self.plan), await estimate_full_read(self.reader, self.plan)

    def _sync(self, expected: ExpectedState) -> IncrementalSync:
        at, days, since = self.at, self.refresh_days, self.known.last_upper
        if self.reader.listing.resource == "cases":
            return CasesSync(
                self.reader,
                expected,
                at,
                days,
                since,
                client_stats=self.baseline.client_stats,
                owners=self.baseline.owners,
                renamed=self.baseline.renamed,
            )
        counts = ClientCounts(self.baseline.tenants)
        earnings = ClientEarnings(self.baseline.earnings, self.baseline.tenants)
        return TransactionsSync(
            self.reader,
            expected,
            at,
            days,
            since,
            client_counts=counts,
            earnings=earnings,
            renamed=self.baseline.renamed,
        )

    def _expected(self, date: int) -> ExpectedState:
        """The expected state, dated by the column that the API's date filter applies to."""
        resource = self.reader.listing.resource
        return ExpectedState(self.baseline.before, resource, self.invoicing_mode, DATE_COLUMNS[resource][date])


def _ensure_filter_refused(error: RefusedError) -> None:
    """Return if a request was refused for what it asks, such as a state that this API does not know. Raises the error otherwise."""
    if error.status != BAD_REQUEST:
        raise error


async def estimate_full_read(reader: Reader, chosen: Plan) -> CostEstimate:
    """The cost of reading everything, by the API's row count: pages, and half a request per window. Raises ApiError."""
    rows = (await reader.totals(chosen.whole)).count
    pages = max(1, -(-rows // (PAGE_ROWS - 1)))
    windows = 0 if rows <= MAX_WINDOW_ROWS else -(-rows // MAX_WINDOW_ROWS)
    return CostEstimate((("pages", float(pages)), ("windows and proof", windows * 0.5 + 1)))


def _whole_mode(chosen: Plan) -> str:
    return "full" if chosen.mode == "nightly" else chosen.mode
