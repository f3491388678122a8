"""Bring rows of `ops.onboarding` up to date with what syncs have read: times of the steps, and new agreements to be signed.

Level-triggered and idempotent: called after whatever may have changed `raw.clients` or `raw.cases`.
"""

from __future__ import annotations

from typing import Any

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import DONE, LOADED, MUST_SIGN_AGAIN, NEW_AGREEMENT, WAITING, outstanding
from debitura_pipeline.onboarding.record import RowUpdate, record_in
from debitura_pipeline.warehouse.base import Warehouse


def update_from_raw(warehouse: Warehouse) -> dict[ClientRef, str]:
    """Write what `raw` says about clients that are being or have been onboarded.

    Returns the new state of each loaded client that must sign again, or has done so. Raises WarehouseError.
    """
    changed: dict[ClientRef, str] = {}
    updates = []
    for tenant, creditor_id, state, is_listed, is_signed, kyc_status, read_at in warehouse.rows(_OUTDATED):
        ref, values = ClientRef(tenant, creditor_id), loaded_values(is_signed, kyc_status, is_listed=is_listed)
        updates.append(RowUpdate(ref, read_at, values))
        if values["state"] != state:
            changed[ref] = values["state"]
    record_in(warehouse, updates)
    for statement in (_REGISTERED, _SIGNED, _FIRST_CASE):
        warehouse.execute(statement)
    return changed


def loaded_values(is_signed: bool | None, kyc_status: str | None, *, is_listed: bool = True) -> dict[str, Any]:
    """Columns of a loaded client, given how the API lists it now. One that is no longer listed has nothing left to do. Pure."""
    must_sign = is_listed and is_signed is False
    return {
        "state": MUST_SIGN_AGAIN if must_sign else LOADED,
        "onboarding_done": is_signed,
        "kyc_status": kyc_status,
        "outstanding": outstanding(NEW_AGREEMENT if must_sign else None, kyc_status) if is_listed else None,
    }


_DONE = ", ".join(f"'{state}'" for state in DONE)

# Of loaded clients, those whose row differs from what was read last. A run for a single partition calls a loaded client WAITING.
_OUTDATED = f"""
    SELECT o.external_tenant_id, o.creditor_id, o.state, c._deleted_at IS NULL, c.onboarding_done, c.kyc_status, c._verified_at
    FROM ops.onboarding AS o
    JOIN raw.clients AS c ON c.creditor_id = o.creditor_id AND c.external_tenant_id = o.external_tenant_id
    WHERE (o.state IN ({_DONE}) OR (o.state = '{WAITING}' AND o.history_loaded_at IS NOT NULL))
        AND CASE
            WHEN c._deleted_at IS NOT NULL THEN o.state <> '{LOADED}'
            WHEN c.onboarding_done IS NULL THEN false
            ELSE o.state = '{WAITING}' OR o.onboarding_done IS DISTINCT FROM c.onboarding_done
                OR o.kyc_status IS DISTINCT FROM c.kyc_status
                OR (o.state = '{MUST_SIGN_AGAIN}') = c.onboarding_done
        END
    ORDER BY o.partition_key"""

_REGISTERED = """
    UPDATE ops.onboarding AS o SET registered_at = v.at
    FROM (
        SELECT s.partition_key, coalesce(min(c.linked_at), min(r.outcome_at)) AS at
        FROM ops.onboarding AS s
        LEFT JOIN raw.clients AS c ON c.creditor_id = s.creditor_id AND c.external_tenant_id = s.external_tenant_id
        LEFT JOIN ops.registrations AS r ON r.creditor_id = s.creditor_id
            AND r.external_tenant_id = s.external_tenant_id AND r.state IN ('registered', 'pending_signature')
        WHERE s.registered_at IS NULL
        GROUP BY s.partition_key
    ) AS v
    WHERE v.partition_key = o.partition_key AND v.at IS NOT NULL"""

_SIGNED = """
    UPDATE ops.onboarding AS o SET signed_at = v.at
    FROM (
        SELECT creditor_id, min(_valid_from) AS at FROM raw.clients_history WHERE onboarding_done GROUP BY creditor_id
    ) AS v
    WHERE v.creditor_id = o.creditor_id AND o.signed_at IS NULL"""

_FIRST_CASE = """
    UPDATE ops.onboarding AS o SET first_case_at = v.at
    FROM (
        SELECT creditor_id, min(created_at) AS at FROM raw.cases WHERE _deleted_at IS NULL GROUP BY creditor_id
    ) AS v
    WHERE v.creditor_id = o.creditor_id AND v.at < coalesce(o.first_case_at, CAST('9999-12-31 00:00:00+00' AS TIMESTAMPTZ))"""
