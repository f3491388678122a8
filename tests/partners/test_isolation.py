"""Real runs of two partners: the key of one is nowhere in what the other's run touches, starts or prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from debitura_sandbox.server import embedded
from tests.support import leaks
from tests.support.command import Said, debitura, ended, start
from tests.support.descendants import Seen, watched
from tests.support.sandbox import RunningSandbox

KEY = "key-of-b-e04b5a18"
PRIVACY = "privacy-of-b-2f6d8c31"
SMALL = ("--clients", "2", "--cases", "10", "--transactions", "20")
PARTNERS = """
[a]
environment = "sandbox"
[b]
api_url = "{url}"
api_key_variable = "B_KEY"
privacy_key_file = "{folder}/b.privacy"
"""


def test_a_partners_key_is_only_in_its_own_run(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> None:
    (tmp_path / "b.privacy").write_text(PRIVACY)
    (tmp_path / "b.privacy").chmod(0o600)
    url = sandbox_factory(key=KEY, cases=10, transactions=20, clients=2).url
    (tmp_path / "partners.toml").write_text(PARTNERS.format(url=url, folder=tmp_path))
    with embedded.running(tmp_path / "data" / "a", arguments=SMALL):
        pass
    env = {
        "DEBITURA_PARTNERS": str(tmp_path / "partners.toml"),
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "TMPDIR": str(tmp_path),
        "B_KEY": KEY,
    }
    ours, seen = watched_sync("a", env)
    assert ours.status == 0, ours.err
    assert b"B_KEY" in seen.last  # it was there, and its value was taken away
    assert not any(secret.encode() in seen.last for secret in (KEY, PRIVACY))
    assert any(b"debitura_sandbox" in command for command in seen.children)
    for command, environments in seen.children.items():
        whole = b"\0".join((command, *environments))
        assert not any(word in whole for word in (b"B_KEY", KEY.encode(), PRIVACY.encode())), command
    theirs = debitura("--partner", "b", "sync", env=env)
    assert theirs.status == 0, theirs.err
    assert leaks.find(tmp_path / "data", [KEY, PRIVACY]) == {}
    assert not any(secret in said.out + said.err for secret in (KEY, PRIVACY) for said in (ours, theirs))
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"a", "b"}
    assert cases(tmp_path / "data" / "a") >= 10
    assert cases(tmp_path / "data" / "b") == 10


def watched_sync(name: str, env: dict[str, str]) -> tuple[Said, Seen]:
    process = start(["--partner", name, "sync"], env)
    with watched(process.pid) as seen:
        return ended(process), seen


def cases(data_dir: Path) -> int:
    with duckdb.connect(str(data_dir / "warehouse.duckdb"), read_only=True) as warehouse:
        return int(warehouse.execute("SELECT count(*) FROM raw.cases").fetchall()[0][0])
