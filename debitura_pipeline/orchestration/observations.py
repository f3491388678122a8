"""What a sync or a request observes about assets that no step materialises: the API's listings and `ops`, as Dagster events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.contract.listings import LISTINGS, Query
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.orchestration.keys import LISTING, OPS, OPS_ONBOARDING, RAW
from debitura_pipeline.orchestration.metadata import observed_metadata, sync_metadata
from debitura_pipeline.orchestration.partner_view import Instance
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync import SyncReport

CHUNK = 100  # events fetched per query: more than the onboarding runs of a busy day


def count_listing(settings: Settings, endpoint: Endpoint, resource: str) -> Totals:
    """Count and summary of a listing, as its first page states them. One request; raises ApiError."""

    async def ask() -> Totals:
        async with open_client(settings, endpoint, Runtime()) as client:
            page = await client.page(Query(LISTINGS[resource]), 1)
            return Totals.of(page.metadata)

    return asyncio.run(ask())


def last_whole_reading(instance: Instance, asset: dg.AssetKey) -> datetime | None:
    """When a raw table was last materialised by a sync of the whole listing (this machine's clock); None for never.

    Syncs of single clients, by onboarding runs, do not count.
    """
    cursor = None
    while True:
        found = instance.fetch_materializations(asset, limit=CHUNK, cursor=cursor)
        for record in found.records:
            event = record.asset_materialization
            if event is not None and "mode" in event.metadata and event.metadata["mode"].value != "client":
                return datetime.fromtimestamp(record.timestamp, UTC)
        if not found.has_more:
            return None
        cursor = found.cursor


def sync_events(report: SyncReport, *, is_own: bool) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """Events of the assets that a sync has read or written. `is_own`: the raw table's own step reports its materialisation."""
    yield dg.AssetObservation(LISTING[report.resource], metadata=observed_metadata(report))
    if not is_own:
        yield dg.AssetMaterialization(RAW[report.resource], metadata=sync_metadata(report))
    for key in OPS:
        yield dg.AssetMaterialization(
            key, metadata={"sync_id": report.sync_id, "as_of": dg.MetadataValue.timestamp(report.started_at)}
        )


def onboarding_event(clients: int) -> dg.AssetMaterialization:
    """The materialisation of `ops.onboarding` by a run for so many clients."""
    return dg.AssetMaterialization(OPS_ONBOARDING, metadata={"clients": clients})
