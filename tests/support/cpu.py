"""`--cpu-report FILE`: CPU seconds of each test phase and fixture, processes that it started included.

Rows are appended as tab-separated values: CPU seconds, wall seconds, `setup`/`call`/`teardown`/`fixture`, name. A test's setup
contains its fixtures. `python -m tests.support.cpu FILE` sums them up per directory, and lists what takes over 5 seconds.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

SLOW_S = 5.0


class CpuReport:
    """Measures one process of the test session and its descendants."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with self._measured("setup", item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with self._measured("call", item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        with self._measured("teardown", item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        with self._measured("fixture", f"{fixturedef.baseid}::{fixturedef.argname} ({fixturedef.scope})"):
            return (yield)

    @contextmanager
    def _measured(self, phase: str, name: str) -> Generator[None, None, None]:
        cpu_s, wall_s = cpu_seconds(), time.monotonic()
        try:
            yield
        finally:
            spent = f"{cpu_seconds() - cpu_s:.2f}\t{time.monotonic() - wall_s:.2f}\t{phase}\t{name}\n"
            with self._path.open("a") as file:
                file.write(spent)


def cpu_seconds() -> float:
    """User and system time so far of this process and of all its descendants, ended ones included."""
    me, total = psutil.Process(), 0.0
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def main(path: Path) -> None:
    """Print CPU and wall seconds per directory, and the slowest tests and fixtures."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    folders: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    names: dict[str, float] = defaultdict(float)
    for cpu, wall, phase, name in rows:
        if phase != "fixture":
            folder = "/".join(name.split("::")[0].split("/")[:2])
            folders[folder][0] += float(cpu)
            folders[folder][1] += float(wall)
        names[f"{'fixture' if phase == 'fixture' else 'test'} {name}"] += float(cpu)
    for folder, (cpu_s, wall_s) in sorted(folders.items(), key=lambda entry: -entry[1][0]):
        print(f"{cpu_s:8.1f} {wall_s:8.1f}  {folder}")  # noqa: T201
    print(f"{sum(cpu for cpu, _ in folders.values()):8.1f}  CPU seconds in all\n")  # noqa: T201
    for name, cpu_s in sorted(names.items(), key=lambda entry: -entry[1]):
        if cpu_s > SLOW_S:
            print(f"{cpu_s:8.1f}  {name}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
