"""What a process that works for one partner has in its environment, and what it hands on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from debitura_pipeline.orchestration import jobs
from debitura_pipeline.settings import Endpoint, Secret, load_settings
from debitura_pipeline.settings.environment import read_environment
from debitura_pipeline.supervision.dev import child_environment
from tests.support.command import environment

KEY = "key-of-b-e04b5a18"
TABLES = """
[a]
environment = "test"
api_key_variable = "A_KEY"
[b]
environment = "test"
api_key_variable = "DEBITURA_API_KEY_B"
"""
# What a program that is not the console command does, such as a code server: it loads the settings, and starts another one.
PROGRAM = """
import json, subprocess, sys
from pathlib import Path
from debitura_pipeline.settings import load_settings
found = load_settings()
own = Path("/proc/self/environ").read_text(errors="replace")
child = subprocess.run(["env"], capture_output=True, text=True).stdout
print(json.dumps([found.partner, found.api_key.reveal(), str(found.data_dir), own, child]))
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "partners.toml").write_text(TABLES)
    return {
        "DEBITURA_PARTNERS": str(tmp_path / "partners.toml"),
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "DEBITURA_PARTNER": "a",
        "A_KEY": "key-of-a",
        "DEBITURA_API_KEY_B": KEY,
    }


def test_loading_a_partners_settings_removes_the_keys_of_the_others(env: dict[str, str], tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(env), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    partner, key, data_dir, own, child = json.loads(said.stdout)
    assert (partner, key, data_dir) == ("a", "key-of-a", str(tmp_path / "data" / "a"))
    assert KEY not in own + child
    assert "DEBITURA_API_KEY_B" not in child
    assert "A_KEY=key-of-a" in child


def test_variables_that_the_partners_file_names_are_known(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("DEBITURA_")]:
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    assert read_environment(tmp_path)["DEBITURA_API_KEY_B"] == KEY
    assert load_settings(root=tmp_path).partner == "a"


def test_programs_of_dev_get_the_partners_name_and_no_key(env: dict[str, str], tmp_path: Path) -> None:
    """Each reads the partners file itself, so a key in a file stays there."""
    settings = load_settings(env, tmp_path)
    endpoint = Endpoint("https://api.example", Secret("key-of-a"), None, is_simulated=False)
    given = child_environment(settings, endpoint, {"DEBITURA_PARTNERS": env["DEBITURA_PARTNERS"]})
    assert given == {
        "DEBITURA_PARTNERS": env["DEBITURA_PARTNERS"],
        "DEBITURA_PARTNER": "a",
        "DAGSTER_HOME": str(tmp_path / "data" / "a" / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    again = load_settings({**env, **given}, tmp_path)
    assert again == settings


def test_alerts_name_the_partner(env: dict[str, str], tmp_path: Path) -> None:
    assert load_settings(env, tmp_path).label == "a, test"
    assert load_settings({}, tmp_path).label == "sandbox"


def test_the_daemon_starts_the_night_when_the_schedule_says(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(env["DEBITURA_PARTNERS"]).write_text('[a]\nschedule = "30 4 * * *"\n')
    for name in ("DEBITURA_PARTNERS", "DEBITURA_DATA_DIR", "DEBITURA_PARTNER"):
        monkeypatch.setenv(name, env[name])
    assert jobs._cron() == "30 4 * * *"
    monkeypatch.setenv("DEBITURA_PARTNER", "nobody")
    assert jobs._cron() == "0 2 * * *"  # the code loads, and a run reports what is wrong
