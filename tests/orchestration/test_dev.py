"""The parts of `debitura dev` that start nothing: its children's environment, its port, its lock; and how the API is found."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.settings import Endpoint, Secret, load_settings
from debitura_pipeline.supervision import dev, programs
from debitura_pipeline.supervision.child import Child, stop
from debitura_pipeline.supervision.log_files import LogFile
from debitura_pipeline.supervision.supervisor import DevError
from debitura_pipeline.sync import sync
from debitura_pipeline.warehouse.run_lock import exclusive_dev
from tests.support.command import debitura
from tests.webhooks.deliveries import SECRET


def test_the_child_gets_the_api_that_is_held_open_and_our_folders(tmp_path: Path) -> None:
    address = {"DEBITURA_API_URL": "http://127.0.0.1:1", "DEBITURA_API_KEY": "k"}
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path), **address})
    endpoint = Endpoint("http://127.0.0.1:1", Secret("sandbox-key"), "http://127.0.0.1:1/customer", True)
    env = dev.child_environment(settings, endpoint, {"PATH": "/bin", "DEBITURA_API_URL": "other"})
    inside = load_settings(env)
    assert inside.api_url == endpoint.base_url
    assert inside.api_key == endpoint.api_key
    assert (inside.data_dir, inside.dagster_home) == (settings.data_dir, settings.dagster_home)
    assert not inside.uses_embedded_sandbox
    assert env["PATH"] == "/bin"


def test_the_children_find_the_embedded_sandbox_by_themselves(tmp_path: Path) -> None:
    """With a fixed address a sandbox that was started again elsewhere would be lost, and the identity another one."""
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    endpoint = Endpoint("http://127.0.0.1:1", Secret("sandbox-key"), None, True)
    assert load_settings(dev.child_environment(settings, endpoint, {})).uses_embedded_sandbox


def test_a_dev_in_the_same_home_of_dagsters_is_refused(tmp_path: Path) -> None:
    """Two daemons on one queue start each schedule twice."""
    home = {"DAGSTER_HOME": str(tmp_path / "home")}
    first = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "a"), **home})
    with exclusive_dev(first):
        said = debitura("dev", env={"DEBITURA_DATA_DIR": str(tmp_path / "b"), **home})
    assert said.status == 1
    assert said.error_line.startswith(
        f"Another `debitura dev` has Dagster's home (DAGSTER_HOME) {tmp_path / 'home'}: dev, process"
    )


def test_the_receiver_of_webhooks_is_started_where_there_are_secrets_and_no_other_one(tmp_path: Path) -> None:
    secrets = {"DEBITURA_WEBHOOK_SECRETS": SECRET, "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    without, settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")}), load_settings(secrets)
    said: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        found = programs.Programs(tmp_path, 1, instance, said.append)
        assert found.receiver(without) is None
        program = found.receiver(settings)
        assert program is not None
        assert "Webhooks are received at http://127.0.0.1:" in said[-1]
        child = Child(program, {**os.environ, **secrets}, LogFile(tmp_path / "receiver.log"))
        try:
            until = time.monotonic() + 60
            while not child.is_up and time.monotonic() < until:
                assert child.fault() is None, (tmp_path / "receiver.log").read_text()
                time.sleep(0.1)
            assert child.is_up
            assert found.receiver(settings) is None
            assert "Another receiver of webhooks is running" in said[-1]
        finally:
            stop([child])


def test_a_port_that_was_asked_for_and_is_taken_is_refused_and_else_another_one_is_said() -> None:
    said: list[str] = []
    with socket.socket() as taken:
        taken.bind((programs.HOST, 0))
        taken.listen()
        with pytest.raises(DevError, match="is in use"):
            programs.choose_port(taken.getsockname()[1], said.append)
        assert not said
        free = programs.free_port()
        assert programs.choose_port(free, said.append) == free


def test_the_web_page_is_at_port_3000_unless_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(programs, "PORT", programs.free_port())
    assert programs.choose_port(None, said.append) == programs.PORT
    with socket.socket() as taken:
        taken.bind((programs.HOST, programs.PORT))
        taken.listen()
        other = programs.choose_port(None, said.append)
    assert other != programs.PORT
    assert said == [f"Port {programs.PORT} is in use; the web interface will be on port {other}."]


def test_an_address_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    env = {"DEBITURA_API_URL": "http://127.0.0.1:9/x", "DEBITURA_API_KEY": "k", "DEBITURA_DATA_DIR": str(tmp_path)}
    with open_endpoint(load_settings(env)) as endpoint:
        assert (endpoint.base_url, endpoint.customer_url, endpoint.is_simulated) == ("http://127.0.0.1:9/x", None, True)
    with open_endpoint(load_settings(env | {"DEBITURA_ENVIRONMENT": "production"})) as endpoint:
        assert not endpoint.is_simulated


def test_without_an_address_the_sandbox_runs_as_long_as_it_is_needed(tmp_path: Path) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    with open_endpoint(settings) as endpoint, open_endpoint(settings) as same:
        assert endpoint == same, "attached to, not started twice"
        (report,) = sync(settings, endpoint, ("clients",))
        assert report.rows_read == 40
    with pytest.raises(OSError, match="refused"):
        import urllib.request

        urllib.request.urlopen(endpoint.base_url, timeout=5)
