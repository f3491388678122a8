"""`debitura --partner`, and `debitura partners list`, `check` and `status`, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from debitura_pipeline.cli.app import shared_first
from tests.support.command import Said, debitura
from tests.support.sandbox import RunningSandbox

TWO = """
[acme]
api_url = "{url}"
api_key_variable = "ACME_KEY"
schedule = "30 4 * * *"
[beta]
environment = "production"
api_key_file = "{folder}/beta.key"
warehouse_variable = "BETA_WAREHOUSE"
schema_prefix = "beta_"
"""


@pytest.fixture
def env(shared_sandbox: RunningSandbox, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "partners.toml").write_text(TWO.format(url=shared_sandbox.url, folder=tmp_path))
    return {
        "DEBITURA_PARTNERS": str(tmp_path / "partners.toml"),
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "ACME_KEY": shared_sandbox.key,
        "BETA_WAREHOUSE": "postgresql://beta:sekret@127.0.0.1:1/shared",
    }


def document(*arguments: str, env: dict[str, str]) -> dict[str, object]:
    return dict(json.loads(debitura(*arguments, "--json", env=env).out))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sync"], "has 2 partners; say for which one: acme, beta. Example: debitura --partner acme status"),
        (["--partner", "acme", "status", "--partner", "beta"], "--partner is given more than once: acme, beta."),
        (["--partner", "zeta", "sync"], "has no partner 'zeta'; its partners are acme, beta."),
        (["--partner", "beta", "doctor"], "partner beta: api_key_file names a file, which cannot be read"),
    ],
)
def test_a_command_without_a_partner_that_works_says_which_there_are(
    arguments: list[str], words: str, env: dict[str, str], tmp_path: Path
) -> None:
    said = debitura(*arguments, env=env)
    assert (said.status, said.out) == (2, "")
    assert words in said.error_line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [["--partner", "acme", "status"], ["partners", "list"]])
def test_without_a_partners_file_there_is_no_partner(arguments: list[str], tmp_path: Path) -> None:
    said = debitura(*arguments, env={"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    assert said.status == 2
    assert said.error_line.startswith("DEBITURA_PARTNERS, the file of the partners, is not set")


def test_partners_side_by_side(env: dict[str, str], tmp_path: Path) -> None:
    """Nobody's secret is read for it: B's key file does not exist."""
    listed = debitura("partners", "list", env=env)
    assert listed.status == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:3]] == ["acme", "beta"]
    assert "as BETA_WAREHOUSE says, schemas beta_…" in listed.out
    assert "sekret" not in listed.out
    found = document("partners", "list", env=env)["partners"]
    assert found[0] == {  # type: ignore[index]
        "partner": "acme",
        "environment": "sandbox",
        "warehouse": str(tmp_path / "data" / "acme" / "warehouse.duckdb"),
        "data_dir": str(tmp_path / "data" / "acme"),
        "schedule": "30 4 * * *",
        "fault": None,
    }
    assert debitura("--partner", "acme", "partners", "list", env=env).out.count("\n") == 3


def test_each_partner_is_checked_and_one_fault_fails_the_command(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "beta.key").write_text("key-of-beta")
    (tmp_path / "beta.key").chmod(0o644)
    said = debitura("partners", "check", env=env)
    assert said.status == 1
    acme, beta, last = said.out.splitlines()
    assert acme.startswith("ok   acme: sandbox, warehouse ")
    assert beta.startswith("FAIL beta: ")
    assert "beta.key, which every user of this machine may use (mode 0644)" in beta
    assert last == "2 partners checked, 1 with a fault."
    (tmp_path / "beta.key").chmod(0o600)
    refused = debitura("partners", "check", "--json", env=env)
    assert refused.status == 1
    assert "warehouse: Postgres at 127.0.0.1:1, database shared" in json.loads(refused.out)["partners"][1]["seen"]
    assert "sekret" not in refused.out + refused.err


def test_a_key_that_the_api_refuses_is_found_only_if_asked(env: dict[str, str]) -> None:
    env["ACME_KEY"] = "another-key"
    assert debitura("--partner", "acme", "partners", "check", env=env).status == 0
    said = debitura("--partner", "acme", "partners", "check", "--api", env=env)
    assert said.status == 1
    assert "FAIL acme: API: " in said.out
    assert "another-key" not in said.out


def test_status_without_a_partner_shows_all_in_one_line_each(env: dict[str, str]) -> None:
    said: Said = debitura("partners", "status", env=env)
    assert said.status == 0
    assert said.out.count("no good nightly run yet") == 2
    assert said.out.splitlines()[-1] == "2 partners, 2 with open problems: 2 not fresh."
    assert debitura("partners", "status", "--exit-code", env=env).status == 1


@pytest.mark.parametrize(
    ("arguments", "moved"),
    [
        (["sync", "--partner", "a", "--full"], ["--partner=a", "sync", "--full"]),
        (["--partner=a", "-q", "status"], ["--partner=a", "-q", "status"]),
        (["status", "--partner"], ["status", "--partner"]),
        (["query", "--", "--partner", "a"], ["query", "--", "--partner", "a"]),
    ],
)
def test_the_option_may_stand_anywhere(arguments: list[str], moved: list[str]) -> None:
    assert shared_first(arguments) == moved
