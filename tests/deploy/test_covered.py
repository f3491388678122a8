"""Every file in `deploy/` is covered by a check of its own kind."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from tests.deploy.programs import run
from tests.support.sandbox import ROOT

DEPLOY = ROOT / "deploy"
# Files, and the test that checks them. yamllint looks at all of YAML, below.
CHECKED = {
    "Containerfile": "test_container.py",
    "entrypoint.sh": "test_container.py",
    "compose.yaml": "test_compose.py",
    "compose/*": "test_compose.py",
    "kubernetes/*.yaml": "test_kubernetes.py",
    "systemd/*.service": "test_units.py",
    "systemd/*.timer": "test_units.py",
    "systemd/*.target": "test_units.py",
    "systemd/debitura.env.example": "test_units.py",
    "workspace.yaml": "test_units.py",
    "dagster.yaml": "../orchestration/test_instance.py",
    "RUNBOOK.md": "test_runbook.py",
    "README.md": "test_covered.py",
    "*/README.md": "test_covered.py",
}
RULES = (
    "{extends: default, rules: {document-start: disable, line-length: {max: 140}, braces: {max-spaces-inside: 0}, "
    "comments: {min-spaces-from-content: 1}, comments-indentation: disable, octal-values: disable}}"
)


def files() -> list[str]:
    found = run(["git", "-C", ROOT, "ls-files", "deploy"]).stdout
    return sorted(line.removeprefix("deploy/") for line in found.splitlines())


def uncovered(names: list[str]) -> list[str]:
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in CHECKED)]


def test_every_file_has_a_check_and_every_check_a_file() -> None:
    assert uncovered(files()) == []
    assert uncovered(["Jenkinsfile", "systemd/another.socket"]) == ["Jenkinsfile", "systemd/another.socket"]
    for pattern, test in CHECKED.items():
        assert any(fnmatch(name, pattern) for name in files()), f"{pattern} is no file any more"
        assert (ROOT / "tests" / "deploy" / test).exists()


def test_yaml_is_well_formed_without_doubled_keys() -> None:
    names = [str(DEPLOY / name) for name in files() if name.endswith(".yaml")]
    done = run([ROOT / ".venv-deploy/bin/yamllint", "-d", RULES, *names])
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".md")])
def test_pages_name_files_that_are_there(name: str) -> None:
    text = (DEPLOY / name).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert ((DEPLOY / name).parent / target).exists(), target
    for path in re.findall(r"`((?:deploy|docs|tests|bench)/[\w/.-]+\.\w+)`", text):
        assert (ROOT / path).exists(), path
    for folder, files_named in (("kubernetes", r"--filename (\S+)"), ("kubernetes", r"--values (\S+)")):
        for path in re.findall(files_named, text):
            assert (DEPLOY / folder / path).exists(), path


def test_deploy_readme_says_of_every_kind_what_was_run() -> None:
    table = (DEPLOY / "README.md").read_text()
    for name in files():
        if not name.endswith(".md") and name not in ("workspace.yaml", "compose/env.example"):
            stem = name.rpartition("/")[2]
            assert stem in table or f"{name.partition('/')[0]}/*" in table, name
