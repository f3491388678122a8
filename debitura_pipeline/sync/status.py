"""Read the state of syncs and the open problems from the warehouse, for `debitura status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.plural import counted
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.runner import RESOURCES
from debitura_pipeline.warehouse.base import RunQuery
from debitura_pipeline.warehouse.opening import WAIT_S, open_warehouse

ATTEMPT = ("sync_id", "mode", "status", "started_at", "finished_at", "requests", "message")


def read_status(settings: Settings, *, wait_s: float = WAIT_S) -> dict[str, Any]:
    """Last sync, row counts and freshness by resource, clients that have to sign, and open problems, as JSON-ready values.

    Syncs of single clients are not considered. `is_proven`: of the last successful sync, None if there was none. Raises
    WarehouseBusy if another process holds the warehouse for longer than `wait_s`, WarehouseError.
    """
    with open_warehouse(settings, read_only=True, wait_s=wait_s) as warehouse:
        resources = {resource: _of_resource(warehouse.rows, resource) for resource in RESOURCES}
        waiting = _waiting_to_sign(warehouse.rows)
        problems = [problem for resource in RESOURCES for problem in _problems_of(warehouse.rows, resource)]
        quarantined = warehouse.rows("SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL")[0][0]
        drift = warehouse.rows("SELECT count(*) FROM ops.schema_drift")[0][0]
        differing = warehouse.rows(_DIFFERING)[0][0]
        unsigned = [tenant for (tenant,) in warehouse.rows(_MUST_SIGN_AGAIN)]
    if differing:
        problems.insert(
            0, f"{counted(differing, 'control total')} {'differs' if differing == 1 else 'differ'} (ops.control_totals)"
        )
    if quarantined:
        problems.insert(0, f"{counted(quarantined, 'row')} in quarantine (ops.quarantine)")
    return {
        "resources": resources,
        "quarantined": quarantined,
        "drift": drift,
        "waiting_to_sign": waiting,
        "must_sign_again": unsigned,
        "problems": problems,
    }


def _of_resource(rows: RunQuery, resource: str) -> dict[str, Any]:
    last, good = _last(rows, resource, _WHOLE), _last(rows, resource, _GOOD)
    as_of = rows(f"SELECT max(upper_bound) FROM ops.syncs WHERE resource = $1 {_GOOD}", (resource,))[0][0]
    live, gone = rows(f"SELECT count(*) - count(_deleted_at), count(_deleted_at) FROM raw.{resource}")[0]
    return {
        **{name: _plain(last[name]) for name in ATTEMPT},
        "is_proven": good["is_proven"],
        "as_of": _plain(as_of),
        "live_rows": live,
        "deleted_rows": gone,
    }


def _problems_of(rows: RunQuery, resource: str) -> Iterator[str]:
    last, whole, good = _last(rows, resource), _last(rows, resource, _WHOLE), _last(rows, resource, _GOOD)
    if whole["sync_id"] is None:
        yield f"{resource} were never synced"
    if whole["status"] == "failed":
        yield f"last sync of {resource} failed: {whole['message']}"
    if last["mode"] == "client" and last["status"] == "failed":
        yield f"last sync of one client's {resource} failed: {last['message']}"
    if whole["status"] == "lost":
        yield f"the last sync of {resource} is lost, as accepted: run `debitura sync --full`"
    if good["sync_id"] is not None and not good["is_proven"]:
        yield f"{resource} are not proven: {good['message'] or 'the sync predates the recording of proofs'}"


def _waiting_to_sign(rows: RunQuery) -> dict[str, Any]:
    """The number of clients that never signed, and the one waiting longest. Instants are the API's."""
    found = rows(
        "SELECT external_tenant_id, first_seen_at FROM ops.onboarding WHERE state = 'waiting_for_signature' "
        "ORDER BY first_seen_at, external_tenant_id"
    )
    tenant, since = found[0] if found else (None, None)
    return {"count": len(found), "longest_tenant_id": tenant, "longest_since": _plain(since)}


def _last(rows: RunQuery, resource: str, condition: str = "") -> dict[str, Any]:
    """The newest row of `ops.syncs`; all values are None if there is none."""
    names = (*ATTEMPT, "is_proven")
    found = rows(
        f"SELECT {', '.join(names)} FROM ops.syncs WHERE resource = $1 {condition} "
        "ORDER BY as_of DESC, finished_at DESC LIMIT 1",  # `as_of` increases from sync to sync, whatever the clocks do
        (resource,),
    )
    return dict(zip(names, found[0] if found else (None,) * len(names), strict=True))


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


_MUST_SIGN_AGAIN = (
    "SELECT external_tenant_id FROM ops.onboarding WHERE state = 'must_sign_again' ORDER BY external_tenant_id"
)
_WHOLE = "AND coalesce(mode, '') <> 'client'"
_GOOD = f"{_WHOLE} AND status = 'done'"
_DIFFERING = """
    SELECT count(*) FROM ops.control_totals
    WHERE verdict = 'differs'
        AND sync_id IN (SELECT s.sync_id FROM ops.syncs AS s WHERE s.status = 'done' AND s.mode <> 'client'
            AND s.as_of = (SELECT max(as_of) FROM ops.syncs AS o
                WHERE o.resource = s.resource AND o.status = 'done' AND o.mode <> 'client'))"""
