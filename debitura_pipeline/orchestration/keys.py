"""Names that assets, jobs and results share: the three resources and the keys of their assets."""

import dagster as dg

RESOURCES = ("clients", "cases", "transactions")
RAW = {resource: dg.AssetKey(["raw", resource]) for resource in RESOURCES}
LISTING = {resource: dg.AssetKey(["debitura_api", resource]) for resource in RESOURCES}
PARTNER_REPORT = dg.AssetKey(["reports", "partner_report"])
PUBLISHED = dg.AssetKey(["published", "warehouse"])
ONBOARDING = {step: dg.AssetKey(["onboarding", step]) for step in ("status", "access", "history")}
# What every sync writes beside the tables of `raw`.
OPS_TABLES = ("control_totals", "identity", "quarantine", "schema_drift", "syncs", "windows")
OPS = [dg.AssetKey(["ops", name]) for name in OPS_TABLES]
OPS_ONBOARDING = dg.AssetKey(["ops", "onboarding"])
GAPS = dg.AssetKey(["reports", "attribution_gaps"])
OWNERS = ["team:debitura-pipeline"]
