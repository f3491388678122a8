"""What dies or hangs is started again, what dies again and again ends all, and nothing is left behind. On small programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from debitura_pipeline.settings import Endpoint, Secret
from debitura_pipeline.supervision import child as supervised
from debitura_pipeline.supervision.child import Child, Program
from debitura_pipeline.supervision.log_files import LogFile
from debitura_pipeline.supervision.programs import free_port
from debitura_pipeline.supervision.sandbox_keeper import SandboxKeeper
from debitura_pipeline.supervision.supervisor import MAX_DEATHS, WITHIN_S, Deaths, DevError, Supervisor
from debitura_sandbox.server import embedded

PATIENCE_S = 30.0
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time, signal; signal.signal(2, signal.SIG_IGN); time.sleep(600)"])
print("ready", child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "PROBE_EVERY_S", 0.1)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    found = Supervisor(os.environ, tmp_path / "logs", said.append, first_pause_s=0.02)
    yield found
    found.close()


def server(port: int) -> Program:
    """A program that answers, and can be killed or stopped."""

    def answers() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=0.5) as answer:
            return bool(answer.status == 200)

    return Program("web page", ["http.server", "--bind", "127.0.0.1", str(port)], answers, silent_s=2.0)


def until(supervisor: Supervisor, holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        supervisor.check()
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def pid_of(port: int) -> int:
    """The server's process; the one before it is a zombie until it is waited for, and has no command line then."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return int(next(child.pid for child in alive if {str(port), "http.server"} <= set(child.cmdline())))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_program_that_dies_or_hangs_is_started_again(
    supervisor: Supervisor, said: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    """At 02:00 nothing would run, and nobody would know."""
    port = free_port()
    supervisor.start(server(port))
    until(supervisor, lambda: supervisor.is_up("web page"))
    first = pid_of(port)
    os.kill(first, number)
    until(supervisor, lambda: bool(said))
    until(supervisor, lambda: supervisor.is_up("web page"))
    assert pid_of(port) != first
    how = r"was killed \(SIGKILL\)" if number is signal.SIGKILL else r"has not answered for \d s"
    log = tmp_path / "logs" / "web-page.log"
    assert len(said) == 1
    assert re.fullmatch(rf"The web page \(process {first}\) {how}; restarting it in 0 s. Log: {log}.", said[0])


def test_a_program_that_dies_again_and_again_ends_all_with_its_last_words(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(Program("broken one", ["no_such_module"], lambda: False, 1.0))
    with pytest.raises(
        DevError, match=rf"No module named no_such_module\), for the {MAX_DEATHS}th time within 5 minutes; giving up"
    ):
        until(supervisor, lambda: False)
    assert len(said) == MAX_DEATHS - 1


def test_pauses_grow_and_old_deaths_no_longer_count() -> None:
    deaths = Deaths()
    assert [deaths.pause_after(at) for at in (0, 10, 20, 30)] == [1, 2, 4, 8]
    assert deaths.pause_after(40) is None
    assert deaths.pause_after(40 + 2 * WITHIN_S) == 1


def test_groups_that_will_not_listen_are_ended_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A daemon left behind would go on reading the API, and hold the warehouse, unseen."""
    monkeypatch.setattr(supervised, "STOP_SIGNALS", tuple((number, 0.3) for number, _ in supervised.STOP_SIGNALS))
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    children = [
        Child(Program(f"stubborn {n}", ["stubborn"], lambda: True, 9.0), env, LogFile(tmp_path / f"{n}.log"))
        for n in "ab"
    ]
    logs = [tmp_path / f"{n}.log" for n in "ab"]
    give_up_at = time.monotonic() + PATIENCE_S
    while not all(log.exists() and "ready" in log.read_text() for log in logs) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    family = [psutil.Process(int(log.read_text().split()[1])) for log in logs]
    supervised.stop(children)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not any(child.has_group() for child in children)


def test_a_log_is_private_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "x.log", limit=1000)
    for number in range(300):
        log.write(f"line {number}\n".encode())
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1"]
    assert all(file.stat().st_size <= 1000 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert files[0].read_text().endswith("line 299\n")


def test_a_killed_sandbox_is_started_again_with_the_same_world_and_address(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    """Every tick of the sensor would be refused, for ever."""
    with embedded.running(tmp_path, arguments=("--clients", "3", "--cases", "20", "--transactions", "20")) as first:
        keeper = SandboxKeeper(tmp_path, Endpoint(first.url, Secret(first.key), None, True), supervisor)
        keeper.check()
        assert not said
        os.kill(json.loads((tmp_path / "sandbox" / "server.json").read_text())["pid"], signal.SIGKILL)
        give_up_at = time.monotonic() + PATIENCE_S
        while (not said or embedded.is_gone(tmp_path)) and time.monotonic() < give_up_at:
            keeper.check()
            time.sleep(0.02)
        with embedded.running(tmp_path) as second:
            assert (second.url, second.key) == (first.url, first.key)
    assert len(said) == 1
    assert said[0].startswith("The sandbox has died; restarting it")


KILLED = """
import os, sys, time
from pathlib import Path
from debitura_pipeline.supervision.supervisor import Supervisor
from tests.orchestration.test_supervisor import server
supervisor = Supervisor(os.environ, Path(sys.argv[1]), print)
supervisor.start(server(int(sys.argv[2])))
while not supervisor.is_up("web page"):
    time.sleep(0.05)
print("up", flush=True)
time.sleep(600)
"""


def test_nothing_is_left_of_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
