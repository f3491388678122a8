"""What a listing says of itself, in one request, and when it was last read as a whole.

Belongs here: the bodies of the observable assets `debitura_api/*` and of the freshness checks.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import dagster as dg

from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.contract.listings import LISTINGS, Query
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.settings import Endpoint, Settings

CHUNK = 100  # events fetched at once: onboarding runs of a busy day


def count_listing(settings: Settings, endpoint: Endpoint, resource: str) -> Totals:
    """Count and summary of the whole listing `resource`, as its first page states them."""

    async def ask() -> Totals:
        async with open_client(settings, endpoint, Runtime()) as client:
            page = await client.page(Query(LISTINGS[resource]), 1)
            return Totals.of(page.metadata)

    return asyncio.run(ask())


def last_whole_reading(instance: dg.DagsterInstance, asset: dg.AssetKey) -> datetime | None:
    """When a raw table was last materialised by a reading of the whole listing, by this machine's clock; None: never.

    Onboarding runs materialise it too, and say nothing of the rows of other clients.
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
