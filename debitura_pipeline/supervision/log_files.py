"""Write the output of child processes to log files of bounded size, and pick out the errors."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_BYTES = 10 * 2**20  # 20 MiB per process, with the previous file
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r" - (ERROR|CRITICAL) - ")


class LogFile:
    """`path`, mode 0600, and the previous file `path.1`. Never raises: a full disk must not stop the process that prints."""

    def __init__(self, path: Path, limit: int = MAX_BYTES) -> None:
        self.path = path
        self._limit = limit

    def write(self, line: bytes) -> None:
        """Append `line`, after rotating the file if it would exceed the limit."""
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size + len(line) > self._limit:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                file.write(line)


class Output:
    """Copies a child's output to its log until every process closes the pipe.

    `on_error`: called with the first line of each error that Dagster logs.
    """

    def __init__(self, stream: IO[bytes], log: LogFile, on_error: Callable[[str], None] | None = None) -> None:
        self._stream, self._log, self._on_error = stream, log, on_error
        self._lines: deque[str] = deque(maxlen=20)
        self._thread = threading.Thread(target=self._copy, name="output", daemon=True)
        self._thread.start()

    @property
    def last(self) -> str | None:
        """The last unindented line of a process that has ended, which skips the frames of a stack trace; None if empty."""
        self._thread.join(0.3)  # output may still be in the pipe
        lines = [line for line in self._lines if line and not line.startswith(" ")]
        return lines[-1][:300] if lines else None

    def _copy(self) -> None:
        with self._stream:
            for line in iter(self._stream.readline, b""):
                self._log.write(line)
                text = _COLOURS.sub("", line.decode(errors="replace")).rstrip()
                self._lines.append(text)
                if self._on_error is not None and _ERROR.search(text):
                    self._on_error(text[:300])
