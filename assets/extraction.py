"""The API's listings and the raw tables read from them. The work is done in debitura_pipeline/sync/.

Clients, cases and transactions in that order: a case is then never read before the client that it belongs to.
"""

import warnings

import dagster as dg

from debitura_pipeline.orchestration.freshness import NIGHTLY_FRESHNESS
from debitura_pipeline.orchestration.keys import LISTING, RAW, RESOURCES
from debitura_pipeline.orchestration.metadata import listing_metadata, sync_metadata
from debitura_pipeline.orchestration.observe import count_listing
from debitura_pipeline.orchestration.pools import API_POOL, WAREHOUSE_POOL
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.sync import sync

PATHS = {"clients": "/clients", "cases": "/cases", "transactions": "/reporting/transactions"}


def listing_of(resource: str) -> dg.SourceAsset:
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

    return listing


def raw_table(resource: str, before: str | None) -> dg.AssetsDefinition:
    """One raw table: read whole, verified, merged with history."""

    @dg.asset(
        key=RAW[resource],
        deps=[LISTING[resource], *([RAW[before]] if before else [])],
        pool=WAREHOUSE_POOL,
        group_name="raw",
        kinds={"python", "duckdb"},
        freshness_policy=NIGHTLY_FRESHNESS,
        description=f"All {resource} as the API shows them, each window verified; a row is never removed.",
    )
    def raw(context: dg.AssetExecutionContext, debitura: Debitura) -> dg.MaterializeResult[None]:
        outages = debitura.outages(context.run.job_name, context.log.warning)
        with debitura.endpoint() as endpoint:
            (report,) = sync(debitura.settings, endpoint, (resource,), progress=debitura.progress, outages=outages)
        debitura.keep(report)
        return dg.MaterializeResult(metadata=sync_metadata(report))

    return raw


with warnings.catch_warnings():  # observable assets are marked beta; Dagster's version is pinned
    warnings.simplefilter("ignore", dg.BetaWarning)
    listings = [listing_of(resource) for resource in RESOURCES]
raw_tables = [raw_table(resource, before) for resource, before in zip(RESOURCES, (None, *RESOURCES), strict=False)]
