"""What a killed process has started does not live on: an orphaned dbt writes into the next night, an orphaned daemon runs on."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

KILLED = """
import subprocess, sys, time
from debitura_pipeline.orchestration.children import ends_with_us
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
starter = [sys.executable, "-c", f"import subprocess; c = subprocess.Popen({sleeper}); print(c.pid, flush=True); c.wait()"]
is_group = "group" in sys.argv
child = subprocess.Popen(starter if is_group else sleeper, stdout=subprocess.PIPE, text=True, start_new_session=is_group)
pids = [child.pid, *([int(child.stdout.readline())] if is_group else [])]
with ends_with_us(child.pid, is_group=is_group, first=sys.argv[1]):
    print(*pids, flush=True)
    sys.stdin.read()
print("ended well", flush=True)
time.sleep(1)
print(child.poll(), flush=True)
child.kill()
"""


def started(*arguments: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    command = [sys.executable, "-c", KILLED, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize("arguments", [("KILL",), ("INT", "group")], ids=["one", "group"])
def test_a_child_ends_with_its_killed_parent(arguments: tuple[str, ...]) -> None:
    process, children = started(*arguments)
    with process:
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_a_child_is_left_alone_once_the_block_has_ended_well() -> None:
    process, _ = started("KILL")
    out, _ = process.communicate("")
    assert out.split("\n")[:2] == ["ended well", "None"]
