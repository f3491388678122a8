"""The Dagster definitions: assets, checks, jobs, schedules, sensors and resources."""

from __future__ import annotations

import dagster as dg

from assets.checks import all_checks
from assets.extraction import listings, raw_tables
from assets.onboarding import onboard_clients
from assets.outbound import registered_clients, submitted_claims
from assets.reporting import partner_report
from assets.warehouse import dbt_models, ops_tables, published_warehouse
from assets.webhooks import webhook_events
from debitura_pipeline.orchestration.jobs import jobs, schedules
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.sensors import sensors
from debitura_pipeline.orchestration.watchdog_sensor import watchdog
from debitura_pipeline.partners.schedules import partner_folders, partner_schedules
from debitura_pipeline.partners.sensors import partner_sensors
from debitura_pipeline.workers.waiting import worker_sensors

of_partners = partner_schedules()

defs = dg.Definitions(
    assets=[
        *listings,
        *raw_tables,
        *ops_tables,
        dbt_models,
        partner_report,
        published_warehouse,
        onboard_clients,
        registered_clients,
        webhook_events,
        submitted_claims,
    ],
    asset_checks=all_checks,
    jobs=jobs,
    schedules=of_partners or schedules,
    sensors=[*(partner_sensors(partner_folders()) if of_partners else sensors), watchdog, *worker_sensors()],
    resources={"debitura": Debitura()},
    executor=dg.in_process_executor,
)
