"""One supervised child process: start it, probe its health, end it with everything that it started.

`supervisor.py` decides what to do when it dies or hangs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from debitura_pipeline.orchestration.children import ends_with_us
from debitura_pipeline.settings import PROJECT_ROOT
from debitura_pipeline.supervision.log_files import LogFile, Output

PROBE_EVERY_S = 2.0
UP_WITHIN_S = 300.0  # usually 15 s, many times that on a busy machine
POLL_EVERY_S = 0.1
# Seconds that process groups have to end after each signal, less than interrupts.GRACE_S in total. Dagster's processes end on
# SIGINT, and its steps with them. A process in a long database statement needs SIGKILL, and loses nothing by it.
STOP_SIGNALS = ((signal.SIGINT, 3.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0))


@dataclass(frozen=True)
class Program:
    """What to run with `python -m`, and how to probe it.

    `is_healthy`: called from another thread; returns False or raises if the program does not answer. `silent_s`: seconds
    without an answer, after the first one, until it counts as hung. `on_error`: called with each error that it logs.
    `before`: called before each start. `env`: variables of this program alone.
    """

    name: str
    arguments: Sequence[str]
    is_healthy: Callable[[], bool]
    silent_s: float
    on_error: Callable[[str], None] | None = None
    before: Callable[[], None] = field(default=lambda: None)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class Child:
    """A running `Program` in a process group of its own, which ends when this process is killed."""

    def __init__(self, program: Program, env: Mapping[str, str], log: LogFile) -> None:
        self.program = program
        program.before()
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-m", *program.arguments],
            cwd=PROJECT_ROOT,
            env={**env, **program.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal must reach this process only
            umask=0o077,  # only the owner may read logs and event storage
        )
        self._guard = ExitStack()
        self._guard.enter_context(ends_with_us(self.pid, is_group=True))
        assert self._process.stdout is not None
        self._output = Output(self._process.stdout, log, program.on_error)
        self._started_at = time.monotonic()
        self._answered_at: float | None = None
        self._over = threading.Event()
        threading.Thread(target=self._probe, name=program.name, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    @property
    def is_up(self) -> bool:
        """Whether it has answered a probe since it was started."""
        return self._answered_at is not None

    def fault(self) -> str | None:
        """How it died, or that it hangs; None if it is running."""
        status = self._process.poll()
        if status is not None:
            if status < 0:
                return f"was killed ({signal.Signals(-status).name})"
            last_line = self._output.last
            return f"ended with status {status}" + (f" ({last_line})" if last_line else "")
        now = time.monotonic()
        if self._answered_at is None:
            silent = now - self._started_at > UP_WITHIN_S
            return f"did not start within {UP_WITHIN_S:.0f} s" if silent else None
        silent_s = now - self._answered_at
        return f"has not answered for {silent_s:.0f} s" if silent_s > self.program.silent_s else None

    def kill(self) -> None:
        """Kill the process itself, not its group: Dagster runs that it started continue."""
        self._over.set()
        self._process.kill()
        self._process.wait()

    def has_group(self) -> bool:
        """Whether any process of its group is alive."""
        self._process.poll()
        return group_lives(self.pid)

    def release(self) -> None:
        """Stop probing it, and let its group outlive this process."""
        self._over.set()
        self._guard.close()

    def _probe(self) -> None:
        while not self._over.is_set():
            with suppress(Exception):  # whatever the error, the program did not answer
                if self.program.is_healthy():
                    self._answered_at = time.monotonic()
            self._over.wait(PROBE_EVERY_S)


def stop(children: Iterable[Child]) -> None:
    """End the children's process groups with SIGINT, SIGTERM and SIGKILL in turn. Blocks until all have ended, or 5.5 s."""
    left = list(children)
    for number, patience_s in STOP_SIGNALS:
        for child in left:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
        give_up_at = time.monotonic() + patience_s
        while left and time.monotonic() < give_up_at:
            for child in [child for child in left if not child.has_group()]:
                child.release()
                left.remove(child)
            time.sleep(POLL_EVERY_S)
    for child in left:
        child.release()


def group_lives(group: int) -> bool:
    """Whether process group `group` has a live process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
