"""The dynamic partitions: one per client record, keyed `externalTenantId@creditorId` (onboarding/lifecycle.py says how)."""

import dagster as dg

CLIENTS = dg.DynamicPartitionsDefinition(name="clients")
