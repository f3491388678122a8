"""Webhook events as an asset: events waiting in the inbox are handled, and the subscriptions are checked."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from debitura_pipeline.orchestration.asset_metadata import asset_metadata, warehouse_kind
from debitura_pipeline.orchestration.keys import LISTING, OWNERS, PARTNERS, STEP_POOL, WEBHOOK_EVENTS
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.webhooks import HANDLED, SUBSCRIPTIONS, WebhookRun


class Refresh(dg.Config):
    """Used by the runs that the sensors request; nothing has to be set."""

    sweep: bool = Field(False, description="Also read the clients and cases that may have changed.")


@dg.asset(
    key=WEBHOOK_EVENTS,
    deps=[LISTING["clients"], LISTING["cases"], LISTING["transactions"]],
    check_specs=[
        dg.AssetCheckSpec(
            HANDLED,
            asset=WEBHOOK_EVENTS,
            description="Every event was handled within an hour.",
            partitions_def=PARTNERS,
        ),
        dg.AssetCheckSpec(
            SUBSCRIPTIONS,
            asset=WEBHOOK_EVENTS,
            description="The API delivers to every subscription.",
            partitions_def=PARTNERS,
        ),
    ],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
    group_name="webhooks",
    kinds={"python", warehouse_kind()},
    owners=OWNERS,
    metadata=asset_metadata(WEBHOOK_EVENTS),
    description="Events received from the API, each with its run and outcome. The rows that they name are read into raw.",
)
def webhook_events(
    context: dg.AssetExecutionContext, config: Refresh, debitura: Debitura
) -> Iterator[dg.MaterializeResult[None]]:
    """Handle waiting events."""
    yield WebhookRun(context, debitura, is_sweep_wanted=config.sweep).run()
