"""The nightly job as `debitura nightly` runs it: in this process, on a real instance, against a real sandbox."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.storage.tags import MAX_RETRIES_TAG

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.heartbeat_storage import FILE as HEARTBEATS
from debitura_pipeline.orchestration.heartbeat_storage import TABLE
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.jobs import FRESHNESS, NIGHTLY, REFRESH_REPORTS
from debitura_pipeline.orchestration.keys import RAW, WAREHOUSE_POOL
from debitura_pipeline.orchestration.nightly import NightlyResult, StepOutcome, run_job
from debitura_pipeline.orchestration.nightly_runs import last_nights
from debitura_pipeline.orchestration.nights import COMMAND, DAGSTER, read_nights
from debitura_pipeline.orchestration.refresh_reports import read_refresh_progress, reason_to_wait
from debitura_pipeline.orchestration.resources import run_context
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse import checks
from debitura_pipeline.warehouse.published_folder import NIGHT_FILE, current_night
from tests.orchestration.conftest import Pointed
from tests.orchestration.ticks import Ticks
from tests.support.parsed import TOOK_UP_NONE, reuse_parse
from tests.support.sandbox import ROOT, RunningSandbox, start_sandbox

CHAIN = ["raw__clients", "raw__cases", "raw__transactions", "checks_of_transactions", "dbt_build"]
END = ["reports__partner_report", "published__warehouse"]


@dataclass
class Night:
    """One run, and what was heard of it while it ran."""

    sandbox: RunningSandbox
    env: dict[str, str]
    settings: Settings
    result: NightlyResult
    heard: list[StepOutcome]
    pages: int


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    sandbox = start_sandbox(clients=4, cases=60, transactions=150, seed=11, no_rate_limit=True)
    env = {
        "DEBITURA_API_URL": sandbox.url,
        "DEBITURA_API_KEY": sandbox.key,
        "DEBITURA_DATA_DIR": str(tmp_path_factory.mktemp("night") / "data"),
        "DEBITURA_REQUESTS_PER_MINUTE": "1000000",
    }
    settings, heard, pages = load_settings(env), list[StepOutcome](), list[int]()
    reuse_parse(settings)
    result = run_job(settings, on_step=heard.append, on_progress=lambda state: pages.append(state.pages))
    yield Night(sandbox, env, settings, result, heard, len(pages))
    sandbox.stop()


def test_the_job_goes_from_the_api_to_the_published_copy_in_order(night: Night) -> None:
    assert night.result.success, night.result.error
    done = [outcome.name for outcome in night.heard if outcome.state == "done"]
    assert [name for name in done if name in CHAIN + END] == CHAIN + END
    assert {outcome.state for outcome in night.result.steps} == {"done"}
    assert night.pages > 0, "progress was told"
    assert TOOK_UP_NONE not in (night.settings.dagster_home / "dbt" / "dbt.log").read_text()


def test_the_result_carries_what_the_closing_summary_says(night: Night) -> None:
    reports = {report.resource: report for report in night.result.reports}
    assert list(reports) == ["clients", "cases", "transactions"]
    assert {name: report.inserted for name, report in reports.items()} == {
        name: len(night.sandbox.truth(name)) for name in reports
    }
    odd = "rows in none of the API's stages, so no total holds them"
    assert [
        report.message for report in reports.values() if not report.is_proven and odd not in str(report.message)
    ] == []
    assert reports["clients"].is_proven
    assert reports["cases"].is_proven
    assert night.result.checks > 20, "dbt's tests among them"
    metadata = night.result.metadata
    assert metadata["raw/cases"]["verified_windows"]
    assert Path(str(metadata["published/warehouse"]["file"])).exists()
    assert Path(str(metadata["reports/partner_report"]["page"])).exists()
    assert [check for check in night.result.failed_checks if check.is_blocking] == []


def test_the_published_copy_holds_the_reports(night: Night) -> None:
    with duckdb.connect(str(night.settings.published_dir / "warehouse.duckdb"), read_only=True) as copy:
        (clients,) = copy.execute(
            "SELECT count(*) FROM marts.dim_clients WHERE client_record <> 'unknown'"
        ).fetchone() or (0,)
    assert clients == len(night.sandbox.truth("clients"))


def test_the_published_copy_answers_as_of_an_instant_also_where_it_is_attached(night: Night) -> None:
    file = night.settings.published_dir / "warehouse.duckdb"
    with duckdb.connect() as tool:
        tool.execute(f"ATTACH '{file}' AS deb (READ_ONLY)")
        (mart,) = tool.execute("SELECT count(*) FROM deb.marts.fct_transactions").fetchone() or (0,)
        by_name = "deb.marts.transactions_as_of_in(now(), 'deb')"
        (named,) = tool.sql(f"SELECT count(*) FROM {by_name}").fetchone() or (0,)
        tool.execute("USE deb")
        (known,) = tool.execute("SELECT count(*) FROM marts.transactions_as_of(now())").fetchone() or (0,)
    assert mart == named == known > 0


def test_nothing_secret_or_personal_reaches_dagsters_storage(night: Night) -> None:
    """Event storage is copied, shown in a browser and kept for years."""
    needles = [night.sandbox.key, *night.sandbox.personal()]
    wanted = [needle.encode() for needle in needles if len(needle) > 6]
    files = [path for path in night.settings.dagster_home.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [needle for needle in wanted if needle in content], path


def test_the_night_is_on_record_as_done_with_what_is_not_proven(night: Night) -> None:
    entry = next(entry for entry in read_nights(night.settings.data_dir) if entry.run_id == night.result.run_id)
    unproven = [report for report in night.result.reports if not report.is_proven]
    assert (entry.outcome, entry.started_by, entry.is_proven) == ("done", COMMAND, not unproven)
    assert all(str(report.message) in str(entry.reason) for report in unproven)


def test_progress_of_dbt_is_told_model_by_model(night: Night) -> None:
    told = [(step.made, step.planned) for step in night.heard if (step.name, step.state) == ("dbt_build", "going")]
    assert told == [(made, len(told)) for made in range(1, len(told) + 1)]
    assert len(told) > 20


def test_the_morning_check_looks_at_what_is_published(night: Night) -> None:
    """A night that dies in dbt has read everything, and analysts have yesterday's figures."""
    current = current_night(night.settings.published_dir)
    assert current is not None
    facts = json.loads((current.path / NIGHT_FILE).read_text())
    old = {**facts, "published_at": (current.published_at - timedelta(hours=27)).isoformat()}
    for told, stale in ((facts, set()), (old, {"published/warehouse"})):
        (current.path / NIGHT_FILE).write_text(json.dumps(told))
        with open_instance(night.settings) as instance, run_context(night.settings):
            outcome = defs.resolve_job_def(FRESHNESS).execute_in_process(instance=instance)
        found = outcome.get_asset_check_evaluations()
        assert len(found) == 5
        assert {check.asset_key.to_user_string() for check in found if not check.passed} == stale
    (current.path / NIGHT_FILE).write_text(json.dumps(facts))


