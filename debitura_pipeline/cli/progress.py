"""Progress of a running command: bars on a terminal, a plain line every few seconds elsewhere.

A bar is removed when its step ends. A full bar that remains says what it is waiting for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from debitura_pipeline.cli import console
from debitura_pipeline.extract.reader import ReadProgress

LINE_EVERY_S = 10.0  # without a terminal: frequent enough to show activity, rare enough for a log
READ = "read; verifying and merging"


class ProgressDisplay(Protocol):
    """Shows the progress of a sync, for which it is called, and of the steps of a nightly run."""

    def __call__(self, state: ReadProgress) -> None: ...

    def began(self, step: str) -> None:
        """A step has started."""

    def built(self, step: str, made: int, planned: int) -> None:
        """A dbt step has built `made` of `planned` models."""

    def ended(self, step: str) -> None:
        """A step has ended."""


class PlainProgress:
    """Progress for logs: a line every LINE_EVERY_S seconds. Shorter steps print nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def __call__(self, state: ReadProgress) -> None:
        self._say(
            state.resource,
            f"{state.resource}: {state.pages} of {state.pages_known} pages read, {state.rows} rows landed",
        )

    def began(self, step: str) -> None:
        self._last[step] = self._clock()

    def built(self, step: str, made: int, planned: int) -> None:
        self._say(step, f"{step}: {made} of {planned} models built")

    def ended(self, step: str) -> None:
        self._last.pop(step, None)

    def _say(self, what: str, line: str) -> None:
        now = self._clock()
        if now - self._last.setdefault(what, now) >= LINE_EVERY_S:
            self._last[what] = now
            console.say(line)


class BarProgress:
    """Progress for a terminal: a bar per resource that is being read, and one for the running step."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, state: ReadProgress) -> None:
        is_read = state.pages >= state.pages_known
        status = READ if is_read else f"{state.pages} of {state.pages_known} pages"
        task = self._task(f"raw/{state.resource}")
        self._bars.update(
            task, completed=state.pages, total=max(state.pages_known, 1), status=f"{status}, {state.rows:,} rows"
        )

    def began(self, step: str) -> None:
        self._task(step)

    def built(self, step: str, made: int, planned: int) -> None:
        self._bars.update(self._task(step), completed=made, total=planned, status=f"{made} of {planned} models")

    def ended(self, step: str) -> None:
        task = self._tasks.pop(step, None)
        if task is not None:
            self._bars.remove_task(task)

    @property
    def tasks(self) -> list[Task]:
        """The bars that are shown."""
        return self._bars.tasks

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, status="")
        return self._tasks[name]


@contextmanager
def progress_display() -> Iterator[ProgressDisplay]:
    """Bars if the command prints to a terminal, lines otherwise."""
    if not console.out.is_terminal or console.out.quiet:
        yield PlainProgress()
        return
    with progress_bars(console.out) as bars:
        yield bars


@contextmanager
def progress_bars(terminal: Console) -> Iterator[BarProgress]:
    """Bars that are removed at the end of the block."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=terminal, transient=True) as bars:
        yield BarProgress(bars)
