"""What is done beside syncing: rebuild from the landing zone, check certificates, ask the API for its totals, say how it stands.

Belongs here: the bodies of `debitura replay`, `verify`, `reconcile` and `status`. Does not: printing them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from debitura_pipeline.api.connect import Tools, open_client
from debitura_pipeline.api.listings import LISTINGS, Query
from debitura_pipeline.extract.certificate import Finding, verify_landing
from debitura_pipeline.extract.control import control_totals, per_client_totals
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.extract.locate import Locator
from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.landing.shape import Shaper
from debitura_pipeline.landing.store import folders
from debitura_pipeline.landing.tenants import TenantBook
from debitura_pipeline.settings import Endpoint, Settings
from debitura_pipeline.sync.landed import landed_from
from debitura_pipeline.sync.run import RESOURCES, read_partner
from debitura_pipeline.warehouse.open import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_run


def replay(settings: Settings) -> dict[str, int]:
    """Rebuild `raw` from every merged sync of the landing zone, in one transaction; live rows per resource."""
    with exclusive_run(settings, "replay"), open_warehouse(settings) as warehouse:
        warehouse.prepare()
        warehouse.replay(landed_from(folder) for folder in folders(settings.landing_dir) if folder.is_merged)
        return {
            resource: warehouse.rows(f"SELECT count(*) FROM raw.{resource} WHERE _deleted_at IS NULL")[0][0]
            for resource in RESOURCES
        }


def verify(settings: Settings, sync_id: str | None = None) -> list[Finding]:
    """The certificates of all finished syncs, or of one, checked against the landed files; no network."""
    return list(verify_landing(settings.landing_dir, sync_id))


def reconcile(settings: Settings, endpoint: Endpoint, tools: Tools | None = None) -> list[ControlTotal]:
    """The API's totals as they are now beside the warehouse's; nothing is written.

    Four requests, and where cases or transactions differ, more: each difference is followed to its window and client.
    """
    return asyncio.run(_reconcile(settings, endpoint, tools or Tools()))


async def _reconcile(settings: Settings, endpoint: Endpoint, tools: Tools) -> list[ControlTotal]:
    async with open_client(settings, endpoint, tools) as client:
        mode, _ = await read_partner(client)
        with open_warehouse(settings, read_only=True) as warehouse:
            found = []
            upper = client.server_time or tools.now()
            for resource in RESOURCES:
                page = await client.page(Query(LISTINGS[resource]), 1)
                found += control_totals(resource, Totals.of(page.envelope), mode, warehouse.rows)
            found += per_client_totals(warehouse.rows)
            differing = {total.resource for total in found if total.verdict == "differs" and total.scope == "all"}
            with Shaper(settings.privacy, settings.obtain_privacy_key()) as shaper:
                client.translate = TenantBook(client, shaper.business_keys).query
                locator = Locator(client, shaper, warehouse.rows, mode, upper)
                for resource in sorted(differing - {"clients"}):
                    found += await locator.locate(resource)
    return found


def read_status(settings: Settings) -> dict[str, Any]:
    """Last sync and live rows per resource, freshness, and what is open; plain values, ready for JSON."""
    with open_warehouse(settings, read_only=True) as warehouse:
        resources = {resource: _resource_status(warehouse.rows, resource) for resource in RESOURCES}
        quarantined = warehouse.rows("SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL")[0][0]
        drift = warehouse.rows("SELECT count(*) FROM ops.schema_drift")[0][0]
        differing = warehouse.rows(_DIFFERING)[0][0]
    problems = [
        text
        for text in (
            f"{quarantined} rows in quarantine (ops.quarantine)" if quarantined else None,
            f"{differing} control totals differ (ops.control_totals)" if differing else None,
            *(
                f"last sync of {resource} failed: {status['message']}"
                for resource, status in resources.items()
                if status["status"] == "failed"
            ),
            *(f"{resource} were never synced" for resource, status in resources.items() if status["sync_id"] is None),
        )
        if text
    ]
    return {"resources": resources, "quarantined": quarantined, "drift": drift, "problems": problems}


def _resource_status(rows: Any, resource: str) -> dict[str, Any]:
    last = rows(
        "SELECT sync_id, mode, status, started_at, finished_at, requests, message FROM ops.syncs "
        "WHERE resource = $1 ORDER BY started_at DESC LIMIT 1",
        (resource,),
    )
    good = rows("SELECT max(upper_bound) FROM ops.syncs WHERE resource = $1 AND status = 'done'", (resource,))[0][0]
    live, gone = rows(f"SELECT count(*) - count(_deleted_at), count(_deleted_at) FROM raw.{resource}")[0]
    names = ("sync_id", "mode", "status", "started_at", "finished_at", "requests", "message")
    values = last[0] if last else (None,) * len(names)
    return {
        **{name: _plain(value) for name, value in zip(names, values, strict=True)},
        "as_of": _plain(good),
        "live_rows": live,
        "deleted_rows": gone,
    }


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


_DIFFERING = """
    SELECT count(*) FROM ops.control_totals
    WHERE verdict = 'differs'
        AND sync_id IN (SELECT max(sync_id) FROM ops.syncs WHERE status = 'done' AND mode <> 'client' GROUP BY resource)"""
