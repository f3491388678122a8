"""The parts of `debitura dev` that need no Dagster: its child's environment, its stopping; and how the API is found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from debitura_pipeline.orchestration import dev
from debitura_pipeline.orchestration.endpoint import connect
from debitura_pipeline.settings import Endpoint, Secret, load_settings
from debitura_pipeline.sync import sync

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time, signal; signal.signal(2, signal.SIG_IGN); time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_the_child_gets_the_api_that_is_held_open_and_our_folders(tmp_path: Path) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    endpoint = Endpoint("http://127.0.0.1:1", Secret("sandbox-key"), "http://127.0.0.1:1/customer", True)
    env = dev.child_environment(settings, endpoint, {"PATH": "/bin", "DEBITURA_API_URL": "other"})
    inside = load_settings(env)
    assert inside.api_url == endpoint.base_url
    assert inside.api_key == endpoint.api_key
    assert (inside.data_dir, inside.dagster_home) == (settings.data_dir, settings.dagster_home)
    assert not inside.uses_embedded_sandbox
    assert env["PATH"] == "/bin"


def test_a_group_that_will_not_listen_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon left behind would go on reading the API, and hold the warehouse, unseen."""
    monkeypatch.setattr(dev, "STOPPING", tuple((number, 0.3) for number, _ in dev.STOPPING[:2]) + dev.STOPPING[2:])
    leader = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    grandchild = int(leader.stdout.readline())
    dev.stop_group(leader)
    leader.stdout.close()
    assert leader.poll() is not None
    give_up_at = time.monotonic() + 5
    while Path(f"/proc/{grandchild}").exists() and time.monotonic() < give_up_at:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(grandchild, 0)


def test_an_address_of_ones_own_is_used_as_it_is(tmp_path: Path) -> None:
    env = {"DEBITURA_API_URL": "http://127.0.0.1:9/x", "DEBITURA_API_KEY": "k", "DEBITURA_DATA_DIR": str(tmp_path)}
    with connect(load_settings(env)) as endpoint:
        assert (endpoint.base_url, endpoint.customer_url, endpoint.is_simulated) == ("http://127.0.0.1:9/x", None, True)
    with connect(load_settings(env | {"DEBITURA_ENVIRONMENT": "production"})) as endpoint:
        assert not endpoint.is_simulated


def test_without_an_address_the_sandbox_runs_as_long_as_it_is_needed(tmp_path: Path) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    with connect(settings) as endpoint, connect(settings) as same:
        assert endpoint == same, "attached to, not started twice"
        (report,) = sync(settings, endpoint, ("clients",))
        assert report.rows_read == 40
    with pytest.raises(OSError, match="refused"):
        import urllib.request

        urllib.request.urlopen(endpoint.base_url, timeout=5)
