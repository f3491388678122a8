"""Compare the API's current totals with the warehouse and locate differences, for `debitura reconcile`."""

from __future__ import annotations

import asyncio

from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.contract.listings import LISTINGS, Query
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.tenants import TenantResolver
from debitura_pipeline.landing.transform import PageTransformer
from debitura_pipeline.reconcile.client_totals import compare_client_totals
from debitura_pipeline.reconcile.control_totals import compare_control_totals
from debitura_pipeline.reconcile.locate import DifferenceFinder
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.sync.runner import RESOURCES
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_warehouse


def reconcile(settings: Settings, endpoint: Endpoint, runtime: Runtime | None = None) -> list[ControlTotal]:
    """Compare the API's current totals with the warehouse's; changes nothing.

    Takes four requests, plus those needed to narrow each difference down to a window and client. Raises ApiError,
    WarehouseError and IdentityRefused.
    """
    return asyncio.run(_reconcile(settings, endpoint, runtime or Runtime()))


async def _reconcile(settings: Settings, endpoint: Endpoint, runtime: Runtime) -> list[ControlTotal]:
    known = check_identity(settings)
    async with open_client(settings, endpoint, runtime) as client:
        terms, partner_id = await read_me(client)
        known.with_partner(partner_id)
        with open_warehouse(settings, read_only=True) as warehouse:
            found = []
            upper = client.server_time or runtime.now()
            for resource in RESOURCES:
                page = await client.page(Query(LISTINGS[resource]), 1)
                found += compare_control_totals(
                    resource, Totals.of(page.metadata), terms.invoicing_mode, warehouse.rows
                )
            found += compare_client_totals(warehouse.rows)
            differing = {total.resource for total in found if total.verdict == "differs" and total.scope == "all"}
            with PageTransformer(settings.privacy, settings.obtain_privacy_key()) as transformer:
                client.translate = TenantResolver(client, transformer.business_keys).query
                locator = DifferenceFinder(client, transformer, warehouse.rows, terms.invoicing_mode, upper)
                for resource in sorted(differing - {"clients"}):
                    found += await locator.find(resource)
    return found
