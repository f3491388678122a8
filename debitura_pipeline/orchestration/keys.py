"""Asset keys, partitions, pools and the freshness policy that assets, jobs and sensors share."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from debitura_pipeline.warehouse.checks import STALE_AFTER

RESOURCES = ("clients", "cases", "transactions")
RAW = {resource: dg.AssetKey(["raw", resource]) for resource in RESOURCES}
LISTING = {resource: dg.AssetKey(["debitura_api", resource]) for resource in RESOURCES}
PARTNER_REPORT = dg.AssetKey(["reports", "partner_report"])
PUBLISHED = dg.AssetKey(["published", "warehouse"])
ONBOARDING = {step: dg.AssetKey(["onboarding", step]) for step in ("status", "access", "history")}
REGISTRATION = {step: dg.AssetKey(["registration", step]) for step in ("plan", "clients")}
SUBMISSION = {step: dg.AssetKey(["submission", step]) for step in ("plan", "cases")}
# Tables that every sync writes in addition to those of `raw`.
OPS_TABLES = (
    "control_totals", "estimate_totals", "identity", "quarantine", "schema_drift", "schema_version", "syncs", "windows",
)  # fmt: skip
OPS = [dg.AssetKey(["ops", name]) for name in OPS_TABLES]
OPS_ONBOARDING = dg.AssetKey(["ops", "onboarding"])
OPS_REGISTRATIONS, OPS_SUBMISSIONS = (dg.AssetKey(["ops", name]) for name in ("registrations", "submissions"))
WEBHOOK_EVENTS = dg.AssetKey(["ops", "webhook_events"])
GAPS = dg.AssetKey(["reports", "attribution_gaps"])
OWNERS = ["team:debitura-pipeline"]

# One dynamic partition per client record, keyed `externalTenantId@creditorId` (`ClientRef.key`).
CLIENTS = dg.DynamicPartitionsDefinition(name="clients")

# Each pool admits one step at a time, and Dagster gives a step one pool. Steps that open the warehouse are in `warehouse`, even if
# they call the API first: DuckDB allows one writer, while the API's rate limit is kept by the client itself. Steps that only call
# the API are in `debitura_api`.
WAREHOUSE_POOL = "warehouse"
API_POOL = "debitura_api"
# Tag of a run: the partner, by its name in the partners file, that the run works for.
PARTNER_TAG = "debitura/partner"
POOLS = (WAREHOUSE_POOL, API_POOL)

# A time window instead of a cron: nightly runs may be started at another hour. Without runs, assets turn yellow after 25 hours.
# The checks of 08:00 are in `assets/checks.py`.
NIGHTLY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER, warn_window=timedelta(hours=25))
