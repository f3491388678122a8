"""What Dagster loads: lineage without a gap, order, pools, switches that are on."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest
import yaml

from debitura_pipeline.definitions import defs
from debitura_pipeline.orchestration.jobs import NIGHTLY, ONBOARD
from debitura_pipeline.orchestration.keys import GAPS, LISTING, ONBOARDING, PARTNER_REPORT, PUBLISHED, RAW
from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.orchestration.pools import API_POOL, POOLS, WAREHOUSE_POOL
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


def test_schedule_and_sensor_are_on_from_the_start() -> None:
    schedule = defs.resolve_schedule_def("nightly_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    sensor = defs.resolve_sensor_def("new_clients")
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
        assert resource.config_schema.as_field().config_type.fields == {}  # type: ignore[union-attr]


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
        "heavy = {'dbt.cli.main', 'pandas', 'altair', 'duckdb_engine', 'dagster_webserver'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
