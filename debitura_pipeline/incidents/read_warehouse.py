"""Reads from `raw` and `ops` what incidents and metrics need. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from debitura_pipeline.contract.tables import TABLES
from debitura_pipeline.incidents import kinds
from debitura_pipeline.incidents.facts import ResourceFact, StuckFact, WarehouseFacts
from debitura_pipeline.registration.states import NO_ROW as NO_ROSTER_ROW
from debitura_pipeline.submission.states import HUMAN, NO_ROW
from debitura_pipeline.warehouse.base import RunQuery, Warehouse

MAX_DRIFT = 8  # named in one message
UNKNOWN = "sent, and its outcome is not known"
_CLIENT_STATES = {
    "sent": (kinds.CLIENT_UNKNOWN, UNKNOWN),
    "refused": (kinds.CLIENT_REFUSED, "refused"),
    "linked_elsewhere": (kinds.CLIENT_REFUSED, "linked to another partner"),
    "needs_linking": (kinds.CLIENT_WAITING, "waiting for the approval of the link"),
    "pending_signature": (kinds.CLIENT_WAITING, "waiting for a signature"),
}
_NEEDS_HUMAN = (kinds.CLAIM_NEEDS_HUMAN, "in doubt, and needs a human")
_CLAIM_STATES = {
    "sent": (kinds.CLAIM_UNKNOWN, UNKNOWN),
    "refused": (kinds.CLAIM_REFUSED, "refused"),
    "conflict": (kinds.CLAIM_REFUSED, "in conflict with a case of the same reference"),
    "waiting_for_client": (kinds.CLAIM_WAITING, "waiting for its client"),
}


def read_warehouse_facts(warehouse: Warehouse, now: datetime, *, is_simulated: bool) -> WarehouseFacts:
    """The facts. `is_simulated`: instants of the API are on the sandbox's calendar. Raises WarehouseError."""
    rows, tables = warehouse.rows, warehouse.tables()
    if "ops.syncs" not in tables:
        return WarehouseFacts()
    resources = tuple(_resource(rows, resource) for resource in TABLES)
    stuck: list[StuckFact] = []
    if "ops.registrations" in tables:
        stuck += _clients(rows)
    if "ops.onboarding" in tables:
        stuck += _unsigned(rows, {fact.subject for fact in stuck}, _shift(rows, now) if is_simulated else timedelta())
    if "ops.submissions" in tables:
        stuck += _claims(rows)
    oldest = rows(_OLDEST_EVENT)[0][0] if "ops.webhook_events" in tables else None
    return WarehouseFacts(resources, tuple(stuck), oldest)


def _resource(rows: RunQuery, resource: str) -> ResourceFact:
    last = rows(_LAST, (resource,))
    live = int(rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0])
    quarantined = int(rows(_QUARANTINED, (resource,))[0][0])
    if not last:
        return ResourceFact(resource, quarantined=quarantined, live_rows=live)
    sync_id, finished_at, is_proven, message, rows_read, requests = last[0]
    differing, contradicted = rows(_DIFFERING, (sync_id, resource))[0]
    return ResourceFact(
        resource=resource,
        synced_at=finished_at,
        is_proven=is_proven,
        message=message,
        differing=int(differing),
        contradicted=int(contradicted),
        quarantined=quarantined,
        drift=tuple(_drift(rows, resource, sync_id)),
        live_rows=live,
        rows_read=int(rows_read or 0),
        requests=int(requests or 0),
    )


def _drift(rows: RunQuery, resource: str, sync_id: str) -> Iterator[str]:
    """What the sync saw for the first time. Values of enumerations only; nothing else is stored there."""
    found = rows(_DRIFT, (resource, sync_id))
    for kind, field, value in found[:MAX_DRIFT]:
        yield f"field {field}" if kind == "field" else f"value {value} of {field}"
    if len(found) > MAX_DRIFT:
        yield f"and {len(found) - MAX_DRIFT} more"


def _clients(rows: RunQuery) -> Iterator[StuckFact]:
    for tenant, state, error_types, since in rows(_REGISTRATIONS, (NO_ROSTER_ROW,)):
        if found := _CLIENT_STATES.get(state):
            yield StuckFact(found[0], tenant, tenant, found[1], since, error_types or None)


def _unsigned(rows: RunQuery, known: set[str], shift: timedelta) -> Iterator[StuckFact]:
    """Clients that are not loaded because they have not signed, and loaded ones that must sign again; those of the roster are
    known already."""
    for tenant, reason, since in rows(_UNSIGNED):
        if tenant and tenant not in known:
            at = since + shift if since is not None else None
            yield StuckFact(kinds.CLIENT_WAITING, tenant, tenant, reason, at)


def _claims(rows: RunQuery) -> Iterator[StuckFact]:
    for tenant, reference, state, error_types, since, message in rows(_SUBMISSIONS, (NO_ROW,)):
        found = _CLAIM_STATES.get(state)
        if state == "sent" and (message or "").startswith(HUMAN):
            found = _NEEDS_HUMAN
        if found:
            yield StuckFact(found[0], f"{tenant}/{reference}", tenant, found[1], since, error_types or None)


def _shift(rows: RunQuery, now: datetime) -> timedelta:
    """From the sandbox's calendar to this machine's."""
    latest: Any = rows("SELECT max(as_of) FROM ops.syncs")[0][0]
    return now - latest.astimezone(UTC) if latest is not None else timedelta()


_LAST = """
    SELECT sync_id, finished_at, is_proven, message, rows_read, requests FROM ops.syncs
    WHERE resource = $1 AND status = 'done' AND coalesce(mode, '') <> 'client' ORDER BY as_of DESC, finished_at DESC LIMIT 1"""
_DIFFERING = """
    SELECT count(*), count(CASE WHEN scope = 'all' THEN 1 END) FROM ops.control_totals
    WHERE sync_id = $1 AND resource = $2 AND verdict = 'differs'"""
_QUARANTINED = "SELECT count(*) FROM ops.quarantine WHERE resource = $1 AND resolved_at IS NULL"
_DRIFT = (
    "SELECT kind, field, value FROM ops.schema_drift WHERE resource = $1 AND sync_id = $2 ORDER BY kind, field, value"
)
_REGISTRATIONS = """
    SELECT external_tenant_id, state, error_types, coalesce(outcome_at, intent_at) FROM ops.registrations
    WHERE state IN ('sent', 'refused', 'linked_elsewhere', 'needs_linking', 'pending_signature')
        AND (message IS NULL OR message <> $1)
    ORDER BY external_tenant_id"""
_UNSIGNED = """
    SELECT external_tenant_id, 'waiting for a signature', min(first_seen_at) FROM ops.onboarding
    WHERE state = 'waiting_for_signature' AND history_loaded_at IS NULL GROUP BY external_tenant_id
    UNION ALL
    SELECT external_tenant_id, 'waiting for the signature of a new agreement', min(updated_at) FROM ops.onboarding
    WHERE state = 'must_sign_again' GROUP BY external_tenant_id
    ORDER BY 1"""
_SUBMISSIONS = """
    SELECT external_tenant_id, creditor_reference, state, error_types,
        CASE WHEN state = 'sent' THEN coalesce(last_attempt_at, intent_at) ELSE coalesce(outcome_at, intent_at) END,
        message
    FROM ops.submissions
    WHERE state IN ('sent', 'refused', 'conflict', 'waiting_for_client') AND (message IS NULL OR message <> $1)
    ORDER BY external_tenant_id, creditor_reference"""
_OLDEST_EVENT = "SELECT min(received_at) FROM ops.webhook_events WHERE handled_at IS NULL"
