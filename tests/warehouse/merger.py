"""A process that merges nights and may be killed at any moment. Forked from one that has its imports behind it, so that
dozens of them cost little; `Merger` is the handle that tests hold.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from debitura_pipeline.errors import DebituraError, WarehouseError
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_run

DONE, REFUSED, KILLED = 0, 3, -signal.SIGKILL
ROOT = Path(__file__).resolve().parents[2]


def merge_all(env: Mapping[str, str], nights: Path) -> None:
    """Merge what is not merged yet, as a sync does: one opening per landing, the run's lock around them all."""
    settings = load_settings(env)
    with exclusive_run(settings, "test"):
        for landed in pickle.loads(nights.read_bytes()):
            with open_warehouse(settings) as warehouse:
                sql = "SELECT count(*) FROM ops.syncs WHERE resource = $1 AND as_of > $2"
                if warehouse.rows(sql, (landed.resource, landed.at)) == [(0,)]:
                    warehouse.merge(landed, allow_shrink=True)


class Merger:
    """Merges nights, each time in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.warehouse.merger"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def merge(
        self, env: Mapping[str, str], nights: Path, after_s: float = 0.0, strike: Callable[[int], None] | None = None
    ) -> tuple[int, str]:
        """Merge; `strike(pid)` comes down `after_s` later. How the merger ended: DONE, REFUSED or KILLED, and its last words."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([dict(env), str(nights)]) + "\n")
        merger = int(self._process.stdout.readline())
        try:
            if strike is not None:
                time.sleep(after_s)
                strike(merger)
        finally:
            self._process.stdin.write("struck\n")
        status, words = json.loads(self._process.stdout.readline())
        return status, words


def kill(merger: int) -> None:
    """Its exit status is read after the strike, not before, so the process is there and the number nobody else's."""
    os.kill(merger, signal.SIGKILL)


def _serve() -> None:
    while line := sys.stdin.readline():
        env, nights = json.loads(line)
        reading, writing = os.pipe()
        merger = os.fork()
        if merger == 0:
            os._exit(_work(env, Path(nights), writing))
        os.close(writing)
        _say(str(merger))
        with os.fdopen(reading) as said:
            words = said.read()
        # A zombie until the strike has come down: the number is given to no other process meanwhile.
        sys.stdin.readline()
        status = os.waitstatus_to_exitcode(os.waitpid(merger, 0)[1])
        _say(json.dumps([status, words]))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _work(env: Mapping[str, str], nights: Path, words: int) -> int:
    try:
        merge_all(env, nights)
        return DONE
    except WarehouseError as error:
        os.write(words, str(error).encode())
        return REFUSED
    except DebituraError as error:
        os.write(words, f"{type(error).__name__}: {error}".encode())
        return 4
    except BaseException as error:  # noqa: BLE001
        os.write(words, repr(error).encode())
        return 5


if __name__ == "__main__":
    _serve()
