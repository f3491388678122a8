"""Assets for the API's listings and the raw tables. `sync/` does the work.

Clients, cases and transactions are read in this order, so that no case is read before its client. A contradicted total of
transactions keeps the night from being published, and must keep nothing from being read; so they come last.
"""

import warnings

import dagster as dg
from dagster._core.definitions.external_asset import create_external_asset_from_source_asset

from debitura_pipeline.api.outage import OutagePolicy
from debitura_pipeline.orchestration.asset_metadata import asset_metadata, warehouse_kind
from debitura_pipeline.orchestration.coverage import coverage_events
from debitura_pipeline.orchestration.keys import (
    API_POOL,
    LISTING,
    NIGHTLY_FRESHNESS,
    OWNERS,
    PARTNERS,
    RAW,
    RESOURCES,
    SERVED,
    STEP_POOL,
    WEBHOOK_EVENTS,
)
from debitura_pipeline.orchestration.metadata import listing_metadata, sync_metadata
from debitura_pipeline.orchestration.observations import count_listing, sync_events
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.settings import Endpoint
from debitura_pipeline.sync import SyncReport, has_moved_cases, sync

PATHS = {"clients": "/clients", "cases": "/cases", "transactions": "/reporting/transactions"}


def listing_of(resource: str) -> dg.AssetsDefinition:
    """A listing of the API, the root of the lineage. Observing it reads its row count in one request."""

    @dg.observable_source_asset(
        key=LISTING[resource],
        group_name="debitura_api",
        description=f"External source: GET {PATHS[resource]} of the Debitura API.",
        op_tags={} if SERVED else {"dagster/concurrency_key": API_POOL},  # this decorator has no `pool` argument
        partitions_def=PARTNERS,
    )
    def listing(debitura: Debitura) -> dg.ObserveResult:
        with debitura.endpoint() as endpoint:
            return dg.ObserveResult(metadata=listing_metadata(count_listing(debitura.settings, endpoint, resource)))

    # The decorator has no `owners` argument either.
    owned = dg.map_asset_specs(
        lambda spec: spec.merge_attributes(owners=OWNERS, kinds={"api"}),
        [create_external_asset_from_source_asset(listing)],
    )
    return next(iter(owned))


def raw_table(resource: str, before: str | None) -> dg.AssetsDefinition:
    """One raw table: read, verified, merged with history. `before`: the resource that is read first."""

    @dg.asset(
        key=RAW[resource],
        deps=[LISTING[resource], RAW[before] if before else WEBHOOK_EVENTS],
        pool=STEP_POOL,
        partitions_def=PARTNERS,
        group_name="raw",
        kinds={"python", warehouse_kind()},
        owners=OWNERS,
        metadata=asset_metadata(RAW[resource]),
        freshness_policy=NIGHTLY_FRESHNESS,
        description=f"All {resource} as returned by the API, with every window verified. Rows are never removed.",
    )
    def raw(context: dg.AssetExecutionContext, debitura: Debitura) -> dg.MaterializeResult[None]:
        outages = debitura.outages(context.run.job_name, context.log.warning)
        with debitura.endpoint() as endpoint:
            (report,) = sync(debitura.settings, endpoint, (resource,), progress=debitura.progress, outages=outages)
            again = _moved_cases(debitura, endpoint, outages) if resource == "transactions" else []
        for one in (report, *again):
            debitura.collect(one)
        events = [*sync_events(report, is_own=True)]
        events += [event for one in again for event in sync_events(one, is_own=False)]
        if resource == RESOURCES[-1]:
            events += coverage_events(debitura.settings, debitura.state(context.instance))
        for event in events:
            context.log_event(debitura.placed(event))
        return dg.MaterializeResult(metadata=sync_metadata(report))

    return raw


def _moved_cases(debitura: Debitura, endpoint: Endpoint, outages: OutagePolicy | None) -> list[SyncReport]:
    """Read cases again where transactions show that some moved to another client, which no number of cases does."""
    if not has_moved_cases(debitura.settings):
        return []
    return sync(
        debitura.settings, endpoint, ("cases",), progress=debitura.progress, outages=outages, compares_clients=True
    )


with warnings.catch_warnings():  # observable assets are marked beta; Dagster's version is pinned
    warnings.simplefilter("ignore", dg.BetaWarning)
    listings = [listing_of(resource) for resource in RESOURCES]
raw_tables = [raw_table(resource, before) for resource, before in zip(RESOURCES, (None, *RESOURCES), strict=False)]
