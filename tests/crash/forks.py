"""Runs the command `debitura` in processes forked from one that has its imports behind it, and kills them at write points."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from debitura_pipeline.cli.app import app
from debitura_pipeline.cli.exit_status import exit_status_of
from tests.crash.points import install
from tests.support.forks import import_modules

ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class End:
    """How a command ended: exit status (negative: the signal), write points passed, what it printed."""

    status: int
    points: int
    said: str


class CommandForks:
    """A process that forks. One command at a time."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forks"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, env: Mapping[str, str], *arguments: str, deadly: int = 0, after_s: float | None = None) -> End:
        """One command to its end. `deadly`: the write point to die at. `after_s`: killed from outside that late."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([dict(env), arguments, deadly]) + "\n")
        pid = int(self._process.stdout.readline())
        if after_s is not None:
            time.sleep(after_s)
            os.kill(pid, signal.SIGKILL)  # its status is not read before the next line, so the number is nobody else's
        self._process.stdin.write("\n")
        return End(*json.loads(self._process.stdout.readline()))


def _serve() -> None:
    import_modules()
    while line := sys.stdin.readline():
        env, arguments, deadly = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(_work(env, arguments, deadly, writing))
        os.close(writing)
        _say(str(child))
        with os.fdopen(reading) as told:
            words = told.read()
        sys.stdin.readline()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        points, said = json.loads(words) if words else (0, "")
        _say(json.dumps([status, points, said]))


def _work(env: Mapping[str, str], arguments: list[str], deadly: int, writing: int) -> int:
    for name in [name for name in os.environ if name.startswith(("DEBITURA_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ.update(env)
    os.chdir(Path(env["DEBITURA_DATA_DIR"]).parent)
    points, said = install(deadly), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        try:
            status = exit_status_of(lambda: app(arguments, standalone_mode=True))
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException as error:  # noqa: BLE001
            said.write(f"Traceback: {error!r}")
            status = 99
    os.write(writing, json.dumps([points.count, said.getvalue()[-2000:]]).encode())
    return status


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
