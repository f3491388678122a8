"""A process that dies at a point where it writes: nothing catches it, and nothing is written after it.

Points are every change below the data directory (opening a file to write, renaming, removing, making a folder) and every
SQL statement of the warehouse that is not a query, commits included; and every request. What is not simulated: a power cut
that loses what was written but not yet on the disk, and a process that dies within one system call. Of a journal that
is being written, half a line may be left.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

READING_SQL = ("SELECT", "DESCRIBE", "SET", "WITH", "FROM", "PRAGMA", "EXPLAIN")
UNDOING_SQL = ("ROLLBACK",)  # what the engine does by itself when its process is gone
CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.link", "os.symlink", "os.truncate"}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HALF_A_LINE = b'{"line":"win'


class Died(BaseException):
    """The process is gone."""


class Deaths:
    """Counts points while armed, and dies at the one that was chosen; dead, every further point dies too."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._left = 0
        self._waiting = 0  # points after the first commit
        self.is_dead = False
        self.where = ""
        self.journal: Path | None = None  # that was about to be written
        self._is_watching = False

    def arm(self, points: int, *, after_commit: bool = False) -> None:
        """Die at the `points`-th point from now, or from the first commit on."""
        self._left, self._waiting = (0, points) if after_commit else (points, 0)
        self.is_dead, self.where, self.journal = False, "", None
        if not self._is_watching:  # such a hook stays until the process ends
            self._is_watching = True
            sys.addaudithook(self._on_event)

    def disarm(self) -> None:
        self._left, self._waiting, self.is_dead = 0, 0, False

    def point(self, what: str) -> None:
        """A point is reached: die, if it is the one."""
        if self._left == 0:
            if self.is_dead:
                raise Died(self.where)
            return
        self._left -= 1
        if self._left == 0:
            self.is_dead, self.where = True, what
            raise Died(what)

    def statement(self, sql: str) -> None:
        """The same for a statement of the warehouse."""
        verb = sql.split(None, 1)[0].upper()
        if verb not in READING_SQL and verb not in UNDOING_SQL:
            self.point(" ".join(sql.split())[:60])

    def committed(self) -> None:
        """A commit is done."""
        if self._waiting:
            self._left, self._waiting = self._waiting, 0

    def _on_event(self, event: str, args: tuple[Any, ...]) -> None:
        if self._left == 0 and not self.is_dead:
            return
        if event == "open":
            path, _, flags = args
            if not isinstance(flags, int) or not flags & WRITE_FLAGS:
                return
        elif event in CHANGING:
            path = args[0]
        else:
            return
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if not text.startswith(self._folder):
            return
        if text.endswith(".jsonl") and self._left == 1:
            self.journal = Path(text)
        self.point(f"{event} {Path(text).name}")


def tear(journal: Path) -> None:
    """Leave half a line at a journal's end, as a process does that dies while it writes one."""
    if journal.exists():
        with journal.open("ab") as file:
            file.write(HALF_A_LINE)
