"""Find clients whose tenant id changed after their rows were read: no total of a listing shows it, but their records do."""

from __future__ import annotations

from debitura_pipeline.sync.land import ASKABLE_TENANT
from debitura_pipeline.warehouse.base import Warehouse

# Only rows that were last read before the record changed: the API may show a row with the tenant id of when it was created.
_RENAMED = """
    WITH renamed AS (
        SELECT c.creditor_id, {tenant} AS tenant, max(h._valid_to) AS renamed_at
        FROM raw.clients AS c
        JOIN raw.clients_history AS h
            ON h.creditor_id = c.creditor_id AND h.external_tenant_id IS DISTINCT FROM c.external_tenant_id
        WHERE c._deleted_at IS NULL
        GROUP BY 1, 2
    )
    SELECT renamed.tenant, count(*)
    FROM renamed JOIN raw.{resource} AS r ON r.creditor_id = renamed.creditor_id
    WHERE renamed.tenant IS NOT NULL AND r._deleted_at IS NULL
        AND r.external_tenant_id IS DISTINCT FROM renamed.tenant AND r._verified_at < renamed.renamed_at
    GROUP BY 1 ORDER BY 1"""


def rows_of_renamed(warehouse: Warehouse, resource: str) -> tuple[tuple[str, int], ...]:
    """New tenant ids, each with how many live rows still have another one. Raises WarehouseError."""
    tenant = ASKABLE_TENANT.replace("external_tenant_id", "c.external_tenant_id")
    found = warehouse.rows(_RENAMED.format(tenant=tenant, resource=resource))
    return tuple((tenant, int(rows)) for tenant, rows in found)
