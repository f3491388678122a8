"""Output of `debitura sync` and `debitura sync --plan`. The sync itself is in `sync/`; the caller holds the run lock."""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline import notes
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.progress import progress_display
from debitura_pipeline.cli.tables import plan_table, sync_table, worth_showing
from debitura_pipeline.settings import Settings
from debitura_pipeline.sync import estimate, sync
from debitura_pipeline.warehouse.identity import check_identity


def run(settings: Settings, resources: Sequence[str], *, full: bool, allow_shrink: bool) -> bool:
    """Sync and print the result. False if a total of the API contradicts the merged rows. Raises DebituraError."""
    check_identity(settings, with_warehouse=False)  # before an embedded sandbox writes to the data directory
    with open_endpoint(settings) as endpoint, progress_display() as progress:
        reports = sync(settings, endpoint, resources, full=full, allow_shrink=allow_shrink, progress=progress)
    console.show(sync_table(reports))
    totals = [total for report in reports for total in worth_showing(report.control_totals)]
    json_document.give(
        is_simulated=settings.uses_embedded_sandbox, syncs=[report.facts() for report in reports], control_totals=totals
    )
    is_consistent = console.report_proof(reports)
    if notes.is_quiet():
        requests, rows = (sum(getattr(report, name) for report in reports) for name in ("requests", "rows_read"))
        console.conclude(f"{requests:,} requests, {rows:,} rows read")
    return is_consistent


def show_plan(settings: Settings, resources: Sequence[str], *, full: bool) -> None:
    """Print what a sync would read and how many requests that takes. Raises DebituraError."""
    check_identity(settings, with_warehouse=False)
    with open_endpoint(settings) as endpoint:
        estimates = estimate(settings, endpoint, resources, full=full)
    console.show(plan_table(estimates))
    plans = [
        {
            "resource": resource,
            "mode": plan.mode,
            "requests": cost.requests,
            "parts": [{"what": what, "requests": round(requests, 1)} for what, requests in cost.parts],
        }
        for resource, plan, cost in estimates
    ]
    json_document.give(plans=plans)
