"""The same faults met by the commands that do the work: one line on standard error, status 1, and no traceback."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.doctor import machine_cases, warehouse_cases
from tests.doctor.case import Scene
from tests.doctor.test_doctor import NEVER
from tests.support.command import debitura

HOME = {case.name: case.make for case in machine_cases.CASES}
PG = {case.name: case.make for case in warehouse_cases.CASES}
NO_DBT = "import sys; sys.executable = '/nowhere/bin/python'"


@pytest.mark.parametrize(
    ("command", "make", "before", "words"),
    [
        (
            "nightly",
            HOME["dagster.yaml is not valid YAML"],
            "",
            r"dagster\.yaml, line 2: is not valid YAML.*Correct that line",
        ),
        (
            "nightly",
            HOME["DAGSTER_HOME is full"],
            "",
            r"/disk.*(No space left|disk is full).*set DAGSTER_HOME to a folder with more",
        ),
        (
            "nightly",
            PG["Dagster's Postgres: nothing is listening"],
            "",
            "refused.*check host and port in DAGSTER_POSTGRES_URL",
        ),
        ("nightly", lambda _: None, NO_DBT, r"/nowhere/bin/dbt does not exist\. Run `make setup`"),
        (
            "sync",
            PG["Postgres: a role without privileges"],
            "",
            r"permission denied for database .*`debitura doctor` says which one, and what an administrator has to grant\.$",
        ),
        (
            "sync",
            PG["a DuckDB file of another program"],
            "",
            "belongs to another program.*DEBITURA_WAREHOUSE",
        ),
    ],
    ids=["no yaml", "home full", "dagster postgres", "no dbt", "no rights", "foreign file"],
)
def test_a_fault_is_one_line(
    scene: Scene, may_mount: bool, command: str, make: Callable[[Scene], None], before: str, words: str
) -> None:
    if make in (HOME[name] for name in machine_cases.TAKE_ROOT) and not may_mount:
        pytest.skip("a disk of the test's own takes root")
    scene.env.update(scene.sandbox_env())
    make(scene)
    said = debitura(command, env=scene.env, before=before)
    assert said.status == 1, said
    assert re.search(words, said.error_line), said.error_line
    assert not NEVER.search(said.out + said.err), said.err
