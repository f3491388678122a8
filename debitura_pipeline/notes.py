"""How much a command tells: `-q` and `-v`. What our own code logs goes to standard error with the time.

Belongs here: that choice, and where log lines go. Does not: logging, or what is printed (`console.py`, which asks here). Other
libraries' loggers are left alone.
"""

from __future__ import annotations

import logging
import sys
import time

OURS = "debitura_pipeline"
_chosen = {"quiet": False}


class _OnStandardError(logging.Handler):
    """Asks for standard error anew each time: progress bars and a nightly run put themselves before it for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers
            self.handleError(record)


def is_quiet() -> bool:
    """Whether only errors, open problems and the last line are wanted."""
    return _chosen["quiet"]


def choose(*, is_quiet: bool, is_verbose: bool) -> None:
    """Log lines of this process from here on: errors alone, warnings as well, or everything."""
    _chosen["quiet"] = is_quiet
    handler = _OnStandardError()
    handler.setFormatter(_formatter())
    logger = logging.getLogger(OURS)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if is_verbose else logging.ERROR if is_quiet else logging.WARNING)


def _formatter() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter
