"""A lock that a living process holds: not its child, not its host's name, not the file that it leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.warehouse.process_lock import Holder, ProcessLock

HOLDER = """
import os, platform, subprocess, sys, time
from pathlib import Path
from debitura_pipeline.warehouse.process_lock import ProcessLock
platform.node = lambda: sys.argv[2]
lock = ProcessLock(Path(sys.argv[1]))
assert lock.take("nightly") is None
if "forked" in sys.argv:
    child = os.fork()
    if not child:
        time.sleep(600)
    print("child", child, flush=True)
if "executed" in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
    print("child", child.pid, flush=True)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path, host: str = "", child: str = "") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock, and the number of its child."""
    command = [sys.executable, "-c", HOLDER, str(path), host or platform.node(), child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(2 if child else 1)]
        assert "held\n" in said
        pid = next((int(line.split()[1]) for line in said if line.startswith("child")), 0)
        try:
            yield process, pid
        finally:
            process.kill()
            if pid:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("host", ["", "another-host"])
def test_the_second_is_told_who_at_once_and_a_killed_holder_holds_nothing(tmp_path: Path, host: str) -> None:
    path, lock = tmp_path / "run.lock", ProcessLock(tmp_path / "run.lock")
    slept: list[float] = []
    with holder(path, host) as (process, _):
        found = lock.take("sync", slept.append)
        assert found is not None and sum(slept) < 1
        assert (found.pid, found.host, found.what) == (process.pid, host or platform.node(), "nightly")
        assert lock.holder() == found
        assert not lock.is_held
        process.kill()
        process.wait()
        assert lock.holder() is None, "the file still names it"
        assert lock.take("sync") is None
    assert json.loads(path.read_text())["pid"] == os.getpid()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.release()
    assert path.read_text() == ""


@pytest.mark.parametrize("child", ["forked", "executed"])
def test_a_child_does_not_keep_the_lock_of_its_killed_parent(tmp_path: Path, child: str) -> None:
    """dbt or a worker that outlives the night would keep every later night out, under the name of a dead process."""
    with holder(tmp_path / "run.lock", child=child) as (process, pid):
        assert ProcessLock(tmp_path / "run.lock").take("sync") is not None
        process.kill()
        process.wait()
        os.kill(pid, 0)
        lock = ProcessLock(tmp_path / "run.lock")
        assert lock.take("sync") is None
        lock.release()


def _take_in_child(path: Path, told: multiprocessing.Queue[Holder | None]) -> None:
    told.put(ProcessLock(path).take("child"))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_does_not_have_its_parents_lock(tmp_path: Path, method: str) -> None:
    lock = ProcessLock(tmp_path / "run.lock")
    context: Any = multiprocessing.get_context(method)
    assert lock.take("nightly") is None
    told = context.Queue()
    child = context.Process(target=_take_in_child, args=(lock.path, told))
    child.start()
    found = told.get(timeout=60)
    child.join(60)
    assert found is not None
    assert found.pid == os.getpid()
    assert lock.is_held, "the child's end is not ours"
    assert ProcessLock(lock.path).take("another") is not None
    lock.release()


def test_one_object_holds_it_at_a_time_also_within_a_process(tmp_path: Path) -> None:
    first, second = (ProcessLock(tmp_path / "run.lock") for _ in range(2))
    assert first.take("a") is None
    assert second.take("b") is not None
    first.release()
    assert second.take("b") is None
    second.release()


def test_a_file_that_was_removed_or_is_damaged_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_text('{"pid": 1, "host": "elsewhere", "sin')
    lock = ProcessLock(path)
    assert lock.take("a") is None
    lock.release()
    path.unlink()
    assert lock.take("a") is None
    lock.release()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="cannot be used: File exists"):
        ProcessLock(tmp_path / "file" / "run.lock").take("a")
