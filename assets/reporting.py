"""The partner report as an asset. `debitura_pipeline/report/` renders the page."""

import dagster as dg

from assets.warehouse import dbt_models
from debitura_pipeline.orchestration.keys import NIGHTLY_FRESHNESS, OWNERS, PARTNER_REPORT, PARTNERS, STEP_POOL
from debitura_pipeline.orchestration.metadata import origin_metadata, report_metadata
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.report import write_report


@dg.asset(
    key=PARTNER_REPORT,
    deps=[key for key in dbt_models.keys if key.path[0] == "reports"],
    pool=STEP_POOL,
    partitions_def=PARTNERS,
    group_name="reports",
    kinds={"html"},
    freshness_policy=NIGHTLY_FRESHNESS,
    owners=OWNERS,
    description="Self-contained HTML page: earned, pending, estimated and disputed revenue, and the control totals.",
)
def partner_report(debitura: Debitura) -> dg.MaterializeResult[None]:
    """Write the report."""
    metadata = report_metadata(write_report(debitura.settings))
    return dg.MaterializeResult(metadata=metadata | origin_metadata(debitura.settings))
