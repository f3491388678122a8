"""Jobs and their schedules. Each run is one process: starting a process per step would take longer than the steps."""

from __future__ import annotations

import dagster as dg

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration.keys import ONBOARDING, PARTNER_REPORT, PUBLISHED, RAW, WEBHOOK_EVENTS
from debitura_pipeline.orchestration.retries import no_retry_of_lasting_errors, retry_tags
from debitura_pipeline.settings import DEFAULT_SCHEDULE, hours_later, load_settings

NIGHTLY = "nightly"
ONBOARD = "onboarding"
FRESHNESS = "freshness"
OUTBOUND = "outbound"
REFRESH_REPORTS = "refresh_reports"
REFRESH = "refresh"

# Everything from the API to the published copy, with all checks, in lineage order: waiting webhook events, clients, cases,
# transactions, their checks, dbt with its tests, report, publication. A failed blocking check stops what depends on it.
nightly = dg.define_asset_job(
    NIGHTLY,
    selection=dg.AssetSelection.groups("raw", "staging", "marts", "reports", "published")
    | dg.AssetSelection.assets(WEBHOOK_EVENTS),
    executor_def=dg.in_process_executor,
    hooks={no_retry_of_lasting_errors},
    description="From the API to the published warehouse: extract, verify, merge, dbt, report, publish.",
)

onboarding = dg.define_asset_job(
    ONBOARD,
    selection=dg.AssetSelection.assets(*ONBOARDING.values()),
    executor_def=dg.in_process_executor,
    description="Onboards up to fifty clients: checks signatures and access, loads histories.",
)

# What a nightly run does after extraction, with the checks that stop it: for data that was loaded since.
refresh_reports = dg.define_asset_job(
    REFRESH_REPORTS,
    selection=dg.AssetSelection.groups("staging", "marts", "reports", "published")
    | dg.AssetSelection.checks_for_assets(*RAW.values()),
    executor_def=dg.in_process_executor,
    description="Rebuilds marts and reports from the warehouse as it is, and publishes them.",
)

refresh = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.assets(WEBHOOK_EVENTS),
    executor_def=dg.in_process_executor,
    description="Reads the rows that webhook events name: cases by id, and the clients' records and transactions.",
)

freshness = dg.define_asset_job(
    FRESHNESS,
    selection=dg.AssetSelection.checks(
        *(dg.AssetCheckKey(key, "freshness") for key in (*RAW.values(), PARTNER_REPORT, PUBLISHED))
    ),
    executor_def=dg.in_process_executor,
    description="Checks that every resource was synced and everything published in the last 26 hours.",
)


outbound = dg.define_asset_job(
    OUTBOUND,
    selection=dg.AssetSelection.groups("registration", "submission"),
    executor_def=dg.in_process_executor,
    description="Plans what has to be sent to Debitura, and sends what DEBITURA_WRITES allows.",
)


def _tonight(_: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Settings are read at each tick, so changes take effect without a restart."""
    return dg.RunRequest(tags=retry_tags())


def _cron() -> str:
    """DEBITURA_SCHEDULE when the code is loaded; the default if the settings are invalid, which a run then reports."""
    try:
        return load_settings().schedule
    except SettingsError:
        return DEFAULT_SCHEDULE


SCHEDULE = _cron()

nightly_schedule = dg.ScheduleDefinition(
    name="nightly_schedule",
    job=nightly,
    cron_schedule=SCHEDULE,
    execution_timezone="UTC",
    execution_fn=_tonight,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs nightly, at 02:00 UTC unless DEBITURA_SCHEDULE says otherwise.",
)

# Six hours after its start, a nightly run should have ended.
freshness_schedule = dg.ScheduleDefinition(
    name="freshness_schedule",
    job=freshness,
    cron_schedule=hours_later(SCHEDULE, 6),
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Checks six hours after the nightly run's start that its data was read and published.",
)

jobs = [nightly, onboarding, outbound, refresh, refresh_reports, freshness]
schedules = [nightly_schedule, freshness_schedule]
