"""The program that looks for all partners: each look is a process with its own partner's key, and one that hangs ends alone."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.partners import lookout
from debitura_pipeline.partners.look import Look, read_look, seen_clients, write_look
from debitura_pipeline.partners.lookout import LIMIT_S, PER_PARTNER_S, Lookout
from tests.support import leaks
from tests.support.command import environment
from tests.support.sandbox import RunningSandbox

KEYS = {"a": "key-of-a-51c0de77", "b": "key-of-b-e04b5a18"}
PROGRAM = """
import os, sys
from debitura_pipeline.partners.lookout import start_look
for name in ("a", "b"):
    os.waitpid(start_look(name), 0)
print("dagster" in sys.modules)
"""


def test_a_look_reads_one_partners_key_and_says_what_the_api_refuses(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    url = sandbox_factory(key=KEYS["a"], cases=10, transactions=20, clients=2).url
    (tmp_path / "a.key").write_text(KEYS["a"])
    (tmp_path / "a.key").chmod(0o600)
    tables = f'[a]\napi_url = "{url}"\napi_key_file = "{tmp_path}/a.key"\nclaims = "claims.csv"\n'
    tables += f'[b]\napi_url = "{url}"\napi_key_variable = "B_KEY"\n'
    (tmp_path / "partners.toml").write_text(tables)
    env = {"DEBITURA_PARTNERS": str(tmp_path / "partners.toml"), "DEBITURA_DATA_DIR": str(tmp_path / "data")}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment({**env, "B_KEY": KEYS["b"]}), cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ours, theirs = (read_look(tmp_path / "data" / name) for name in KEYS)
    assert ours is not None
    assert theirs is not None
    assert (len(ours.clients or ()), ours.unseen) == (2, 2)
    assert ours.fault is not None
    assert "claims.csv" in ours.fault, "claims that are not there hold up no client"
    assert theirs.clients is None
    assert "401" in (theirs.fault or "")
    assert said.stdout == "False\n", "Dagster takes seconds to import"
    assert leaks.find(tmp_path / "data", list(KEYS.values())) == {}
    assert not any(key in said.stdout + said.stderr for key in KEYS.values())


def test_a_look_that_hangs_is_ended_and_the_others_go_on() -> None:
    started: list[str] = []

    def start(name: str) -> int:
        started.append(name)
        return os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600" if name == "a" else "0")

    watch = Lookout(start, now=0.0)
    watch.step(["a", "b"], 20.0)
    assert started == ["a", "b"]
    (pid_a, pid_b) = watch._looking
    os.waitpid(pid_b, 0)
    watch.ended(pid_b)
    watch.step(["a", "b"], 60.0)
    assert started == ["a", "b", "b"], "a still looks, and is not looked at twice"
    watch.step(["a", "b"], 21.0 + LIMIT_S)
    assert os.waitpid(pid_a, 0)[1] == signal.SIGKILL


def test_two_hundred_partners_are_looked_at_in_turn_a_few_times_an_hour() -> None:
    """Each look is a request of the partner's hundred thousand a day, and some time of this machine."""
    names, started = [f"p{number}" for number in range(200)], []
    watch = Lookout(lambda name: started.append(name) or len(started), now=0.0)  # type: ignore[func-returns-value]
    for second in range(0, 3600):
        watch.step(names, float(second))
        for pid in list(watch._looking):
            watch.ended(pid)
    assert {started.count(name) for name in names} == {6}
    assert PER_PARTNER_S * 200 == 600
    assert lookout.AT_ONCE == 2


def test_a_damaged_look_is_none_and_is_replaced(tmp_path: Path) -> None:
    write_look(tmp_path, Look(datetime.now(UTC)))
    (tmp_path / "looks" / "look.json").write_text("{")
    (tmp_path / "looks" / "seen").write_text("no base64")
    assert read_look(tmp_path) is None
    assert len(seen_clients(tmp_path)) == 0
    assert (tmp_path / "looks" / "look.json").stat().st_mode & 0o777 == 0o600
