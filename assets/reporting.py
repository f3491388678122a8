"""The partner report as an asset. The page is made in debitura_pipeline/report/."""

import dagster as dg

from assets.warehouse import dbt_models
from debitura_pipeline.orchestration.freshness import NIGHTLY_FRESHNESS
from debitura_pipeline.orchestration.keys import OWNERS, PARTNER_REPORT
from debitura_pipeline.orchestration.metadata import origin_metadata, report_metadata
from debitura_pipeline.orchestration.pools import WAREHOUSE_POOL
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.report import write_report


@dg.asset(
    key=PARTNER_REPORT,
    deps=[key for key in dbt_models.keys if key.path[0] == "reports"],
    pool=WAREHOUSE_POOL,
    group_name="reports",
    kinds={"html"},
    freshness_policy=NIGHTLY_FRESHNESS,
    owners=OWNERS,
    description="One self-contained HTML page: what is earned, awaited, estimated, disputed, and whether it adds up.",
)
def partner_report(debitura: Debitura) -> dg.MaterializeResult[None]:
    metadata = report_metadata(write_report(debitura.settings))
    return dg.MaterializeResult(metadata=metadata | origin_metadata(debitura.settings))
