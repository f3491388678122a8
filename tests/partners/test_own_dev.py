"""One `debitura dev` for all partners or one for each, and no moving of a partner's data beside either."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from debitura_pipeline.settings import load_common, load_partner
from debitura_pipeline.settings.partners_file import find_partners
from debitura_pipeline.warehouse.run_lock import exclusive_dev
from tests.support.command import debitura


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two simulated partners; nothing has run yet."""
    (tmp_path / "partners.toml").write_text('[a]\nenvironment = "sandbox"\n[b]\nenvironment = "sandbox"\n')
    values = {"DEBITURA_PARTNERS": str(tmp_path / "partners.toml"), "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def test_the_one_for_all_is_refused_beside_a_partners_own(env: dict[str, str], tmp_path: Path) -> None:
    """Each night of that partner would start twice."""
    partners = find_partners(env, tmp_path)
    assert partners is not None
    with exclusive_dev(load_partner(partners, "b", env)):
        said = debitura("dev", env=env)
    assert said.status == 1
    assert said.error_line.startswith(f"Partner b has a `debitura dev` of its own: dev, process {os.getpid()} on host ")


@pytest.mark.parametrize("command", ["migrate", "restore"])
def test_a_partners_data_is_not_moved_beside_the_one_for_all(env: dict[str, str], tmp_path: Path, command: str) -> None:
    """Its daemon would start runs into what is being moved."""
    arguments = (
        ["--to", f"duckdb:///{tmp_path}/new.duckdb", "--yes"] if command == "migrate" else [str(tmp_path / "file")]
    )
    common = load_common()
    common.dagster_home.mkdir(parents=True)
    with exclusive_dev(common):
        said = debitura("--partner", "a", command, *arguments, env=env)
    assert said.status == 1
    assert f"Another `debitura dev` has Dagster's home (DAGSTER_HOME) {common.dagster_home}" in said.error_line
