"""Restart programs that die or hang, with back-off; give up on all of them when one dies too often."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.supervision.child import Child, Program, stop
from debitura_pipeline.supervision.log_files import LogFile

MAX_DEATHS, WITHIN_S = 5, 300.0
FIRST_PAUSE_S = 1.0  # doubled after each death: 1, 2, 4, 8 s


class DevError(DebituraError):
    """A process of `debitura dev` keeps dying, or cannot be started."""


class Deaths:
    """When a program died within the last WITHIN_S seconds."""

    def __init__(self, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._first_pause_s = first_pause_s
        self._at: list[float] = []

    def pause_after(self, now: float) -> float | None:
        """Record a death at `now` (seconds). Returns the seconds to wait before a restart, or None if there were too many."""
        self._at = [at for at in self._at if now - at < WITHIN_S] + [now]
        if len(self._at) >= MAX_DEATHS:
            return None
        return float(self._first_pause_s * 2 ** (len(self._at) - 1))


class Supervisor:
    """Runs programs and restarts them. Call `check` periodically, and `close` at the end."""

    def __init__(
        self, env: Mapping[str, str], logs: Path, say: Callable[[str], None], first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._env, self._logs, self._say, self._first_pause_s = env, logs, say, first_pause_s
        self._children: dict[str, Child] = {}
        self._waiting: dict[str, tuple[float, Program]] = {}
        self._deaths: dict[str, Deaths] = {}
        self._left: list[Child] = []  # dead children whose process group still has runs

    def start(self, program: Program) -> None:
        """Start a program, whose output goes to a log file of its own."""
        self._children[program.name] = Child(program, self._env, LogFile(self._log_of(program.name)))

    def is_up(self, name: str) -> bool:
        """Whether the program is running and has answered."""
        return name in self._children and self._children[name].is_up

    def check(self) -> None:
        """End programs that hang, and restart those whose pause is over. Raises DevError if one has died too often."""
        for name, child in list(self._children.items()):
            fault = child.fault()
            if fault is not None:
                self._end(name, child, fault)
        now = time.monotonic()
        for name, (due_at, program) in list(self._waiting.items()):
            if now >= due_at:
                del self._waiting[name]
                self.start(program)
        for child in [child for child in self._left if not child.has_group()]:
            child.release()
            self._left.remove(child)

    def pause_for(self, name: str, fault: str) -> float:
        """Record a death, report it, and return the seconds until the restart. Raises DevError if there were too many."""
        pause_s = self._deaths.setdefault(name, Deaths(self._first_pause_s)).pause_after(time.monotonic())
        if pause_s is None:
            raise DevError(
                f"The {name} {fault}, for the {MAX_DEATHS}th time within {WITHIN_S / 60:.0f} minutes; giving up."
                f"{self._see(name)}"
            )
        self._say(f"The {name} {fault}; restarting it in {pause_s:.0f} s.{self._see(name)}")
        return pause_s

    def close(self) -> None:
        """End all programs and what they started."""
        stop([*self._children.values(), *self._left])
        self._children, self._left = {}, []

    def _end(self, name: str, child: Child, fault: str) -> None:
        child.kill()
        self._left.append(child)
        del self._children[name]
        pause_s = self.pause_for(name, f"(process {child.pid}) {fault}")
        self._waiting[name] = (time.monotonic() + pause_s, child.program)

    def _log_of(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.log"

    def _see(self, name: str) -> str:
        return f" Log: {self._log_of(name)}." if self._log_of(name).exists() else ""
