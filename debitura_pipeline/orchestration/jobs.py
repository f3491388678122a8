"""The jobs: what runs together. All run inside one process: on a laptop a process per step costs more than the steps."""

from __future__ import annotations

import dagster as dg

from debitura_pipeline.orchestration.keys import ONBOARDING, PARTNER_REPORT, PUBLISHED, RAW
from debitura_pipeline.orchestration.retries import no_retry_of_the_same

NIGHTLY = "nightly"
ONBOARD = "onboarding"
FRESHNESS = "freshness"

# Everything between the API and the published copy, with the checks of all of it. Order is the lineage's: clients, cases,
# transactions, their checks, dbt with its tests, report, publication; what a blocking check stops is not built.
nightly = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.groups("raw", "staging", "marts", "reports", "published"),
    executor_def=dg.in_process_executor,
    hooks={no_retry_of_the_same},
    description="API to published warehouse: extract, prove, merge, dbt, report, publish.",
)

onboarding = dg.define_asset_job(
    ONBOARD,
    selection=dg.AssetSelection.assets(*ONBOARDING.values()),
    executor_def=dg.in_process_executor,
    description="Up to fifty clients: signed or not, access, and their whole histories.",
)

freshness = dg.define_asset_job(
    FRESHNESS,
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(key, "freshness") for key in (*RAW.values(), PARTNER_REPORT, PUBLISHED))
    ),
    executor_def=dg.in_process_executor,
    description="Was everything read and published lately? Finds a night that did not take place, or not to its end.",
)

jobs = [nightly, onboarding, freshness]
