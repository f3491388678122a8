"""The cluster's processes: started, killed, and started again a moment later, as systemd or Kubernetes would."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

AGAIN_AFTER_S = 2.0
LOOK_S = 0.5


@dataclass
class Program:
    """One program. `env`: its whole environment."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    log: Path
    before: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.before()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.env),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to the program alone: what becomes of its children is its own affair."""
        if self.process is not None:
            self.process.kill()

    def stop(self) -> None:
        """In order, with ten seconds for it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Keeper:
    """Starts programs again that have ended, whoever ended them."""

    programs: dict[str, Program] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self, program: Program) -> None:
        self.programs[program.name] = program
        program.start()

    def watch(self) -> None:
        threading.Thread(target=self._watch, name="keeper", daemon=True).start()

    def stop(self) -> None:
        """All programs, the last one first."""
        self._over.set()
        time.sleep(LOOK_S * 2 + AGAIN_AFTER_S)
        for program in reversed(self.programs.values()):
            program.stop()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            for program in self.programs.values():
                if program.process is not None and program.process.poll() is not None and not self._over.is_set():
                    time.sleep(AGAIN_AFTER_S)
                    self.restarts[program.name] = self.restarts.get(program.name, 0) + 1
                    program.start()


def run_of(program: Program) -> psutil.Process | None:
    """The process that executes a worker's run, if there is one."""
    try:
        children = psutil.Process(program.process.pid).children() if program.process is not None else []
        return next((child for child in children if "debitura_pipeline.workers.execute" in child.cmdline()), None)
    except psutil.Error:
        return None
