"""Three onboarding assets in one step: status, access, history. `orchestration/onboard.py` does the work.

They share a step because each depends on the result before it: a client that has not signed gets only a status.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from debitura_pipeline.orchestration.keys import CLIENTS, LISTING, ONBOARDING, OWNERS, SERVED, STEP_POOL
from debitura_pipeline.orchestration.onboard import onboard
from debitura_pipeline.orchestration.progress import STEP
from debitura_pipeline.orchestration.resources import Debitura

STATUS, ACCESS, HISTORY = ONBOARDING["status"], ONBOARDING["access"], ONBOARDING["history"]


class Clients(dg.Config):
    """The clients of a run that the sensor requested. Runs for partitions selected in the UI do not need it."""

    clients: list[str] = Field([], description="Partition keys, externalTenantId@creditorId.")
    due: int = Field(0, description="Number of clients due, including these.")


def _spec(key: dg.AssetKey, description: str, *deps: dg.AssetKey) -> dg.AssetSpec:
    """With several partners the listings are left out: a run for many clients has no partition to look them up by."""
    return dg.AssetSpec(
        key,
        deps=[dep for dep in deps if not SERVED or dep in ONBOARDING.values()],
        skippable=True,
        group_name="onboarding",
        description=description,
        owners=OWNERS,
        kinds={"python"},
    )


@dg.multi_asset(
    name=STEP,
    specs=[
        _spec(STATUS, "Whether the client has signed, and what is outstanding.", LISTING["clients"]),
        _spec(
            ACCESS, "Whether a token issued for the client works on the Customer API. Tokens are not stored.", STATUS
        ),
        _spec(
            HISTORY,
            "The client's record, cases and transactions, read completely, verified and merged into raw.",
            ACCESS,
            LISTING["cases"],
            LISTING["transactions"],
        ),
    ],
    partitions_def=CLIENTS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=STEP_POOL,
)
def onboard_clients(
    context: dg.AssetExecutionContext, config: Clients, debitura: Debitura
) -> Iterator[dg.MaterializeResult[Any]]:
    """Onboard the clients of the run. Raises OnboardingError if all of them failed."""
    onboard(context, debitura, config.clients, config.due)
    yield from ()  # outcomes are logged as events of each client's partition
