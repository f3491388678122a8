"""Starting what is measured and reading its cost from the operating system.

Belongs here: the sandbox as a process, a child's wall time, CPU time and peak memory. Does not: what is measured.
"""

from __future__ import annotations

import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

READY_WITHIN_S = 300.0
KEY = "sandbox-key"


@dataclass(frozen=True)
class Cost:
    """What one run of a process took. Memory in MiB; Linux reports it in KiB, macOS in bytes."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """A sandbox of its own process on a free loopback port, without rate limits; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "debitura_pipeline.sandbox",
        "serve",
        "--port",
        str(port),
        "--no-rate-limit",
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
    request = urllib.request.Request(f"{address}/me", headers={"XApiKey": KEY})
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
    began = time.monotonic()
    with subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def median(costs: Sequence[Cost]) -> Cost:
    """Median of each figure by itself."""
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s", "peak_mib")))


def describe() -> str:
    """The machine in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
