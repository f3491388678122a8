"""Asset keys, partitions, pools and the freshness policy that assets, jobs and sensors share."""

from __future__ import annotations

import warnings
from datetime import timedelta

import dagster as dg

from debitura_pipeline.orchestration import runs
from debitura_pipeline.settings import served_partners
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
    "control_totals", "estimate_totals", "identity", "quarantine", "rate_limits", "schema_drift", "schema_version", "syncs",
    "windows",
)  # fmt: skip
OPS = [dg.AssetKey(["ops", name]) for name in OPS_TABLES]
OPS_ONBOARDING = dg.AssetKey(["ops", "onboarding"])
OPS_REGISTRATIONS, OPS_SUBMISSIONS = (dg.AssetKey(["ops", name]) for name in ("registrations", "submissions"))
WEBHOOK_EVENTS = dg.AssetKey(["ops", "webhook_events"])
GAPS = dg.AssetKey(["reports", "attribution_gaps"])
OWNERS = ["team:debitura-pipeline"]

# One dynamic partition per client record, keyed `externalTenantId@creditorId` (`ClientRef.key`); `partner/…` before it where
# one instance serves several partners.
CLIENTS = dg.DynamicPartitionsDefinition(name="clients")

# Where this process serves all partners of a partners file: their names, and a partition for each of them.
SERVED = served_partners()
PARTNERS = dg.StaticPartitionsDefinition(list(SERVED)) if SERVED else None
if SERVED:  # checks by partition are in preview; Dagster's version is pinned
    warnings.filterwarnings("ignore", message="Specifying a partitions_def", category=dg.PreviewWarning)

# Each pool admits one step at a time, and Dagster gives a step one pool. Steps that open the warehouse are in `warehouse`, even if
# they call the API first: DuckDB allows one writer, while the API's rate limit is kept by the client itself. Steps that only call
# the API are in `debitura_api`. A pool belongs to a step, not to a run's partner, so with several partners there are none: the
# run queue admits one run at a time with each value of WAREHOUSE_TAG.
WAREHOUSE_POOL = "warehouse"
API_POOL = "debitura_api"
POOLS = () if SERVED else (WAREHOUSE_POOL, API_POOL)
STEP_POOL = None if SERVED else WAREHOUSE_POOL
# Tags of a run: the partner, by its name in the partners file, that the run works for, and whose key and warehouse it uses.
PARTNER_TAG = runs.PARTNER_TAG
WAREHOUSE_TAG = "debitura/warehouse"

# A time window instead of a cron: nightly runs may be started at another hour. Without runs, assets turn yellow after 25 hours.
# The checks of 08:00 are in `assets/checks.py`.
NIGHTLY_FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=STALE_AFTER, warn_window=timedelta(hours=25))
