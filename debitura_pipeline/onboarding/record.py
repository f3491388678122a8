"""One row per client in `ops.onboarding`, written by the onboarding steps. Belongs here: that upsert and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.onboarding.lifecycle import read_partition_key
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.open import open_warehouse
from debitura_pipeline.warehouse.tables import OPS

SETTABLE = {name for name, _ in OPS["onboarding"]} - {"partition_key", "external_tenant_id", "creditor_id"}


def record(settings: Settings, key: str, at: datetime | None, **values: Any) -> None:
    """Set columns of the client's row, made where there is none; the others stay. `at`: the API's clock if known."""
    unknown = values.keys() - SETTABLE
    if unknown:
        raise ValueError(f"ops.onboarding has no column {', '.join(sorted(unknown))}")
    at = at or datetime.now(UTC)
    tenant, creditor_id = read_partition_key(key)
    with open_warehouse(settings) as warehouse:
        warehouse.execute(
            "INSERT INTO ops.onboarding (partition_key, external_tenant_id, creditor_id, first_seen_at) "
            "SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM ops.onboarding WHERE partition_key = $1)",
            (key, tenant, creditor_id, at),
        )
        columns = {**values, "updated_at": at}
        assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, start=2))
        warehouse.execute(
            f"UPDATE ops.onboarding SET {assignments} WHERE partition_key = $1",
            (key, *columns.values()),
        )
