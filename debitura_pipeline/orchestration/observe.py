"""What a listing says of itself, in one request. Belongs here: the body of the observable assets `debitura_api/*`."""

from __future__ import annotations

import asyncio

from debitura_pipeline.api.connect import Tools, open_client
from debitura_pipeline.api.listings import LISTINGS, Query
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.settings import Endpoint, Settings


def count_listing(settings: Settings, endpoint: Endpoint, resource: str) -> Totals:
    """Count and summary of the whole listing `resource`, as its first page states them."""

    async def ask() -> Totals:
        async with open_client(settings, endpoint, Tools()) as client:
            page = await client.page(Query(LISTINGS[resource]), 1)
            return Totals.of(page.envelope)

    return asyncio.run(ask())
