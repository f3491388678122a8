"""What is done beside syncing: rebuild from the landing zone, check certificates, ask the API for its totals.

Belongs here: the bodies of `debitura replay`, `verify` and `reconcile`. Does not: printing them.
"""

from __future__ import annotations

import asyncio

from debitura_pipeline.api.connect import Tools, open_client
from debitura_pipeline.api.listings import LISTINGS, Query
from debitura_pipeline.extract.certificate import Finding, verify_landing
from debitura_pipeline.extract.client_totals import per_client_totals
from debitura_pipeline.extract.control import control_totals
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.extract.locate import Locator
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.shape import Shaper
from debitura_pipeline.landing.store import folders
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.landed import landed_from
from debitura_pipeline.sync.run import RESOURCES, read_me
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.open import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_run


def replay(settings: Settings) -> dict[str, int]:
    """Rebuild `raw` from every merged sync of the landing zone, in one transaction; live rows per resource."""
    with exclusive_run(settings, "replay"):
        known = check_identity(settings)
        with open_warehouse(settings) as warehouse:
            warehouse.prepare()
            warehouse.replay(landed_from(folder) for folder in folders(settings.landing_dir) if folder.is_merged)
            counts = {
                resource: warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0]
                for resource in RESOURCES
            }
        known.keep()
        return counts


def verify(settings: Settings, sync_id: str | None = None) -> list[Finding]:
    """The certificates of all finished syncs, or of one, checked against the landed files; no network."""
    return list(verify_landing(settings.landing_dir, sync_id))


def reconcile(settings: Settings, endpoint: Endpoint, tools: Tools | None = None) -> list[ControlTotal]:
    """The API's totals as they are now beside the warehouse's; nothing is written.

    Four requests, and where cases or transactions differ, more: each difference is followed to its window and client.
    """
    return asyncio.run(_reconcile(settings, endpoint, tools or Tools()))


async def _reconcile(settings: Settings, endpoint: Endpoint, tools: Tools) -> list[ControlTotal]:
    known = check_identity(settings)
    async with open_client(settings, endpoint, tools) as client:
        (mode, _), partner_id = await read_me(client)
        known.of_partner(partner_id)
        with open_warehouse(settings, read_only=True) as warehouse:
            found = []
            upper = client.server_time or tools.now()
            for resource in RESOURCES:
                page = await client.page(Query(LISTINGS[resource]), 1)
                found += control_totals(resource, Totals.of(page.envelope), mode, warehouse.rows)
            found += per_client_totals(warehouse.rows)
            differing = {total.resource for total in found if total.verdict == "differs" and total.scope == "all"}
            with Shaper(settings.privacy, settings.obtain_privacy_key()) as shaper:
                locator = Locator(client, shaper, warehouse.rows, mode, upper)
                for resource in sorted(differing - {"clients"}):
                    found += await locator.locate(resource)
    return found
