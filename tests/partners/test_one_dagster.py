"""One Dagster instance for two partners: real nights at once, each in a process that has its own partner's key alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.partners.test_isolation import cases
from tests.support import leaks
from tests.support.command import debitura, environment
from tests.support.forks import fork_server
from tests.support.parsed import reuse_project_parse
from tests.support.sandbox import RunningSandbox

KEYS = {"a": "key-of-a-51c0de77", "b": "key-of-b-e04b5a18"}
TABLE = '[{name}]\napi_url = "{url}"\napi_key_file = "{folder}/{name}.key"\n'
LIMIT_S = 600


def test_one_partners_wrong_key_and_state_are_nothing_to_the_other(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """Without partitions and tags, the night of one would count as the other's; with pools, one would wait for the other."""
    small = {"cases": 10, "transactions": 20, "clients": 2}
    urls = {name: sandbox_factory(key=key, **small).url for name, key in (("a", KEYS["a"]), ("b", "another key"))}
    for name, key in KEYS.items():
        (tmp_path / f"{name}.key").write_text(key)
        (tmp_path / f"{name}.key").chmod(0o600)
    tables = [TABLE.format(name=name, url=url, folder=tmp_path) for name, url in urls.items()]
    (tmp_path / "partners.toml").write_text("".join(tables))
    env = {"DEBITURA_PARTNERS": str(tmp_path / "partners.toml"), "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    reuse_project_parse(tmp_path / "data" / "a" / "dagster" / "dbt", tmp_path / "data" / "a" / "warehouse.duckdb")
    code = "from tests.partners.one_dagster import main; main()"
    status, out, err = fork_server().run(code, (), tmp_path, environment(env), LIMIT_S)
    assert status == 0, err
    found = json.loads(out.splitlines()[-1])
    assert found["a"].pop("onboarding") == ["SUCCESS"]
    assert found["b"].pop("onboarding") == []
    assert found["a"] == {"nights": ["SUCCESS"], "published": True, "covered": 2, "fresh": ["SUCCEEDED"]}
    assert found["b"] == {"nights": ["FAILURE"], "published": False, "covered": 0, "fresh": ["FAILED"]}
    assert found["launched"] == [["a", "freshness"], ["b", "nightly"]]
    assert found["slots"] == []
    assert cases(tmp_path / "data" / "a") == 10
    assert leaks.find(tmp_path / "data", list(KEYS.values())) == {}
    assert not any(key in out + err for key in KEYS.values())
    ours = json.loads(debitura("--partner", "a", "status", "--json", env=env).out)
    theirs = json.loads(debitura("--partner", "b", "status", "--json", env=env).out)
    assert [night["status"] for night in ours["nights"]] == ["done"]
    assert [night["status"] for night in theirs["nights"]] == ["failed"]
    assert ours["queue"]["queued_by_job"] == {"nightly": 1, "freshness": 1}
    assert theirs["queue"]["queued_by_job"] == {"nightly": 2}
