"""The API's listings and the raw tables read from them. The work is done in debitura_pipeline/sync/.

Clients, cases and transactions in that order: a case is then never read before the client that it belongs to.
"""

import warnings

import dagster as dg
from dagster._core.definitions.external_asset import create_external_asset_from_source_asset

from debitura_pipeline.orchestration.coverage import coverage_events
from debitura_pipeline.orchestration.described import table_metadata, warehouse
from debitura_pipeline.orchestration.freshness import NIGHTLY_FRESHNESS
from debitura_pipeline.orchestration.keys import LISTING, OWNERS, RAW, RESOURCES
from debitura_pipeline.orchestration.metadata import listing_metadata, sync_metadata
from debitura_pipeline.orchestration.observe import count_listing
from debitura_pipeline.orchestration.pools import API_POOL, WAREHOUSE_POOL
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.sync_events import sync_events
from debitura_pipeline.sync import sync

PATHS = {"clients": "/clients", "cases": "/cases", "transactions": "/reporting/transactions"}


def listing_of(resource: str) -> dg.AssetsDefinition:
    """A listing of the API, where the lineage begins; observing it asks for its count, in one request."""

    @dg.observable_source_asset(
        key=LISTING[resource],
        group_name="debitura_api",
        description=f"GET {PATHS[resource]}: what Debitura shows; nothing here is ours.",
        op_tags={"dagster/concurrency_key": API_POOL},  # this decorator takes a pool no other way
    )
    def listing(debitura: Debitura) -> dg.ObserveResult:
        with debitura.endpoint() as endpoint:
            return dg.ObserveResult(metadata=listing_metadata(count_listing(debitura.settings, endpoint, resource)))

    # Nor does it take owners.
    owned = dg.map_asset_specs(
        lambda spec: spec.merge_attributes(owners=OWNERS, kinds={"api"}),
        [create_external_asset_from_source_asset(listing)],
    )
    return next(iter(owned))


def raw_table(resource: str, before: str | None) -> dg.AssetsDefinition:
    """One raw table: read whole, verified, merged with history."""

    @dg.asset(
        key=RAW[resource],
        deps=[LISTING[resource], *([RAW[before]] if before else [])],
        pool=WAREHOUSE_POOL,
        group_name="raw",
        kinds={"python", warehouse()[0]},
        owners=OWNERS,
        metadata=table_metadata(RAW[resource]),
        freshness_policy=NIGHTLY_FRESHNESS,
        description=f"All {resource} as the API shows them, each window verified; a row is never removed.",
    )
    def raw(context: dg.AssetExecutionContext, debitura: Debitura) -> dg.MaterializeResult[None]:
        outages = debitura.outages(context.run.job_name, context.log.warning)
        with debitura.endpoint() as endpoint:
            (report,) = sync(debitura.settings, endpoint, (resource,), progress=debitura.progress, outages=outages)
        debitura.keep(report)
        events = [*sync_events(report, is_own=True)]
        if resource == RESOURCES[-1]:
            events += coverage_events(debitura.settings, context.instance)
        for event in events:
            context.log_event(event)
        return dg.MaterializeResult(metadata=sync_metadata(report))

    return raw


with warnings.catch_warnings():  # observable assets are marked beta; Dagster's version is pinned
    warnings.simplefilter("ignore", dg.BetaWarning)
    listings = [listing_of(resource) for resource in RESOURCES]
raw_tables = [raw_table(resource, before) for resource, before in zip(RESOURCES, (None, *RESOURCES), strict=False)]
