"""A process that runs nights on command and dies on command; `python -m tests.shared_store.runner`, one JSON line per run.

Each run is a fork, so that interpreter and imports are paid once. A night is a sync of everything, and a publication of tables
that hold its number in every row.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg.sql  # noqa: F401 - imported once, before the forks
import pyarrow.fs
import pyarrow.parquet  # noqa: F401

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.settings import Endpoint, Secret, load_settings
from debitura_pipeline.sync import sync
from debitura_pipeline.warehouse import shared_nights, spreadsheet  # noqa: F401
from debitura_pipeline.warehouse.publish import publish
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.support.s3 import control
from tests.support.sandbox import ROOT
from tests.warehouse.folders import fill

KILLED = -signal.SIGKILL


class Ended(NamedTuple):
    """Exit status of a run (negative: the signal that ended it), and its error or nothing."""

    status: int
    said: str


class Runner:
    """The process, from the other side."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def night(self, env: Mapping[str, str], number: int, **kill: Any) -> Ended:
        """One night. `at`, `when`: killed by the S3 server at that request. `after_s`: killed after so many seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"env": dict(env), "number": number, **kill}) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))


@contextmanager
def running() -> Iterator[Runner]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Runner(process)
        assert process.stdin is not None
        process.stdin.close()


def run_night(env: Mapping[str, str], number: int) -> None:
    """Raises DebituraError."""
    settings = load_settings(env)
    endpoint = Endpoint(env["DEBITURA_API_URL"], Secret(env["DEBITURA_API_KEY"]), None, is_simulated=True)
    with exclusive_run(settings, "night"):
        sync(settings, endpoint)
        fill(settings, number)
        publish(settings)


def _attempt(asked: dict[str, Any], told: int) -> int:
    env = asked["env"]
    if "after_s" in asked:
        timer = threading.Timer(asked["after_s"], lambda: os.kill(os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    if "at" in asked:
        control(env["AWS_ENDPOINT_URL"], f"kill/{os.getpid()}/{asked['at']}/{asked['when']}")
    try:
        run_night(env, asked["number"])
    except DebituraError as error:
        os.write(told, str(error).encode())
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        reading, told = os.pipe()
        child = os.fork()
        if child == 0:
            os._exit(_attempt(asked, told))
        os.close(told)
        with os.fdopen(reading, "rb") as said:
            text = said.read().decode()
        _, status = os.waitpid(child, 0)
        if "at" in asked:  # a kill that did not happen must not hit a process that gets the same number later
            control(asked["env"]["AWS_ENDPOINT_URL"], "watch")
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), text]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