def published_clients(settings: Settings) -> list[str]:
    with duckdb.connect(settings.published_dir / "warehouse.duckdb", read_only=True) as published:
        found = published.execute(
            "SELECT external_tenant_id FROM marts.dim_clients WHERE client_record <> 'unknown' ORDER BY 1"
        ).fetchall()
        return [name for (name,) in found]


def test_a_client_that_was_onboarded_after_the_night_reaches_the_published_copy(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in night.env.items():
        monkeypatch.setenv(name, value)
    before, later = published_clients(night.settings), datetime.now(UTC) + timedelta(minutes=5)
    all_published = "everything that was loaded is published"
    with open_instance(night.settings) as instance:
        daemon = Ticks(instance, night.settings, monkeypatch)
        assert reason_to_wait(read_refresh_progress(instance), later) == all_published
        night.sandbox.admin("change", {"op": "add_client", "cases": 3, "transactions": 4})
        keys, _ = daemon.tick()
        assert daemon.run(*keys).success
        assert published_clients(night.settings) == before
        assert reason_to_wait(read_refresh_progress(instance), later) is None
        refresh = defs.resolve_job_def(REFRESH_REPORTS)
        assert refresh.execute_in_process(instance=instance, raise_on_error=False).success
        assert len(published_clients(night.settings)) == len(before) + 1
        assert reason_to_wait(read_refresh_progress(instance), later) == all_published


def test_no_pool_slot_no_file_handle_and_no_heartbeat_outlives_the_run(night: Night) -> None:
    with open_instance(night.settings) as instance:
        assert instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count == 0
    with duckdb.connect(str(night.settings.warehouse.path)) as warehouse:
        warehouse.execute("SELECT 1")
    with closing(sqlite3.connect(f"file:{night.settings.dagster_home / HEARTBEATS}?mode=ro", uri=True)) as heartbeats:
        assert heartbeats.execute(f"SELECT run_id FROM {TABLE}").fetchall() == []


def test_a_blocking_check_that_fails_keeps_a_wrong_number_from_being_published(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current_night(night.settings.published_dir)
    wrong = checks.CheckResult(False, "the API says 12.00, the warehouse 11.00")
    monkeypatch.setattr(checks, "control_totals", lambda resource, rows: wrong)
    result = run_job(night.settings)
    assert not result.success
    states = {outcome.name: outcome.state for outcome in result.steps}
    assert states["raw__transactions"] == "done"
    assert states["checks_of_transactions"] == "failed"
    assert "done" not in {states.get(name) for name in ["dbt_build", *END]}
    assert [check.asset for check in result.failed_checks if check.is_blocking] == ["raw/transactions"]
    assert {check.asset for check in result.failed_checks} == {"raw/clients", "raw/cases", "raw/transactions"}
    assert before is not None and current_night(night.settings.published_dir) == before
    entry = read_nights(night.settings.data_dir)[-1]
    assert (entry.run_id, entry.outcome) == (result.run_id, "failed")
    assert entry.reason == "step checks_of_transactions: a blocking check failed"


def test_an_api_that_refuses_the_key_ends_the_run_with_one_clear_line(night: Night) -> None:
    night.sandbox.faults({"kind": "status", "status": 401, "times": 0})
    try:
        result = run_job(night.settings)
    finally:
        night.sandbox.faults()
    assert not result.success
    assert result.error is not None
    assert result.error.startswith("Reading the partner's own record failed: HTTP 401 on GET /me")
    assert result.error.endswith("The key is refused; check DEBITURA_API_KEY. Not retried.")
    assert night.sandbox.key not in result.error
    entry = read_nights(night.settings.data_dir)[-1]
    assert (entry.run_id, entry.outcome, entry.reason) == (result.run_id, "failed", result.error)
    with open_instance(night.settings) as instance:
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[MAX_RETRIES_TAG] == "0", "the daemon would only be refused three times more"


def test_a_night_of_the_daemons_is_on_record_too(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in night.env.items():
        monkeypatch.setenv(name, value)
    night.sandbox.faults({"kind": "status", "status": 401, "times": 0})
    with open_instance(night.settings) as instance:
        outcome = defs.resolve_job_def(NIGHTLY).execute_in_process(instance=instance, raise_on_error=False)
    night.sandbox.faults()
    entry = read_nights(night.settings.data_dir)[-1]
    assert (entry.run_id, entry.outcome, entry.started_by) == (outcome.run_id, "failed", DAGSTER)
    assert "HTTP 401 on GET /me" in str(entry.reason)


def test_a_bad_row_fails_a_check_and_neither_the_load_nor_the_run(
    sandbox_factory: Callable[..., RunningSandbox], point_at: Pointed
) -> None:
    """One broken row must not hide a thousand good ones; nor must it go unseen."""
    sandbox = sandbox_factory(clients=2, cases=30, transactions=30)
    settings = point_at(sandbox)
    sandbox.faults({"kind": "bad_row", "how": "bad_amount", "path": "/cases", "times": 0})
    with open_instance(settings) as instance:
        job = defs.resolve_job_def(NIGHTLY)
        outcome = job.execute_in_process(
            instance=instance, asset_selection=[RAW["clients"], RAW["cases"]], raise_on_error=False
        )
    assert outcome.success
    failed = {check.check_name: check for check in outcome.get_asset_check_evaluations() if not check.passed}
    assert "quarantine_empty" in failed
    assert failed["completeness"].severity is dg.AssetCheckSeverity.WARN, "not proven, and nothing speaks against it"
    assert "1 row in quarantine is not counted" in str(failed["completeness"].description)


@pytest.mark.slow
def test_a_run_that_was_killed_neither_stays_on_nor_keeps_the_next_one_waiting(
    sandbox_factory: Callable[..., RunningSandbox], point_at: Pointed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed run holds the warehouse's only slot: the next night would wait for it until somebody looked."""
    sandbox = sandbox_factory(clients=2, cases=20, transactions=20)
    settings = point_at(sandbox)
    sandbox.faults({"kind": "stall", "path": "/cases", "times": 0, "delay_s": 600})
    code = (
        "from debitura_pipeline.orchestration.nightly import run_job\n"
        "from debitura_pipeline.settings import load_settings\n"
        "run_job(load_settings(), on_step=lambda step: print(step.name, flush=True))\n"
    )
    victim = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert victim.stdout is not None
    assert any(line.strip() == b"raw__cases" for line in victim.stdout)
    victim.kill()
    victim.wait()
    victim.stdout.close()
    sandbox.faults()
    enough = checks.CheckResult(False, "far enough for this test")
    monkeypatch.setattr(checks, "control_totals", lambda resource, rows: enough)
    result = run_job(settings)
    assert [report.rows_read for report in result.reports] == [2, 20, 20]
    with open_instance(settings) as instance:
        statuses = [record.dagster_run.status.value for record in instance.get_run_records()]
    assert [night.status for night in last_nights(read_nights(settings.data_dir), [], None, 5)] == ["failed", "killed"]
    assert statuses == ["FAILURE", "FAILURE"], "neither is on any more"
