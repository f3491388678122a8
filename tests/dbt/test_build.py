"""The dbt project on DuckDB: it builds on nothing, on a small world and again, and leaves exact, described tables."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import yaml

from debitura_pipeline.report import write_report
from debitura_pipeline.settings import load_settings
from tests.dbt.worlds import PROJECT, STATUSES, World, at_stage, night

MODELS = {
    "marts": {"dim_clients", "dim_dates", "fct_cases", "fct_transactions", "fct_stage_changes", "fct_case_changes"},
    "reports": {
        "attribution_by_client", "attribution_gaps", "revenue_by_month", "revenue_by_client", "revenue_pipeline",
        "payout_reconciliation", "case_outcomes", "data_quality", "onboarding_funnel", "recovery_rates",
        "revenue_forecast", "forecast_backtest", "recovery_vintage",
        "payment_calendar", "receivables_by_collection_partner", "invoice_draft",
        "revenue_summary", "stage_waterfall", "what_changed",
    },
}  # fmt: skip


def test_empty_warehouse_builds_and_reports_nothing(empty: World) -> None:
    for report in MODELS["reports"] - {"data_quality", "payout_reconciliation"}:
        assert empty.rows(f"SELECT count(*) FROM reports.{report}") == [(0,)], report
    assert {row["verdict"] for row in empty.records("reports.payout_reconciliation")} == {"unproven"}
    quality = {row["check_name"]: row for row in empty.records("reports.data_quality")}
    assert {name for name, row in quality.items() if row["verdict"] == "ok"} == {"simulated_data"}
    assert {row["verdict"] for row in quality.values()} == {"ok", "warn", "not_checked"}
    assert (quality["attribution_gaps"]["verdict"], quality["attribution_gaps"]["figure"]) == ("not_checked", None)


def test_every_report_gives_what_was_worked_out_by_hand(empty: World) -> None:
    """dbt's unit tests: rows that are given, rows that are expected."""
    results = empty.build("--select", "test_type:unit", command="test")
    assert len(results) >= len(MODELS["marts"]) + len(MODELS["reports"])


def test_page_of_an_empty_warehouse_finds_nothing_in_order(empty: World, tmp_path: Path) -> None:
    """The tables are dbt's own here: nothing was read, so nothing is equal, complete, none or in order."""
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)}, root=tmp_path)
    assert settings.warehouse.path is not None
    settings.warehouse.path.write_bytes(empty.path.read_bytes())
    text = write_report(settings).path.read_text()
    assert "Not compared yet" in text and text.count("Not read yet") >= 3
    for claim in ("No fee", "No findings", "none seems", "on its way", "Nothing is ready", "Nothing changed", ">Equal"):
        assert claim not in text, claim


def test_schemas_hold_what_the_interface_names(empty: World) -> None:
    for schema, names in MODELS.items():
        found = empty.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = ?", [schema])
        assert {name for (name,) in found} == names
    schemas = {name for (name,) in empty.rows("SELECT DISTINCT table_schema FROM information_schema.tables")}
    assert schemas == {"raw", "ops", "staging", "marts", "reports"}


def test_no_amount_is_a_float(empty: World) -> None:
    floats = empty.rows(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns "
        "WHERE table_schema IN ('marts', 'reports') AND data_type IN ('DOUBLE', 'FLOAT', 'REAL', 'JSON')"
    )
    assert floats == []


def test_rates_times_amounts_do_not_overflow(empty: World) -> None:
    """DuckDB multiplies two decimals of up to 18 digits within 18 digits: 40 percent of 300 million would fail."""
    found = empty.rows(
        "SELECT table_name || '.' || column_name, data_type FROM information_schema.columns "
        "WHERE table_schema IN ('marts', 'reports') AND data_type LIKE 'DECIMAL%'"
    )
    rates = {name: kind for name, kind in found if re.search("[._](pct|rate|share)(_|$)", name)}
    assert {kind for name, kind in found if name not in rates} == {"DECIMAL(18,4)", "DECIMAL(28,4)"}
    assert "DECIMAL(28,10)" in rates.values()
    for kind in set(rates.values()):
        for amount in ("DECIMAL(18,4)", "DECIMAL(28,4)"):
            product = f"CAST(40 AS {kind}) * CAST(300000000 AS {amount})"
            assert empty.rows(f"SELECT {product} = 12000000000") == [(True,)], rates


