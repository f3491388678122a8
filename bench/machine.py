"""Starting what is measured and reading its cost from the operating system.

Belongs here: the sandbox as a process, a child's wall time, CPU time and peak memory. Does not: what is measured.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_WITHIN_S = 300.0
KEY = "sandbox-key"


@dataclass(frozen=True)
class Cost:
    """What one run of a process took, with those that it started. Memory in MiB; Linux reports it in KiB, macOS in bytes."""

    wall_s: float
    cpu_s: float
    peak_mib: float


# Linux counts the memory of the process that starts another one as that one's, up to the moment when it becomes the
# program. This one may hold gigabytes of a comparison, hence a small one in between. Where the program has others work
# for it, what they hold together counts: each page of memory once, looked up twice a second.
LAUNCHER = """
import glob, json, os, subprocess, sys, threading, time

def family(pid):
    yield pid
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(path) as file:
                children = file.read().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))

def held_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except OSError:  # coming or going, or ended and not yet asked how
        return 0

def watch(pid):
    global together
    while not ended.wait(0.5):
        pids = list(family(pid))
        together = max(together, sum(map(held_kib, pids)) if len(pids) > 1 else 0)

together, ended = 0, threading.Event()
began = time.monotonic()
process = subprocess.Popen(sys.argv[2:])
threading.Thread(target=watch, args=(process.pid,), daemon=True).start()
_, status, used = os.wait4(process.pid, 0)
wall = time.monotonic() - began
ended.set()
unit = 1024 * 1024 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as file:
    json.dump([wall, used.ru_utime + used.ru_stime, max(used.ru_maxrss / unit, together / 1024)], file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@contextmanager
def sandbox(*options: str, is_limited: bool = False) -> Iterator[str]:
    """A sandbox of its own process on a free loopback port, without rate limits if not said otherwise; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "debitura_sandbox",
        "serve",
        "--port",
        str(port),
        *([] if is_limited else ["--no-rate-limit"]),
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until_ready(address, process)
            yield address
        finally:
            process.terminate()
            process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    # Not a request of the API: it would count against the minute that is measured.
    request = urllib.request.Request(f"{address}/sandbox/log", headers={"XApiKey": KEY})
    until = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("The sandbox did not come up.")


def run(command: Sequence[str], env: dict[str, str]) -> Cost:
    """Run `command` to its end and read its cost; ends the benchmark where it fails."""
    return measure(command, env)[0]


def measure(command: Sequence[str], env: dict[str, str]) -> tuple[Cost, Any]:
    """Run `command` to its end; its cost, and the JSON of its last line of output (None where there is none)."""
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile() as usage:
        ended = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCHER, usage.name, *command],
            env={**os.environ, **env}, stdout=output, check=False,
        )  # fmt: skip
        output.seek(0)
        lines = output.read().splitlines()
        cost = Cost(*json.load(usage)) if ended.returncode == 0 else None
    if cost is None:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}")
    return cost, json.loads(lines[-1]) if lines and lines[-1].startswith(b"{") else None


def settings(address: str, folder: Path, **more: str) -> dict[str, str]:
    """The environment of a pipeline that talks to the sandbox at `address` and never waits for its own budget."""
    return {
        "DEBITURA_API_URL": address,
        "DEBITURA_API_KEY": KEY,
        "DEBITURA_DATA_DIR": str(folder),
        "DEBITURA_REQUESTS_PER_MINUTE": "1000000",
        **more,
    }


def child(what: str, env: dict[str, str], *options: str) -> tuple[Cost, Any]:
    """Measure one of the programs of `bench/child.py`."""
    return measure([sys.executable, "-m", "bench.child", what, *options], env)


def load_now() -> str:
    """How busy the machine is: figures taken while others work mean little."""
    return f"load {os.getloadavg()[0]:.1f}"


def median(costs: Sequence[Cost]) -> Cost:
    """Median of each figure by itself."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s", "peak_mib")))


def describe() -> str:
    """The machine in one line, with how fast it is today: virtual machines of one kind differ by a factor of two."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{addition_ns():.0f} ns an addition, {page_fault_us():.1f} µs a page fault"
    )


def addition_ns() -> float:
    """Nanoseconds of CPU of an addition in a plain Python loop."""
    count, began, total = 5_000_000, time.process_time(), 0
    for number in range(count):
        total += number
    return (time.process_time() - began) / count * 1e9


def page_fault_us() -> float:
    """Microseconds of CPU of the first write to a page of memory: what starting programs and large results depend on."""
    count = 50_000
    began = time.process_time()
    with mmap.mmap(-1, count * mmap.PAGESIZE) as memory:
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1
    return (time.process_time() - began) / count * 1e6
