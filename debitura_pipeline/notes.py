"""Verbosity (`-q`, `-v`) and the log handler: this project's log records go to standard error, with timestamps.

Loggers of other libraries are not touched. Printed output is in `cli/console.py`.
"""

from __future__ import annotations

import logging
import sys
import time

OURS = "debitura_pipeline"
_chosen = {"quiet": False}


class _OnStandardError(logging.Handler):
    """Looks up `sys.stderr` for each record, because progress bars and nightly runs replace it temporarily."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - as logging's own handlers
            self.handleError(record)


def is_quiet() -> bool:
    """Whether only errors, open problems and the last line are printed."""
    return _chosen["quiet"]


def choose(*, is_quiet: bool, is_verbose: bool) -> None:
    """Set the log level of this process: errors only, warnings (the default) or everything."""
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
