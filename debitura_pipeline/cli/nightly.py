"""`debitura nightly` for people: steps as they end, then what the night brought and where it lies.

Belongs here: the words. Does not: the job (`orchestration/`). Called by `cli.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from debitura_pipeline.cli import console, json_document
from debitura_pipeline.cli.progress import Shown, shown_progress
from debitura_pipeline.cli.tables import sync_table, worth_telling
from debitura_pipeline.orchestration.nightly import DONE, FAILED, GOING, STARTED, NightlyResult, StepOutcome, run_job
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import describe_warehouse
from debitura_pipeline.warehouse.publish import readers_have
from debitura_pipeline.warehouse.published_folder import WAREHOUSE, PublishedNight, current_night

SUCCESS, FAILURE = 0, 1
SHOWN_CHECKS = 12  # failed checks listed one by one; the rest is in the UI


def run_nightly(settings: Settings, *, advance: bool) -> int:
    """Run the job once; exit status. `advance`: the embedded sandbox's world goes a day on, but for its first night."""
    was_there = (settings.data_dir / "sandbox" / "state.json").exists()
    days = 1 if advance and was_there and settings.uses_embedded_sandbox else 0
    before = current_night(settings.published_dir)
    console.say(f"Nightly run against {_where(settings)}, into {describe_warehouse(settings)}")
    with shown_progress() as progress:
        heard = partial(_hear_step, progress)
        result = run_job(settings, advance_days=days, on_step=heard, on_progress=progress, on_wait=console.say)
    is_held = _summarise(settings, result, before)
    json_document.give(**_facts(settings, result, before))
    return SUCCESS if result.success and is_held else FAILURE


def _hear_step(progress: Shown, step: StepOutcome) -> None:
    name = step.name.replace("__", "/")
    if step.state == STARTED:
        progress.began(name)
    elif step.state == GOING:
        progress.built(name, step.made, step.planned)
    else:
        progress.ended(name)
    _tell_step(step)


def _tell_step(step: StepOutcome) -> None:
    if step.state in (DONE, FAILED):
        mark = "done" if step.state == DONE else "FAILED"
        console.say(f"{mark:<7}{step.name.replace('__', '/'):<36}{step.duration_s:6.1f} s")


def _summarise(settings: Settings, result: NightlyResult, before: PublishedNight | None) -> bool:
    """What the night brought; whether no total of the API contradicts it."""
    console.say()
    is_held = True
    if result.reports:
        console.show(sync_table(result.reports))
        requests, rows = (sum(getattr(r, name) for r in result.reports) for name in ("requests", "rows_read"))
        told = console.totals_line([total for report in result.reports for total in report.control_totals])
        console.say(f"\n{requests:,} requests, {rows:,} rows read; control totals: {told}")
        is_held = console.tell_proof(result.reports)
    failed = result.failed_checks
    console.say(f"{result.checks} checks, {len(failed)} not passed" + (":" if failed else ""))
    for check in failed[:SHOWN_CHECKS]:
        blocking = ", blocks publishing" if check.is_blocking and check.severity == "ERROR" else ""
        why = " ".join(check.description.split()) or "see reports.data_quality"
        console.say(f"  {check.severity.lower():<6}{check.asset} {check.name}{blocking}: {why}")
    if len(failed) > SHOWN_CHECKS:
        console.say(f"  and {len(failed) - SHOWN_CHECKS} more; `make dev` shows them all")
    if not result.success:
        why = result.error or "a blocking check did not pass"
        console.complain(f"The night failed: {why}")
        json_document.fail(why)
        console.say(_published(settings, before))
        return is_held
    console.say()
    console.conclude(_published(settings, before))
    console.say(f"Report for people:      {settings.reports_dir / 'partner-report.html'}")
    if settings.uses_embedded_sandbox:
        console.say(console.SIMULATED)
    return is_held


def _facts(settings: Settings, result: NightlyResult, before: PublishedNight | None) -> dict[str, Any]:
    """The same for `--json`."""
    night = current_night(settings.published_dir)
    return {
        "run_id": result.run_id,
        "is_simulated": settings.uses_embedded_sandbox,
        "syncs": [report.facts() for report in result.reports],
        "control_totals": [total for report in result.reports for total in worth_telling(report.control_totals)],
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
    """What analysts have now, and whether it is tonight's: asked of the folder, whatever became of the run."""
    night = current_night(settings.published_dir)
    if night is None or night == before:
        return readers_have(settings.published_dir)
    path = settings.published_dir / WAREHOUSE
    as_of = f", as of {night.as_of:%Y-%m-%d %H:%M} UTC" if night.as_of else ""
    return f"Published for analysts: {path} (and one Parquet file per table){as_of}"


def _where(settings: Settings) -> str:
    return settings.api_url or "the embedded sandbox"
