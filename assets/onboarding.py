"""The onboarding of clients as three assets in one step. The body is in debitura_pipeline/orchestration/onboard.py.

One step, since each decides on the next: a client that has not signed gets a status, and no access and no history.
The roster's registration will be an asset before `status`, for clients that the API does not list yet.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from debitura_pipeline.orchestration.keys import LISTING, ONBOARDING, OWNERS
from debitura_pipeline.orchestration.onboard import onboard
from debitura_pipeline.orchestration.partitions import CLIENTS
from debitura_pipeline.orchestration.pools import WAREHOUSE_POOL
from debitura_pipeline.orchestration.progress import STEP
from debitura_pipeline.orchestration.resources import Debitura

STATUS, ACCESS, HISTORY = ONBOARDING["status"], ONBOARDING["access"], ONBOARDING["history"]


class Clients(dg.Config):
    """Whom a run of the sensor's is for. A run for partitions chosen in the UI needs none of it."""

    clients: list[str] = Field([], description="Partition keys, externalTenantId@creditorId.")
    due: int = Field(0, description="How many clients are due in all, these included.")


def _spec(key: dg.AssetKey, description: str, *deps: dg.AssetKey) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        skippable=True,
        group_name="onboarding",
        description=description,
        owners=OWNERS,
        kinds={"python"},
    )


@dg.multi_asset(
    name=STEP,
    specs=[
        _spec(STATUS, "Has the client signed, and what is outstanding.", LISTING["clients"]),
        _spec(ACCESS, "A token minted for the client, tried on the Customer API, and forgotten.", STATUS),
        _spec(
            HISTORY,
            "The client's own row, cases and transactions, whole and verified, merged into raw.",
            ACCESS,
            LISTING["cases"],
            LISTING["transactions"],
        ),
    ],
    partitions_def=CLIENTS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=WAREHOUSE_POOL,
)
def onboard_clients(
    context: dg.AssetExecutionContext, config: Clients, debitura: Debitura
) -> Iterator[dg.MaterializeResult[Any]]:
    onboard(context, debitura, config.clients, config.due)
    yield from ()  # each client's outcome is an event of its partition, logged on the way
