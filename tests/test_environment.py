"""Each line of `.env` and each name counts: what is misspelt or cannot be read ends the program, and never means the default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from debitura_pipeline.errors import SettingsError
from debitura_pipeline.settings import Concurrency, load_settings
from debitura_pipeline.settings.catalogue import VARIABLES
from debitura_pipeline.settings.environment import read_environment
from tests.support.command import debitura


@pytest.fixture(autouse=True)
def _only_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DEBITURA_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"DEBITURA_ENVIRONMENT=test\nDEBITURA_API_KEY: abc\n", "line 2: cannot be read"),
        (b"# fine\nDEBITURA_API_KEY\n", "line 2: DEBITURA_API_KEY has no value"),
        (b"DEBITURA_API_KEY='abc\n", "line 1: cannot be read"),
        (b"DEBITURA_CONCURENCY=4\n", "did you mean DEBITURA_CONCURRENCY?"),
        (b"debitura_api_key=abc\n", "did you mean DEBITURA_API_KEY?"),
        (b"DEBITURA_SOMETHING_ELSE=1\n", "known settings are listed in .env.example"),
        ("DEBITURA_ENVIRONMENT=test\n".encode("utf-16"), "looks like UTF-16"),
        ("DEBITURA_ENVIRONMENT=test\n".encode("utf-16-le"), "looks like UTF-16"),
        (b"# a\nDEBITURA_DATA_DIR=/d\xe4ta\n", "line 2: is not UTF-8 text"),
    ],
)
def test_a_file_that_does_not_say_what_it_means_is_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(root=tmp_path)
    assert words in str(caught.value)
    assert ".env" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("DEBITURA_API_KEY=a${HOME}b$HOME\n", "a${HOME}b$HOME"),
        ("export DEBITURA_API_KEY='a b # c'  # the key\n", "a b # c"),
        ('DEBITURA_API_KEY="quoted"\r\n', "quoted"),
        ("\ufeffDEBITURA_API_KEY=plain # said here\n", "plain"),
        ("DEBITURA_API_KEY=\n", ""),
    ],
)
def test_values_are_taken_as_they_are_written(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / ".env").write_bytes(content.encode())
    assert read_environment(tmp_path)["DEBITURA_API_KEY"] == value


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DEBITURA_REFRESH_DAYS=5\nDEBITURA_CONCURRENCY=4\nOTHER=1\n")
    monkeypatch.setenv("DEBITURA_REFRESH_DAYS", "7")
    found = load_settings(root=tmp_path)
    assert (found.refresh_days, found.concurrency) == (7, Concurrency(4, 4))


@pytest.mark.parametrize("command", ["sync", "nightly", "status", "doctor", "verify", "replay", "reconcile", "dev"])
def test_every_command_refuses_a_misspelt_name(tmp_path: Path, command: str) -> None:
    said = debitura(command, env={"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_ENVIROMENT": "production"})
    assert said.status == 2
    assert (
        "DEBITURA_ENVIROMENT in the environment is not a setting; did you mean DEBITURA_ENVIRONMENT?" in said.error_line
    )
    assert not (tmp_path / "data").exists()


def test_a_key_beside_the_sandbox_is_no_night_of_invented_money(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is simulated"):
        load_settings({"DEBITURA_API_KEY": "key"}, tmp_path)


@pytest.mark.parametrize("environment", ["test", "production"])
def test_a_budget_above_the_apis_is_refused(environment: str, tmp_path: Path) -> None:
    env = {"DEBITURA_ENVIRONMENT": environment, "DEBITURA_API_KEY": "key"}
    assert load_settings({**env, "DEBITURA_REQUESTS_PER_MINUTE": "2000"}, tmp_path).requests_per_minute == 2000
    for value in ("0", "2001", "2000000"):
        with pytest.raises(
            SettingsError, match=f"is {value}, outside 1 to 2000. Example: DEBITURA_REQUESTS_PER_MINUTE=1800"
        ):
            load_settings({**env, "DEBITURA_REQUESTS_PER_MINUTE": value}, tmp_path)


def test_a_number_of_requests_that_is_set_is_never_exceeded(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path).concurrency == Concurrency(start=8, maximum=32)
    assert load_settings({"DEBITURA_CONCURRENCY": "8"}, tmp_path).concurrency == Concurrency(start=8, maximum=8)


def test_every_variable_that_anything_reads_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` and every other command refused variables that only dbt or the sandbox read."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "set")
    assert set(VARIABLES) <= set(read_environment(tmp_path))
