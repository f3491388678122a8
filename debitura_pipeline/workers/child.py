"""The process that executes a worker's run: started, ended when the worker is to end, and asked what became of the run."""

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
from debitura_pipeline.settings import declared

MODULE = "debitura_pipeline.workers.execute"
ENDS_WITHIN_S = 7.0  # after SIGINT: with the worker's own end, less than the ten seconds that `docker stop` gives
MAX_LINES = 20


@dataclass
class RunProcess:
    """Executes runs one after another, each in a process of its own. `say`: called with one line per run.

    `is_verbose`: what the process writes goes to standard error. It is otherwise kept for the case that the process ends without
    a word. `grace_s`: how long a run may go on after `stop`.
    """

    say: Callable[[str], None]
    is_verbose: bool = False
    grace_s: float = 0.0
    is_stopping: threading.Event = field(default_factory=threading.Event)
    _child: subprocess.Popen[bytes] | None = None

    def execute(self, run_id: str) -> None:
        """Execute a run and wait for its end. A run whose process is lost is failed at once, by another process."""
        began = time.monotonic()
        line = self._run(run_id)
        if line is None and not self.is_stopping.is_set():
            line = self._run(run_id)  # finds that no process has the run's lock
            line = line and {**line, "about": f"its process was killed, and its status is {line['status']}"}
        self.say(said(run_id, line, time.monotonic() - began))

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

    def _run(self, run_id: str) -> dict[str, Any] | None:
        """What the process said; None if it ended without a word."""
        with tempfile.TemporaryFile() as kept:
            errors = None if self.is_verbose else kept
            command = [sys.executable, "-m", MODULE, run_id]
            with subprocess.Popen(  # noqa: S603 - ours
                command,
                env=_environment(),
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
                _show_end(run_id, status, kept)
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


def _environment() -> dict[str, str]:
    """A run needs no broker."""
    return {name: value for name, value in os.environ.items() if name != declared.CELERY_BROKER.name}


def _show_end(run_id: str, status: int, kept: IO[bytes]) -> None:
    kept.seek(0)
    lines = kept.read().decode(errors="replace").splitlines()[-MAX_LINES:]
    end = f"by signal {-status}" if status < 0 else f"with exit status {status}"
    sys.stderr.write("\n".join([f"Run {run_id[:8]}: its process ended {end}.", *lines]) + "\n")
    sys.stderr.flush()
