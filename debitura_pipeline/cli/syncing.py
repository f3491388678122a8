"""`debitura sync` for people and programs: what was read and merged, or what would be.

Belongs here: the words. Does not: syncing (`sync/`). Called by `cli.py`, which has the run lock.
"""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.progress import shown_progress
from debitura_pipeline.cli.tables import plan_table, sync_table, worth_telling
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import foresee, sync
from debitura_pipeline.warehouse.identity import check_identity


def run(settings: Settings, resources: Sequence[str], *, full: bool, allow_shrink: bool) -> bool:
    """Sync, and tell what came of it; whether no total of the API contradicts it."""
    check_identity(settings, with_warehouse=False)  # before an embedded sandbox moves in
    with open_endpoint(settings) as endpoint, shown_progress() as progress:
        reports = sync(settings, endpoint, resources, full=full, allow_shrink=allow_shrink, progress=progress)
    console.show(sync_table(reports))
    totals = [total for report in reports for total in worth_telling(report.control_totals)]
    json_document.give(
        is_simulated=settings.uses_embedded_sandbox, syncs=[report.facts() for report in reports], control_totals=totals
    )
    is_held = console.tell_proof(reports)
    if console.is_quiet():
        requests, rows = (sum(getattr(report, name) for report in reports) for name in ("requests", "rows_read"))
        console.conclude(f"{requests:,} requests, {rows:,} rows read")
    return is_held


def tell_plan(settings: Settings, resources: Sequence[str], *, full: bool) -> None:
    """What a sync would read and how many requests that takes."""
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint:
        foreseen = foresee(settings, endpoint, resources, full=full)
    console.show(plan_table(foreseen))
    plans = [
        {
            "resource": resource,
            "mode": plan.mode,
            "requests": forecast.requests,
            "parts": [{"what": what, "requests": round(cost, 1)} for what, cost in forecast.parts],
        }
        for resource, plan, forecast in foreseen
    ]
    json_document.give(plans=plans)
