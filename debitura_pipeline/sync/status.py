"""How it stands: the body of `debitura status`. One reading of the warehouse; nothing is asked of the API.

Belongs here: which problems are open, and why. Does not: printing them (`console.py`), deciding what is proven (`judging.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.settings import Settings
from debitura_pipeline.sync.runner import RESOURCES
from debitura_pipeline.warehouse.base import RunQuery
from debitura_pipeline.warehouse.opening import WAIT_S, open_warehouse

ATTEMPT = ("sync_id", "mode", "status", "started_at", "finished_at", "requests", "message")


def read_status(settings: Settings, *, wait_s: float = WAIT_S) -> dict[str, Any]:
    """Last sync and live rows per resource, freshness, and what is open; plain values, ready for JSON.

    All of it is of readings of whole listings: a single client's says nothing of the rest. `is_proven` is of the last good
    one; None: there was none. Raises WarehouseBusy when another process holds the warehouse for longer than `wait_s`.
    """
    with open_warehouse(settings, read_only=True, wait_s=wait_s) as warehouse:
        resources = {resource: _of_resource(warehouse.rows, resource) for resource in RESOURCES}
        waiting = _waiting_to_sign(warehouse.rows)
        problems = [problem for resource in RESOURCES for problem in _problems_of(warehouse.rows, resource)]
        quarantined = warehouse.rows("SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL")[0][0]
        drift = warehouse.rows("SELECT count(*) FROM ops.schema_drift")[0][0]
        differing = warehouse.rows(_DIFFERING)[0][0]
    if differing:
        problems.insert(0, f"{differing} control totals differ (ops.control_totals)")
    if quarantined:
        problems.insert(0, f"{quarantined} rows in quarantine (ops.quarantine)")
    return {
        "resources": resources,
        "quarantined": quarantined,
        "drift": drift,
        "waiting_to_sign": waiting,
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
        yield f"the newest landing of {resource} is lost, which was accepted: run `debitura sync --full`"
    if good["sync_id"] is not None and not good["is_proven"]:
        yield f"{resource} are not proven: {good['message'] or 'the sync is from before proofs were judged'}"


def _waiting_to_sign(rows: RunQuery) -> dict[str, Any]:
    """How many clients have still to sign, and who has waited longest, by tenant id. Instants are the API's."""
    found = rows(
        "SELECT external_tenant_id, first_seen_at FROM ops.onboarding WHERE state = 'waiting_for_signature' "
        "ORDER BY first_seen_at, external_tenant_id"
    )
    tenant, since = found[0] if found else (None, None)
    return {"count": len(found), "longest_tenant_id": tenant, "longest_since": _plain(since)}


def _last(rows: RunQuery, resource: str, condition: str = "") -> dict[str, Any]:
    """The newest row of `ops.syncs`; every value None where there is none."""
    names = (*ATTEMPT, "is_proven")
    found = rows(
        f"SELECT {', '.join(names)} FROM ops.syncs WHERE resource = $1 {condition} "
        "ORDER BY as_of DESC, finished_at DESC LIMIT 1",  # goes up from sync to sync, whatever the clocks did
        (resource,),
    )
    return dict(zip(names, found[0] if found else (None,) * len(names), strict=True))


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


_WHOLE = "AND coalesce(mode, '') <> 'client'"
_GOOD = f"{_WHOLE} AND status = 'done'"
_DIFFERING = """
    SELECT count(*) FROM ops.control_totals
    WHERE verdict = 'differs'
        AND sync_id IN (SELECT s.sync_id FROM ops.syncs AS s WHERE s.status = 'done' AND s.mode <> 'client'
            AND s.as_of = (SELECT max(as_of) FROM ops.syncs AS o
                WHERE o.resource = s.resource AND o.status = 'done' AND o.mode <> 'client'))"""
