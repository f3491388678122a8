"""One child process that is to live: started, watched, ended with all that it started.

Belongs here: a child's life and whether it answers. Does not: what is done when it does not (`supervisor.py`).
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

ASK_EVERY_S = 2.0
UP_WITHIN_S = 300.0  # it takes a quarter of a minute; a busy machine takes many times that
LOOK_EVERY_S = 0.1
# How long groups may take to end after each signal, less than interrupts.GRACE_S in all: Dagster's processes end on the
# first, and its steps with them; what is in the middle of a long statement ends on the last, and loses nothing.
STOPPING = ((signal.SIGINT, 3.5), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0))


@dataclass(frozen=True)
class Program:
    """What to run, after `python -m`, and how to see that it works. `answers`: asked from another thread, False or an OSError
    where it does not. `silent_s`: so long without an answer, once it has answered, it counts as hung."""

    name: str
    arguments: Sequence[str]
    answers: Callable[[], bool]
    silent_s: float
    on_error: Callable[[str], None] | None = None
    before: Callable[[], None] = field(default=lambda: None)


class Child:
    """A running `Program`, with a process group of its own that ends when this process is killed."""

    def __init__(self, program: Program, env: Mapping[str, str], log: LogFile) -> None:
        self.program = program
        program.before()
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-m", *program.arguments],
            cwd=PROJECT_ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for us
            umask=0o077,  # logs and event storage are the owner's alone
        )
        self._guard = ExitStack()
        self._guard.enter_context(ends_with_us(self.pid, is_group=True))
        assert self._process.stdout is not None
        self._output = Output(self._process.stdout, log, program.on_error)
        self._started_at = time.monotonic()
        self._answered_at: float | None = None
        self._over = threading.Event()
        threading.Thread(target=self._ask, name=program.name, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_up(self) -> bool:
        """Whether it has answered since it was started."""
        return self._answered_at is not None

    def fault(self) -> str | None:
        """How it died, or that it hangs; None while all is well."""
        status = self._process.poll()
        if status is not None:
            if status < 0:
                return f"was killed ({signal.Signals(-status).name})"
            said = self._output.last
            return f"ended with status {status}" + (f" ({said})" if said else "")
        now = time.monotonic()
        if self._answered_at is None:
            silent = now - self._started_at > UP_WITHIN_S
            return f"did not come up within {UP_WITHIN_S:.0f} s" if silent else None
        silent_s = now - self._answered_at
        return f"has not answered for {silent_s:.0f} s" if silent_s > self.program.silent_s else None

    def kill(self) -> None:
        """End the process itself, not what it started: runs under way go on."""
        self._over.set()
        self._process.kill()
        self._process.wait()

    def has_family(self) -> bool:
        """Whether anything of its group lives."""
        self._process.poll()
        return group_lives(self.pid)

    def forget(self) -> None:
        """Nothing of it is left, or it is to be left alone."""
        self._over.set()
        self._guard.close()

    def _ask(self) -> None:
        while not self._over.is_set():
            with suppress(Exception):  # whatever it is, it is no answer
                if self.program.answers():
                    self._answered_at = time.monotonic()
            self._over.wait(ASK_EVERY_S)


def stop(children: Iterable[Child]) -> None:
    """End the children's whole groups: politely, then firmly. Returns when none is left or nothing more can be done."""
    left = list(children)
    for number, patience_s in STOPPING:
        for child in left:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
        give_up_at = time.monotonic() + patience_s
        while left and time.monotonic() < give_up_at:
            for child in [child for child in left if not child.has_family()]:
                child.forget()
                left.remove(child)
            time.sleep(LOOK_EVERY_S)
    for child in left:
        child.forget()


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
