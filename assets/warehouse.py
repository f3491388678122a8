"""The dbt models as assets, and the published copy of the warehouse. Models live in dbt/; publishing in warehouse/publish.py."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from debitura_pipeline.orchestration import dbt
from debitura_pipeline.orchestration.described import table_metadata, warehouse
from debitura_pipeline.orchestration.freshness import NIGHTLY_FRESHNESS
from debitura_pipeline.orchestration.keys import ONBOARDING, OPS, OPS_ONBOARDING, OWNERS, PARTNER_REPORT, PUBLISHED, RAW
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.orchestration.metadata import origin_metadata, published_metadata
from debitura_pipeline.orchestration.pools import WAREHOUSE_POOL
from debitura_pipeline.orchestration.publishing import publish_apart
from debitura_pipeline.orchestration.resources import Debitura


@dbt_assets(
    manifest=obtain_manifest(),
    name="dbt_build",
    dagster_dbt_translator=dbt.Translator(),
    exclude="resource_type:unit_test",
    pool=WAREHOUSE_POOL,
)
def dbt_models(context: dg.AssetExecutionContext, debitura: Debitura) -> Iterator[Any]:
    yield from dbt.build(context, debitura.settings)


def ops_table(key: dg.AssetKey, written_by: list[dg.AssetKey], description: str) -> dg.AssetSpec:
    """What the pipeline knows about itself. Nobody runs it: each sync and each onboarding run reports what it wrote."""
    return dg.AssetSpec(
        key,
        deps=written_by,
        group_name="ops",
        description=description,
        owners=OWNERS,
        kinds={warehouse()[0]},
        metadata=table_metadata(key),
    )


ops_tables = [
    *(ops_table(key, list(RAW.values()), "Written by every sync.") for key in OPS),
    ops_table(OPS_ONBOARDING, [ONBOARDING["history"], RAW["transactions"]], "Written by nights and onboarding runs."),
]


@dg.asset(
    key=PUBLISHED,
    deps=[PARTNER_REPORT, *(key for key in dbt_models.keys if key.path[0] in ("marts", "reports"))],
    pool=WAREHOUSE_POOL,
    group_name="published",
    kinds={"duckdb", "parquet"},
    freshness_policy=NIGHTLY_FRESHNESS,
    owners=OWNERS,
    description="The read-only copy that analysts and BI tools open, replaced in one rename, and a Parquet file per table.",
)
def published_warehouse(debitura: Debitura) -> dg.MaterializeResult[None]:
    metadata = published_metadata(publish_apart(debitura.settings))
    return dg.MaterializeResult(metadata=metadata | origin_metadata(debitura.settings))