def test_every_mart_and_report_has_grain_contract_and_unit_test() -> None:
    """A table that nobody described or tested by hand would be published all the same."""
    for layer, names in MODELS.items():
        files = {path.stem: yaml.safe_load(path.read_text()) for path in (PROJECT / "models" / layer).glob("*.yml")}
        assert files.keys() == names
        for name, file in files.items():
            (model,) = file["models"]
            assert (model["name"], {test["model"] for test in file["unit_tests"]}) == (name, {name})
            assert model["description"].startswith("One row per ")
            assert all(column["description"] and column["data_type"] for column in model["columns"])
    settings = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["models"]["debitura"]
    assert settings["marts"]["+contract"] == settings["reports"]["+contract"] == {"enforced": True}


def test_views_work_in_a_copy_under_another_name(empty: World, tmp_path: Path) -> None:
    """The published file may be called otherwise; a view that names its database would break there."""
    copy = World(tmp_path / "other_name.duckdb")
    copy.path.write_bytes(empty.path.read_bytes())
    views = copy.rows("SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'VIEW'")
    assert len(views) > 5
    for schema, name in views:
        copy.rows(f"SELECT count(*) FROM {schema}.{name}")
    assert copy.rows("SELECT count(*) FROM marts.transactions_as_of('2026-03-01 02:00:00+00')") == [(0,)]


def changing_world(path: Path, *, without: str | None = None) -> World:
    """A transaction that comes to each stage but `without`, and a case that is closed."""
    world = World(path)
    world.sync(night(5))
    world.mode((0, "PayWhenPaid"))
    world.add("clients", "client-1")
    world.add("cases", "case-1", (0, {}), (2, {"lifecycle": "Closed", "close_code": "Paid", "remainder": "0"}))
    for number, stage in enumerate(stage for stage in STATUSES if stage != without):
        world.add("transactions", f"t{number}", (0, at_stage("Pending", "30")), (3, at_stage(stage)), last=5)
    world.add("transactions", "late", (2, at_stage("Pending", "7")), last=5)
    return world


def test_incremental_build_equals_a_full_refresh(tmp_path: Path) -> None:
    """Changes found night by night must be those that history shows as a whole; else the waterfall would not close."""
    world = changing_world(tmp_path / "warehouse.duckdb")
    world.build("--select", "+fct_stage_changes", "+fct_case_changes", command="run")
    # A later night: an estimate floats, a stage moves, a row goes, a case opens again, the mode changes.
    with world.connect() as connection:
        connection.execute("UPDATE raw.transactions SET referral_fee_usd = 7.77 WHERE transaction_id = 'late'")
        connection.execute("UPDATE raw.transactions SET _deleted_at = ? WHERE transaction_id = 't0'", [night(6)])
        connection.execute(
            "INSERT INTO raw.cases_superseded BY NAME SELECT *, _changed_at AS _valid_from, ? AS _valid_to FROM raw.cases "
            "WHERE lifecycle = 'Closed'",
            [night(6)],
        )
        connection.execute(
            "UPDATE raw.cases SET lifecycle = 'Active', close_code = NULL, _changed_at = ? WHERE lifecycle = 'Closed'",
            [night(6)],
        )
        connection.execute("UPDATE raw.partner_history SET _valid_to = ?", [night(6)])
    world.insert("raw.partner_history", {"invoicing_trigger_mode": "ConfirmedPipeline", "_valid_from": night(6)})
    world.add("transactions", "new", (6, at_stage("Pending", "1")))
    world.build("--select", "+fct_stage_changes", "+fct_case_changes", command="run")
    nightly = world.records("marts.fct_stage_changes"), world.records("marts.fct_case_changes")
    world.build("--select", "+fct_stage_changes", "+fct_case_changes", "--full-refresh", command="run")
    assert (world.records("marts.fct_stage_changes"), world.records("marts.fct_case_changes")) == nightly
    kinds = {row["transaction_id"]: row["kind"] for row in nightly[0] if row["not_after"] == night(6)}
    assert kinds == {"t0": "gone", "t1": "restated", "t2": "restated", "new": "appeared"}
    assert any(row["is_reopening"] for row in nightly[1])


def test_second_build_changes_nothing_and_gives_no_warning_or_deprecation(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = changing_world(tmp_path / "warehouse.duckdb", without="Unclassified")  # of which a test warns
    world.build(command="run")
    tables = [f"{schema}.{name}" for schema, names in MODELS.items() for name in sorted(names)]
    before = {table: world.records(table) for table in tables}
    results = world.build("--no-partial-parse", "--exclude-resource-type", "unit_test", quiet=False)
    assert {table: world.records(table) for table in tables} == before
    logging.shutdown()
    said = capfd.readouterr().out
    assert "Done. PASS=" in said
    assert "WARN=0 ERROR=0" in said
    assert "WARNING" not in said.upper()
    assert "DEPRECAT" not in said.upper()
    assert {str(result.status) for result in results} <= {"success", "pass", "no-op"}  # nothing is done for an exposure
