"""The dbt models, the tables of `ops` and the published copy of the warehouse as assets."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from debitura_pipeline.orchestration import dbt
from debitura_pipeline.orchestration.asset_metadata import asset_metadata, warehouse_kind
from debitura_pipeline.orchestration.keys import (
    NIGHTLY_FRESHNESS,
    ONBOARDING,
    OPS,
    OPS_ONBOARDING,
    OPS_REGISTRATIONS,
    OPS_SUBMISSIONS,
    OWNERS,
    PARTNER_REPORT,
    PARTNERS,
    PUBLISHED,
    RAW,
    REGISTRATION,
    STEP_POOL,
    SUBMISSION,
)
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.orchestration.metadata import origin_metadata, published_metadata
from debitura_pipeline.orchestration.publishing import publish_apart
from debitura_pipeline.orchestration.resources import Debitura


@dbt.dbt_assets(
    manifest=obtain_manifest(),
    name="dbt_build",
    dagster_dbt_translator=dbt.Translator(),
    exclude=dbt.NO_CHECKS,
    pool=STEP_POOL,
    partitions_def=PARTNERS,
)
def dbt_models(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[Any]:
    """Build the selected models with dbt."""
    yield from dbt.build(context, debitura.settings)


def ops_table(key: dg.AssetKey, written_by: list[dg.AssetKey], description: str) -> dg.AssetSpec:
    """A table of `ops`. It has no step of its own: syncs and onboarding runs report its materialisations."""
    return dg.AssetSpec(
        key,
        deps=written_by,
        group_name="ops",
        description=description,
        owners=OWNERS,
        kinds={warehouse_kind()},
        metadata=asset_metadata(key),
        partitions_def=PARTNERS,
    )


ops_tables = [
    *(ops_table(key, list(RAW.values()), "Written by every sync.") for key in OPS),
    ops_table(OPS_ONBOARDING, [ONBOARDING["history"], RAW["transactions"]], "Written by nightly and onboarding runs."),
    ops_table(OPS_REGISTRATIONS, [REGISTRATION["clients"]], "Written when clients of the roster are registered."),
    ops_table(OPS_SUBMISSIONS, [SUBMISSION["cases"]], "Written when claims are submitted."),
]


@dg.asset(
    key=PUBLISHED,
    deps=[PARTNER_REPORT, *(key for key in dbt_models.keys if key.path[0] in ("marts", "reports"))],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
    group_name="published",
    kinds={"duckdb", "parquet"},
    freshness_policy=NIGHTLY_FRESHNESS,
    owners=OWNERS,
    description="Read-only copy for analysts and BI tools, replaced atomically, with one Parquet file per table.",
)
def published_warehouse(debitura: Debitura) -> dg.MaterializeResult[None]:
    """Publish the warehouse."""
    metadata = published_metadata(publish_apart(debitura.settings))
    return dg.MaterializeResult(metadata=metadata | origin_metadata(debitura.settings))
