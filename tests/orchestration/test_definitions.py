"""What Dagster loads: lineage without a gap, order, pools, switches that are on."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.jobs import NIGHTLY, ONBOARD
from debitura_pipeline.orchestration.keys import (
    API_POOL,
    GAPS,
    LISTING,
    ONBOARDING,
    OPS,
    OPS_ONBOARDING,
    OWNERS,
    PARTNER_REPORT,
    POOLS,
    PUBLISHED,
    RAW,
    WAREHOUSE_POOL,
)
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.warehouse.tables import Columns, all_tables
from tests.support.sandbox import ROOT

GRAPH = defs.resolve_asset_graph()


def ancestors(key: dg.AssetKey) -> set[dg.AssetKey]:
    found: set[dg.AssetKey] = set()
    todo = [key]
    while todo:
        for parent in GRAPH.get(todo.pop()).parent_keys - found:
            found.add(parent)
            todo.append(parent)
    return found


@pytest.mark.parametrize("target", [PARTNER_REPORT, PUBLISHED])
def test_lineage_runs_from_every_listing_of_the_api(target: dg.AssetKey) -> None:
    assert {*LISTING.values(), *RAW.values()} <= ancestors(target)


@pytest.mark.parametrize(
    "name",
    [
        "attribution_by_client",
        "attribution_gaps",
        "revenue_by_month",
        "revenue_by_client",
        "revenue_pipeline",
        "payout_reconciliation",
        "case_outcomes",
        "data_quality",
        "onboarding_funnel",
        "recovery_rates",
        "payment_calendar",
        "receivables_by_collection_partner",
        "invoice_draft",
        "revenue_forecast",
        "forecast_backtest",
        "recovery_vintage",
    ],
)
def test_every_report_is_an_asset_that_comes_from_the_raw_tables(name: str) -> None:
    assert ancestors(dg.AssetKey(["reports", name])) & set(RAW.values())


def test_the_raw_tables_follow_one_another() -> None:
    """A case read before its client is a case of nobody."""
    assert RAW["clients"] in GRAPH.get(RAW["cases"]).parent_keys
    assert RAW["cases"] in GRAPH.get(RAW["transactions"]).parent_keys


def test_whatever_opens_the_warehouse_is_in_its_pool() -> None:
    """Two writers at once: one of them gets an error in the middle of the night."""
    for name in (NIGHTLY, ONBOARD):
        job = defs.resolve_job_def(name)
        pools = {node.name: node.definition.pools for node in job.nodes}
        outside = {step for step, found in pools.items() if found != {WAREHOUSE_POOL}}
        fresh = {f"raw__{resource}_freshness" for resource in RAW}
        fresh |= {"reports__partner_report_freshness", "published__warehouse_freshness"}
        assert outside <= fresh, "these read Dagster's own log, or what is published, alone"


def test_what_talks_to_the_api_alone_is_in_the_other_pool() -> None:
    assert set(POOLS) == {WAREHOUSE_POOL, API_POOL}
    for key in LISTING.values():
        node = GRAPH.get(key)
        assert node.is_observable
        assert node.assets_def.op.tags["dagster/concurrency_key"] == API_POOL


def test_only_what_would_publish_a_wrong_number_blocks() -> None:
    blocking = {
        (key.asset_key.path[-1], key.name)
        for key in GRAPH.asset_check_keys
        if key.asset_key in RAW.values() and GRAPH.get(key).blocking
    }
    keys = {(resource, "unique_keys") for resource in RAW}
    assert blocking == keys | {("transactions", "control_totals")}


def test_every_raw_table_has_all_its_checks() -> None:
    names = {"completeness", "control_totals", "unique_keys", "quarantine_empty", "schema_drift", "freshness"}
    for key in RAW.values():
        assert names <= {check.name for check in GRAPH.asset_check_keys if check.asset_key == key}
    assert "no_gaps" in {check.name for check in GRAPH.asset_check_keys if check.asset_key == GAPS}


def test_dbts_own_tests_are_checks_of_its_models() -> None:
    marts = [check for check in GRAPH.asset_check_keys if check.asset_key.path[0] == "marts"]
    assert len(marts) > 5


def test_schedule_and_sensors_are_on_from_the_start() -> None:
    schedule = defs.resolve_schedule_def("nightly_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    for name in ("new_clients", "watchdog"):
        sensor = defs.resolve_sensor_def(name)
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
        assert 30 <= (sensor.minimum_interval_seconds or 0) <= 60


def test_onboarding_is_partitioned_by_client_and_not_part_of_the_night() -> None:
    night = set(defs.resolve_job_def(NIGHTLY).asset_layer.executable_asset_keys)
    assert not night & set(ONBOARDING.values())
    assert {GRAPH.get(key).partitions_def.name for key in ONBOARDING.values()} == {"clients"}  # type: ignore[union-attr]


def test_no_job_takes_anything_from_its_configuration() -> None:
    """What is configuration is stored with each run and shown in the browser: a key must not be able to get there."""
    for name in (NIGHTLY, ONBOARD):
        resource = defs.resolve_job_def(name).resource_defs["debitura"]
        config_type: Any = resource.config_schema.as_field().config_type
        assert config_type.fields == {}


def test_every_asset_has_owners_and_kinds() -> None:
    for key in GRAPH.get_all_asset_keys():
        node = GRAPH.get(key)
        assert node.owners == OWNERS, key
        assert node.kinds, key


@pytest.mark.parametrize("key", [*RAW.values(), *OPS, OPS_ONBOARDING], ids=lambda key: key.to_user_string())
def test_tables_are_described_before_anything_has_run(key: dg.AssetKey) -> None:
    metadata = GRAPH.get(key).metadata
    assert metadata["dagster/table_name"] == f"warehouse.{'.'.join(key.path)}"
    schema = dict(all_columns())[tuple(key.path)]
    assert {(column.name, column.type) for column in metadata["dagster/column_schema"].columns} == {
        (name, sql_type.lower()) for name, sql_type in schema
    }


def test_kinds_and_table_names_are_those_of_the_engine() -> None:
    """Badges that say DuckDB on Postgres send whoever looks for a table to the wrong place."""
    code = (
        "from debitura_pipeline.definitions import defs; import dagster as dg; graph = defs.resolve_asset_graph(); "
        "print({(key.path[0], kind) for key in graph.get_all_asset_keys() for kind in graph.get(key).kinds & "
        "{'duckdb', 'postgres'}}, graph.get(dg.AssetKey(['marts', 'fct_cases'])).metadata['dagster/table_name'])"
    )
    env = {**os.environ, "DEBITURA_WAREHOUSE": "postgresql://user:p%40ss@127.0.0.1:1/a-name"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    assert "('raw', 'postgres')" in done.stdout
    assert "('marts', 'postgres')" in done.stdout
    assert "('published', 'duckdb')" in done.stdout, "the copy is a DuckDB file whatever the engine"
    assert done.stdout.count("duckdb") == 1
    assert done.stdout.strip().endswith("a-name.marts.fct_cases")


def test_the_project_table_of_dg_names_what_the_workspace_loads() -> None:
    """`dg check defs` and `dg list defs` refuse a project without it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]
    (loaded,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert project["directory_type"] == "project"
    assert project["project"] == {
        "root_module": "debitura_pipeline",
        "code_location_target_module": loaded["python_module"]["module_name"],
        "code_location_name": loaded["python_module"]["location_name"],
    }


def all_columns() -> list[tuple[tuple[str, ...], Columns]]:
    return [((schema, name), columns) for schema, name, columns in all_tables()]


def test_the_workspace_names_the_module_that_is_tested_here() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"]["module_name"] == "debitura_pipeline.definitions"


def test_a_process_that_loads_the_definitions_parses_nothing_and_imports_nothing_heavy() -> None:
    """Under `dagster dev` each run is such a process; a dbt parse in each would cost ten seconds a run."""
    obtain_manifest()
    code = (
        "import sys\n"
        "from debitura_pipeline.orchestration import manifest\n"
        "def refuse(*args): raise AssertionError('parsed')\n"
        "manifest._parse = refuse\n"
        "import debitura_pipeline.definitions\n"
        "heavy = {'dbt', 'pandas', 'altair', 'duckdb_engine', 'dagster_webserver'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_settings_are_read_once_a_tick_and_anew_for_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One resource lives as long as the code server does; what it has read must not."""
    resource, found = Debitura(), []
    for days in (5, 6):
        monkeypatch.setenv("DEBITURA_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("DEBITURA_REFRESH_DAYS", str(days))
        with dg.build_resources({"debitura": resource}) as resources:
            found.append(resources.debitura.settings.refresh_days)
            assert resources.debitura.settings is resources.debitura.settings
    assert found == [5, 6]


def test_assets_and_checks_are_the_same_whether_dbt_is_loaded_or_not() -> None:
    """dagster-dbt selects models in another way where it cannot import dbt; unit tests are checks in neither."""
    code = (
        "from debitura_pipeline.definitions import defs\n"
        "graph = defs.resolve_asset_graph()\n"
        "print(sorted(key.to_user_string() for key in graph.get_all_asset_keys()), sorted(map(str, graph.asset_check_keys)))\n"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", first + code], cwd=ROOT, check=True, timeout=120, capture_output=True
        ).stdout
        for first in ("", "import dbt.version\n")
    ]
    assert found[0] == found[1] and b"marts/fct_cases" in found[0]
