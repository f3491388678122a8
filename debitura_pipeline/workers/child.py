"""The process that executes a worker's run or reads a part of a first load: started, ended with the worker, and asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.settings import WorkQueue, declared

RUN_MODULE, PART_MODULE = "debitura_pipeline.workers.execute", "debitura_pipeline.workers.part"
ENDS_WITHIN_S = 7.0  # after SIGINT: with the worker's own end, less than the ten seconds that `docker stop` gives
MAX_LINES = 20


@dataclass
class RunProcess:
    """Executes runs, and reads parts, one after another, each in a process of its own. `say`: called with one line for each.

    `is_verbose`: what the process writes goes to standard error. It is otherwise kept for the case that the process ends without
    a word. `grace_s`: how long a run may go on after `stop`.
    """

    say: Callable[[str], None]
    queue: WorkQueue
    is_verbose: bool = False
    grace_s: float = 0.0
    is_stopping: threading.Event = field(default_factory=threading.Event)
    _child: subprocess.Popen[bytes] | None = None

    def execute(self, run_id: str) -> None:
        """Execute a run and wait for its end. A run whose process is lost is failed at once, by another process."""
        began = time.monotonic()
        line = self._run(RUN_MODULE, run_id, f"Run {run_id[:8]}")
        if line is None and not self.is_stopping.is_set():
            line = self._run(RUN_MODULE, run_id, f"Run {run_id[:8]}")  # finds that no process has the run's lock
            line = line and {**line, "about": f"its process was killed, and its status is {line['status']}"}
        self.say(said(run_id, line, time.monotonic() - began))

    def read_part(self, load_id: str, number: int, partner: str | None) -> None:
        """Read a part of a first load and wait for its end. What goes wrong is the business of the run that loads."""
        began, name = time.monotonic(), f"Part {number} of {load_id}"
        line = self._run(PART_MODULE, json.dumps([load_id, number, partner]), name)
        self.say(said_of_part(name, partner, line, time.monotonic() - began))

    def stop(self) -> None:
        """End the run, in order: Dagster records it as failed, and retries it if it may. Returns at once."""
        self.is_stopping.set()
        threading.Thread(target=self._stop, name="stop", daemon=True).start()

    def kill(self) -> None:
        """End the run's process at once."""
        if (child := self._child) is not None:
            child.kill()

    @property
    def is_busy(self) -> bool:
        """Whether a run is being executed."""
        return self._child is not None

    def _stop(self) -> None:
        child = self._child
        if child is None:
            return
        for wait_s, number in ((self.grace_s, signal.SIGINT), (ENDS_WITHIN_S, signal.SIGKILL)):
            with suppress(subprocess.TimeoutExpired):
                child.wait(wait_s)
                return
            child.send_signal(number)

    def _run(self, module: str, argument: str, name: str) -> dict[str, Any] | None:
        """What the process said; None if it ended without a word. `name`: of its work, for people."""
        with tempfile.TemporaryFile() as kept:
            errors = None if self.is_verbose else kept
            command = [sys.executable, "-m", module, argument]
            with subprocess.Popen(  # noqa: S603 - ours
                command,
                env=_environment(self.queue, is_run=module == RUN_MODULE),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the worker, which ends the run in order
            ) as child:
                self._child = child
                try:
                    with ends_with_us(child.pid):
                        out = child.stdout.read() if child.stdout is not None else b""
                finally:
                    status = child.wait()
                    self._child = None
            with suppress(ValueError):
                found: dict[str, Any] = json.loads(out)
                return found
            if not self.is_stopping.is_set():
                _show_end(name, status, kept)
            return None


def said(run_id: str, line: dict[str, Any] | None, seconds: float) -> str:
    """One line for people about a run."""
    if line is None:
        return f"Run {run_id[:8]}: its process was ended after {seconds:.1f} s; the watchdog fails the run."
    of = ", ".join(part for part in (line["job"], line["partner"] and f"partner {line['partner']}") if part)
    what = f"Run {run_id[:8]} ({of})" if of else f"Run {run_id[:8]}"
    if line["about"]:
        return f"{what} is left alone: {line['about']}."
    return f"{what}: {line['status']} after {seconds:.1f} s."


def said_of_part(name: str, partner: str | None, line: dict[str, Any] | None, seconds: float) -> str:
    """One line for people about a part."""
    what = f"{name} (partner {partner})" if partner else name
    if line is None:
        return f"{what}: its process was ended after {seconds:.1f} s; the run that loads reads it."
    if line["status"] == "whole":
        return f"{what}: {line['rows']:,} rows after {seconds:.1f} s."
    return f"{what} is {line['status']}: {line['about']}."


def _environment(queue: WorkQueue, *, is_run: bool) -> dict[str, str]:
    """Only a run that may share a first load needs the broker; it finds its parts' readers on the queue that it came from."""
    env = {name: value for name, value in os.environ.items() if name != declared.CELERY_BROKER.name}
    if is_run and queue.first_load_readers > 1:
        env |= {declared.CELERY_BROKER.name: queue.broker.reveal(), declared.CELERY_QUEUE.name: queue.name}
    return env


def _show_end(name: str, status: int, kept: IO[bytes]) -> None:
    kept.seek(0)
    lines = kept.read().decode(errors="replace").splitlines()[-MAX_LINES:]
    end = f"by signal {-status}" if status < 0 else f"with exit status {status}"
    sys.stderr.write("\n".join([f"{name}: its process ended {end}.", *lines]) + "\n")
    sys.stderr.flush()
