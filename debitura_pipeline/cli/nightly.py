"""Output of `debitura nightly`: each step as it ends, then a summary. The job itself is run by `orchestration/nightly.py`."""

from __future__ import annotations

from functools import partial
from typing import Any

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.progress import ProgressDisplay, progress_display
from debitura_pipeline.cli.tables import sync_table, worth_showing
from debitura_pipeline.orchestration.nightly import DONE, FAILED, GOING, STARTED, NightlyResult, StepOutcome, run_job
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import describe_warehouse
from debitura_pipeline.warehouse.publish import readers_have
from debitura_pipeline.warehouse.published_folder import SPREADSHEET, WAREHOUSE, PublishedNight, current_night

SUCCESS, FAILURE = 0, 1
SHOWN_CHECKS = 12  # failed checks listed individually; the UI shows the rest


def run_nightly(settings: Settings, *, advance: bool) -> int:
    """Run the job once, print its progress and summary, and return the exit status: SUCCESS or FAILURE.

    `advance`: let the embedded sandbox advance by a day, except before its first run.
    """
    has_state = (settings.data_dir / "sandbox" / "state.json").exists()
    days = 1 if advance and has_state and settings.uses_embedded_sandbox else 0
    before = current_night(settings.published_dir)
    console.say(f"Nightly run against {_api_name(settings)}, into {describe_warehouse(settings)}")
    with progress_display() as progress:
        on_step = partial(_show_step, progress)
        result = run_job(settings, advance_days=days, on_step=on_step, on_progress=progress, on_wait=console.say)
    is_consistent = _summarise(settings, result, before)
    json_document.give(**_facts(settings, result, before))
    return SUCCESS if result.success and is_consistent else FAILURE


def _show_step(progress: ProgressDisplay, step: StepOutcome) -> None:
    name = step.name.replace("__", "/")
    if step.state == STARTED:
        progress.began(name)
    elif step.state == GOING:
        progress.built(name, step.made, step.planned)
    else:
        progress.ended(name)
    _print_step(step)


def _print_step(step: StepOutcome) -> None:
    if step.state in (DONE, FAILED):
        mark = "done" if step.state == DONE else "FAILED"
        console.say(f"{mark:<7}{step.name.replace('__', '/'):<36}{step.duration_s:6.1f} s")


def _summarise(settings: Settings, result: NightlyResult, before: PublishedNight | None) -> bool:
    """Print the summary. False if a total of the API contradicts the merged rows."""
    console.say()
    is_consistent = True
    if result.reports:
        console.show(sync_table(result.reports))
        requests, rows = (sum(getattr(r, name) for r in result.reports) for name in ("requests", "rows_read"))
        totals = console.totals_line([total for report in result.reports for total in report.control_totals])
        console.say(f"\n{requests:,} requests, {rows:,} rows read; control totals: {totals}")
        is_consistent = console.report_proof(result.reports)
    failed = result.failed_checks
    console.say(f"{result.checks} checks, {len(failed)} failed" + (":" if failed else ""))
    for check in failed[:SHOWN_CHECKS]:
        blocking = ", blocks publishing" if check.is_blocking and check.severity == "ERROR" else ""
        why = " ".join(check.description.split()) or "see reports.data_quality"
        console.say(f"  {check.severity.lower():<6}{check.asset} {check.name}{blocking}: {why}")
    if len(failed) > SHOWN_CHECKS:
        console.say(f"  and {len(failed) - SHOWN_CHECKS} more; `make dev` shows them all")
    if not result.success:
        why = result.error or "a blocking check failed"
        console.complain(f"The nightly run failed: {why}")
        json_document.fail(why)
        console.say(_published(settings, before))
        return is_consistent
    console.say()
    console.conclude(_published(settings, before))
    console.say(f"HTML report:            {settings.reports_dir / 'partner-report.html'}")
    if settings.uses_embedded_sandbox:
        console.say(console.SIMULATED)
    return is_consistent


def _facts(settings: Settings, result: NightlyResult, before: PublishedNight | None) -> dict[str, Any]:
    """The summary for `--json`."""
    night = current_night(settings.published_dir)
    return {
        "run_id": result.run_id,
        "is_simulated": settings.uses_embedded_sandbox,
        "syncs": [report.facts() for report in result.reports],
        "control_totals": [total for report in result.reports for total in worth_showing(report.control_totals)],
        "steps": [
            {"name": step.name, "status": step.state, "duration_s": round(step.duration_s, 3), "error": step.error}
            for step in result.steps
        ],
        "checks": result.checks,
        "failed_checks": result.failed_checks,
        "has_published": night is not None and night != before,
        "published": night
        and {"file": settings.published_dir / WAREHOUSE, "as_of": night.as_of, "published_at": night.published_at},
        "report": settings.reports_dir / "partner-report.html",
    }


def _published(settings: Settings, before: PublishedNight | None) -> str:
    """What is published now. Read from the folder: a run may fail after publishing, or succeed without."""
    night = current_night(settings.published_dir)
    if night is None or night == before:
        return readers_have(settings.published_dir)
    path = settings.published_dir / WAREHOUSE
    as_of = f", as of {night.as_of:%Y-%m-%d %H:%M} UTC" if night.as_of else ""
    return f"Published for analysts: {path} (and {SPREADSHEET}, one Parquet file per table){as_of}"


def _api_name(settings: Settings) -> str:
    return settings.api_url or "the embedded sandbox"
