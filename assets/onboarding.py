"""One client's onboarding as three assets in one step. The bodies are in debitura_pipeline/onboarding/steps.py.

One step, since each decides on the next: a client that has not signed gets a status, and no access and no history.
The roster's registration will be an asset before `status`, for clients that the API does not list yet.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from debitura_pipeline.onboarding import steps
from debitura_pipeline.orchestration.keys import LISTING, ONBOARDING
from debitura_pipeline.orchestration.metadata import onboarding_metadata
from debitura_pipeline.orchestration.partitions import CLIENTS
from debitura_pipeline.orchestration.pools import WAREHOUSE_POOL
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.sync import sync_client

STATUS, ACCESS, HISTORY = ONBOARDING["status"], ONBOARDING["access"], ONBOARDING["history"]


def _spec(key: dg.AssetKey, description: str, *deps: dg.AssetKey, skippable: bool = True) -> dg.AssetSpec:
    return dg.AssetSpec(key, deps=deps, skippable=skippable, group_name="onboarding", description=description)


@dg.multi_asset(
    name="onboard_client",
    specs=[
        _spec(STATUS, "Has the client signed, and what is outstanding.", LISTING["clients"], skippable=False),
        _spec(ACCESS, "A token minted for the client, tried on the Customer API, and forgotten.", STATUS),
        _spec(
            HISTORY,
            "The client's cases and transactions, whole and verified, merged into raw.",
            ACCESS,
            LISTING["cases"],
            LISTING["transactions"],
        ),
    ],
    partitions_def=CLIENTS,
    pool=WAREHOUSE_POOL,
)
def onboard_client(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[dg.MaterializeResult[Any]]:
    key, settings = context.partition_key, debitura.settings
    with debitura.endpoint() as endpoint:
        status = steps.check_status(settings, endpoint, key)
        yield dg.MaterializeResult(asset_key=STATUS, metadata=onboarding_metadata(status.facts()))
        if not status.is_signed:
            context.log.info(f"nothing more to do yet: {status.outstanding}")
            return
        access = steps.check_access(settings, endpoint, key)
        yield dg.MaterializeResult(asset_key=ACCESS, metadata=onboarding_metadata(access))
        history = steps.load_history(settings, endpoint, key, sync_client)
        yield dg.MaterializeResult(asset_key=HISTORY, metadata=onboarding_metadata(history))
