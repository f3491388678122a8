"""The dbt manifest: built when the project changes, by one process, with dbt's own words when it cannot be."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from debitura_pipeline.orchestration import manifest
from debitura_pipeline.orchestration.manifest import ManifestError, dbt_environment, obtain_manifest, source_fingerprint
from debitura_pipeline.settings import load_settings
from tests.support.postgres import Database

PROFILE = """\
tiny:
  target: duckdb
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('DEBITURA_DUCKDB_PATH') }}", schema: main}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "dbt"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: tiny\nprofile: tiny\nversion: '1.0'\nmodel-paths: [models]\n")
    (folder / "profiles.yml").write_text(PROFILE)
    (folder / "models" / "one.sql").write_text("SELECT 1 AS a")
    return folder


def test_it_is_parsed_once_and_again_only_after_a_change_also_after_one_that_dbt_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = obtain_manifest(project)
    assert "model.tiny.one" in json.loads(first.read_text())["nodes"]
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "_parse", lambda *_: pytest.fail("parsed without need"))
        shutil.copytree(first.parent, project / "logs")  # what is no source changes nothing
        assert obtain_manifest(project) == first
    (project / "models" / "two.sql").write_text("SELECT * FROM {{ ref('nowhere') }}")
    with pytest.raises(ManifestError, match="nowhere"):
        obtain_manifest(project)
    (project / "models" / "two.sql").write_text("SELECT 2 AS a")
    assert "model.tiny.two" in json.loads(obtain_manifest(project).read_text())["nodes"]
    assert not list(first.parent.glob(".parse-*"))


def test_processes_that_ask_at_once_build_it_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []

    def parse(_project: Path, target: Path) -> None:
        built.append(target)
        (target / "manifest.json").write_text("{}")

    monkeypatch.setattr(manifest, "_parse", parse)
    asking = [threading.Thread(target=obtain_manifest, args=(project,)) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(30)
    assert len(built) == 1


def test_the_fingerprint_sees_names_and_contents(project: Path) -> None:
    before = source_fingerprint(project)
    (project / "models" / "one.sql").rename(project / "models" / "other.sql")
    renamed = source_fingerprint(project)
    (project / "models" / "other.sql").write_text("SELECT 3 AS a")
    assert len({before, renamed, source_fingerprint(project)}) == 3


def test_dbt_reaches_the_same_postgres_with_the_password_in_one_variable(postgres: Database, tmp_path: Path) -> None:
    url = postgres.url + "?sslmode=allow"
    found = dbt_environment(load_settings({"DEBITURA_WAREHOUSE": url, "DEBITURA_DATA_DIR": str(tmp_path)}))
    password = unquote(urlsplit(url).password or "")
    assert [name for name, value in found.items() if password in value] == ["DEBITURA_POSTGRES_PASSWORD"]
    assert (found["DEBITURA_POSTGRES_DATABASE"], found["PGSSLMODE"]) == (postgres.name, "allow")
