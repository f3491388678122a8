"""Break a difference down by client: count and sum the rows of a bucket and window, the API's and ours, per client."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.contract.lifecycles import PENDING_STATES
from debitura_pipeline.contract.listings import LISTINGS, PAGE_SIZE, Query
from debitura_pipeline.contract.stages import STAGES, stage_sql
from debitura_pipeline.extract.windows import TICK, Filters, Window
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.reconcile.control_totals import ZERO, RunQuery

MAX_CLIENT_ROWS = 2_000  # rows fetched at most to compare the clients of a location
FLOATING_STAGE = STAGES[0]
STATES = {
    "pending": PENDING_STATES,
    "active": ("Active",),
    "paused": ("Paused",),
    "closed": ("Closed",),
    "merged": ("Merged",),
}
STATE_SQL = """CASE WHEN lower(lifecycle) IN ('active', 'paused', 'closed') THEN lower(lifecycle)
    WHEN lower(lifecycle) LIKE 'merged%' THEN 'merged' ELSE 'pending' END"""


@dataclass(frozen=True)
class DifferenceLocation:
    """A bucket of a window whose count or sum differs."""

    window: Window
    bucket: str


@dataclass(frozen=True)
class ClientComparison:
    """`rows` runs a query on the warehouse; `invoicing_mode` is the partner's invoicing trigger."""

    client: ApiClient
    transformer: PageTransformer
    rows: RunQuery
    invoicing_mode: str | None

    async def compare(self, resource: str, date: str, location: DifferenceLocation) -> list[ControlTotal]:
        """Return one total per client whose count or sum differs, or one for all clients if there are over `MAX_CLIENT_ROWS` rows.

        `date` is the column that the API filters by. Raises ApiError.
        """
        theirs = await self._api_totals(resource, location)
        ours = self._warehouse_totals(resource, date, location)
        if theirs is None:
            return [_total(resource, "all", location, "count", ZERO, ZERO)]
        found = []
        for creditor in sorted({*theirs, *ours}):
            count, usd = theirs.get(creditor, (0, ZERO))
            own_count, own_usd = ours.get(creditor, (0, ZERO))
            if count != own_count:
                found.append(_total(resource, creditor, location, "count", Decimal(count), Decimal(own_count)))
            if resource == "transactions" and location.bucket != FLOATING_STAGE and usd != own_usd:
                found.append(_total(resource, creditor, location, "usd", usd, own_usd))
        return found

    async def _api_totals(self, resource: str, location: DifferenceLocation) -> dict[str, tuple[int, Decimal]] | None:
        first = await self._page(resource, location, 1)
        total = first.metadata.total_results
        if total > MAX_CLIENT_ROWS:
            return None
        numbers = range(2, -(-total // PAGE_SIZE) + 1)
        rest = await asyncio.gather(*(self._page(resource, location, number) for number in numbers))
        pages = [first, *rest]
        transformed = self.transformer.transform(
            resource, [page.body for page in pages], canonical=all(page.metadata.is_canonical for page in pages)
        )
        names = ["creditor_id", *(["referral_fee_usd"] if resource == "transactions" else [])]
        found: dict[str, tuple[int, Decimal]] = {}
        for row in transformed.columns.select(names).to_pylist():
            count, usd = found.get(row["creditor_id"], (0, ZERO))
            found[row["creditor_id"]] = (count + 1, usd + (row.get("referral_fee_usd") or 0))
        return found

    def _warehouse_totals(
        self, resource: str, date: str, location: DifferenceLocation
    ) -> dict[str, tuple[int, Decimal]]:
        bucket_sql = stage_sql(self.invoicing_mode) if resource == "transactions" else STATE_SQL
        usd = "coalesce(sum(referral_fee_usd), 0)" if resource == "transactions" else "0"
        bounds = [
            f"{date} {sign} TIMESTAMPTZ '{bound.isoformat()}'"
            for bound, sign in ((location.window.start, ">="), (location.window.end, "<"))
            if bound is not None
        ]
        if bucket_filter(
            resource, location.bucket
        ):  # rows that fit no stage cannot be requested alone, so all stages are compared
            bounds.append(f"{bucket_sql} = '{location.bucket}'")
        where = " AND ".join(["_deleted_at IS NULL", *bounds])
        counted: Sequence[tuple[Any, ...]] = self.rows(
            f"SELECT creditor_id, count(*), {usd} FROM raw.{resource} WHERE {where} GROUP BY creditor_id"
        )
        return {creditor: (n, Decimal(usd)) for creditor, n, usd in counted}

    async def _page(self, resource: str, location: DifferenceLocation, number: int) -> Page:
        query = window_query(resource, location.window, bucket_filter(resource, location.bucket))
        return await self.client.page(query, number)


def window_query(resource: str, window: Window, filters: Filters) -> Query:
    """Return the query of a window without overlap, end excluded."""
    end = window.end - TICK if window.end is not None else None
    return Query(LISTINGS[resource], window.start, end, filters)


def bucket_filter(resource: str, bucket: str) -> Filters:
    """The API's filter for a stage or state; empty for rows that fit no stage."""
    if resource == "transactions":
        return (("RevenueStages", str(STAGES.index(bucket))),) if bucket in STAGES else ()
    return tuple(("Statuses", state) for state in STATES[bucket])


def _total(
    resource: str, creditor: str, location: DifferenceLocation, unit: str, stated: Decimal, ours: Decimal
) -> ControlTotal:
    window = location.window
    bounds = " to ".join(f"{at:%Y-%m-%d %H:%M}" if at is not None else "…" for at in (window.start, window.end))
    return ControlTotal(
        resource,
        "place",
        creditor,
        location.bucket,
        unit,
        stated,
        ours,
        "differs",
        f"window {window.name} ({bounds} UTC)",
    )
