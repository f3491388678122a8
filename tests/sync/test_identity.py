"""A data directory and a warehouse belong to one API, one partner, one privacy key; anything else is refused, untouched."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from debitura_pipeline.errors import IdentityRefused, SettingsError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.sync import reconcile, replay
from debitura_pipeline.sync.clients import WantedClient, sync_clients
from debitura_pipeline.sync.runner import estimate
from debitura_pipeline.warehouse.identity import IDENTITY_FILE, check_identity
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.command import debitura
from tests.support.day import engine_of_the_day
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

Factory = Callable[..., RunningSandbox]
ROW = "SELECT environment, host, partner, privacy_key FROM ops.identity"


def own_key(pipeline: Pipeline) -> Pipeline:
    """The same without DEBITURA_PRIVACY_KEY: the data directory makes its own."""
    del pipeline.env["DEBITURA_PRIVACY_KEY"]
    pipeline.settings = load_settings(pipeline.env)
    return pipeline


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "budget" not in path.name}


@pytest.fixture
def pipeline(sandbox_factory: Factory, tmp_path: Path, warehouse_env: dict[str, str]) -> Pipeline:
    return Pipeline(tmp_path / "data", sandbox_factory(cases=40, transactions=60), **warehouse_env)


def test_the_first_run_writes_down_whose_data_it_is(pipeline: Pipeline) -> None:
    pipeline.sync("clients")
    file = pipeline.settings.data_dir / IDENTITY_FILE
    kept = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert pipeline.rows(ROW) == [tuple(kept.values())]
    assert (kept["environment"], kept["host"]) == ("sandbox", "this machine")
    partner_id = pipeline.sandbox.get("/me")["id"]
    text = file.read_text()
    assert kept["partner"]
    assert partner_id not in text
    assert pipeline.env["DEBITURA_PRIVACY_KEY"] not in text
    before = file.read_bytes()
    pipeline.sync("clients")
    assert (file.read_bytes(), len(pipeline.rows(ROW))) == (before, 1)


@engine_of_the_day("postgresql")
def test_a_simulated_api_may_have_another_port_each_time(pipeline: Pipeline, sandbox_factory: Factory) -> None:
    pipeline.sync("clients")
    moved = Pipeline(
        pipeline.settings.data_dir, sandbox_factory(cases=40, transactions=60),
        DEBITURA_WAREHOUSE=pipeline.env.get("DEBITURA_WAREHOUSE", ""),
    )  # fmt: skip
    assert moved.endpoint.base_url != pipeline.endpoint.base_url
    moved.sync("clients")


@pytest.mark.parametrize(
    "other",
    [
        {"DEBITURA_ENVIRONMENT": "production"},
        {"DEBITURA_API_URL": "https://gateway.example:8443"},
        {"DEBITURA_API_URL": "", "DEBITURA_API_KEY": ""},
        {"DEBITURA_PRIVACY_KEY": "another key of more than 16"},
    ],
    ids=["environment", "host", "embedded sandbox", "privacy key"],
)
def test_another_api_or_key_is_refused_before_any_request(pipeline: Pipeline, other: dict[str, str]) -> None:
    pipeline.sync("clients")
    before, log = contents(pipeline.settings.landing_dir), pipeline.sandbox.log()
    settings = load_settings({**pipeline.env, **other})
    for run in (
        lambda: Pipeline.sync(pipeline, "clients"),
        lambda: reconcile(settings, pipeline.endpoint),
        lambda: estimate(settings, pipeline.endpoint),
        lambda: sync_clients(settings, pipeline.endpoint, [WantedClient("tenant")]),
        lambda: replay(settings),
    ):
        pipeline.settings = settings
        with pytest.raises(IdentityRefused) as refused:
            run()
        assert "DEBITURA_DATA_DIR" in str(refused.value)
        assert "allow-shrink" not in str(refused.value)
    assert pipeline.sandbox.log() == log, "not one request"
    assert contents(pipeline.settings.landing_dir) == before


@engine_of_the_day("duckdb")
def test_another_partner_is_refused_before_the_first_listing(
    pipeline: Pipeline, sandbox_factory: Factory, tmp_path: Path
) -> None:
    pipeline.sync()
    file = pipeline.settings.data_dir / IDENTITY_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "partner": "0" * 32}))
    for settings in (pipeline.settings, replace(pipeline.settings, data_dir=tmp_path / "empty")):
        with open_warehouse(pipeline.settings) as warehouse:
            warehouse.execute("UPDATE ops.identity SET partner = $1", ("0" * 32,))
        log = pipeline.sandbox.log()
        pipeline.settings = settings
        with pytest.raises(IdentityRefused, match="another partner"):
            pipeline.sync()
        asked = {path: count - log.get(path, 0) for path, count in pipeline.sandbox.log().items()}
        assert {path for path, count in asked.items() if count} <= {"GET /me"}, asked
        if pipeline.settings.warehouse.path is not None:
            break  # its file lies in the data directory


@engine_of_the_day("postgresql")
def test_a_lost_privacy_key_stops_everything_and_is_not_made_anew(pipeline: Pipeline) -> None:
    """Pseudonyms would change silently, and every row with them."""
    own_key(pipeline).sync()
    key = pipeline.settings.data_dir / "privacy.key"
    kept = key.read_text()
    key.unlink()
    log = pipeline.sandbox.log()
    with pytest.raises(IdentityRefused, match=r"privacy key .* is missing"):
        pipeline.sync()
    assert not key.exists()
    assert pipeline.sandbox.log() == log
    key.write_text("short")
    with pytest.raises(SettingsError, match="contains no privacy key"):
        pipeline.sync()
    pipeline.settings = load_settings({**pipeline.env, "DEBITURA_PRIVACY_KEY": kept})
    reports = pipeline.sync()
    assert [report.changed for report in reports] == [0, 0, 0], "the old key in the setting is as good"


def test_two_data_directories_share_a_warehouse_with_one_key_and_not_with_two(
    sandbox_factory: Factory, tmp_path: Path, postgres: object
) -> None:
    """299 of 300 cases once changed at every change of the machine."""
    sandbox, url = sandbox_factory(cases=40, transactions=60), postgres.url  # type: ignore[attr-defined]
    first = Pipeline(tmp_path / "a", sandbox, DEBITURA_WAREHOUSE=url)
    second = Pipeline(tmp_path / "b", sandbox, DEBITURA_WAREHOUSE=url)
    first.sync()
    assert [report.changed for report in second.sync()] == [0, 0, 0]
    assert [report.changed for report in first.sync()] == [0, 0, 0]
    third = own_key(Pipeline(tmp_path / "c", sandbox, DEBITURA_WAREHOUSE=url))
    with pytest.raises(IdentityRefused, match="is missing"):
        third.sync()
    assert not (tmp_path / "c" / "privacy.key").exists()


@engine_of_the_day("duckdb")
def test_a_warehouse_and_a_directory_from_before_adopt_what_is_there(pipeline: Pipeline) -> None:
    pipeline.sync("clients")
    with open_warehouse(pipeline.settings) as warehouse:
        warehouse.execute("DROP TABLE ops.identity")
    (pipeline.settings.data_dir / IDENTITY_FILE).unlink()
    pipeline.sync("clients")
    assert len(pipeline.rows(ROW)) == 1
    assert (pipeline.settings.data_dir / IDENTITY_FILE).exists()
    with open_warehouse(pipeline.settings) as warehouse:
        warehouse.execute("DROP TABLE ops.identity")
    replay(pipeline.settings)
    assert pipeline.rows(ROW) == [tuple(json.loads((pipeline.settings.data_dir / IDENTITY_FILE).read_text()).values())]


def test_a_damaged_file_is_named_with_the_way_out(pipeline: Pipeline) -> None:
    pipeline.sync("clients")
    (pipeline.settings.data_dir / IDENTITY_FILE).write_text("{")
    with pytest.raises(IdentityRefused, match=r"identity\.json cannot be read"):
        check_identity(pipeline.settings)


def test_commands_refuse_in_one_line_with_status_1_and_doctor_says_it(sandbox_factory: Factory, tmp_path: Path) -> None:
    pipeline = own_key(Pipeline(tmp_path / "data", sandbox_factory(cases=40, transactions=60)))
    assert debitura("sync", env=pipeline.env).status == 0
    embedded = {"DEBITURA_DATA_DIR": pipeline.env["DEBITURA_DATA_DIR"]}
    assert debitura("doctor", env=embedded).status == 2
    for command in ("sync", "nightly", "replay", "reconcile"):
        said = debitura(command, env=embedded)
        assert said.status == 1, (command, said)
        assert "the settings name the embedded sandbox" in said.error_line
    assert not (tmp_path / "data" / "sandbox").exists(), "no sandbox moved in"
    (tmp_path / "data" / "privacy.key").unlink()
    said = debitura("sync", env=pipeline.env)
    assert (said.status, "privacy key" in said.error_line) == (1, True)
    said = debitura("doctor", env=pipeline.env)
    assert said.status == 2
    assert "FAIL identity" in said.out
    assert "is missing" in said.out
