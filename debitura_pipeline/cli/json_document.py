"""The JSON document that a command prints with `--json`. It is alone on standard output; the rest goes to standard error.

Names are snake_case, amounts are strings, instants are ISO 8601 in UTC. Every document has `status` (`done` or `failed`) and
`exit_status`, and `error` if the exit status is not 0. The commands decide what else is in it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

OPTION = "--json"


@dataclass
class _Document:
    out: TextIO | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


_current = _Document()


def begin(is_wanted: bool) -> bool:
    """Send all further output to standard error. The callback of a command's option `--json`."""
    if is_wanted and _current.out is None:
        _current.out, sys.stdout = sys.stdout, sys.stderr
    return is_wanted


def give(**facts: Any) -> None:
    """Add fields to the document. Has no effect without `--json`."""
    _current.facts.update(facts)


def fail(error: str) -> None:
    """Set `error`, in one line. The first error is kept."""
    _current.error = _current.error or " ".join(error.split())


def finish(status: int, arguments: list[str]) -> None:
    """Print the document if `--json` was given, and restore standard output.

    A usage error ends the command before `--json` is processed; `arguments` then tell whether it was given.
    """
    global _current
    document, _current = _current, _Document()
    if document.out is not None:
        sys.stdout = document.out
    elif not (status and document.error and OPTION in arguments):
        return
    ended: dict[str, Any] = {"status": "failed" if status else "done", "exit_status": status}
    if status:
        ended["error"] = document.error or f"ended with status {status}; standard error says more"
    sys.stdout.write(json.dumps({**document.facts, **ended}, indent=2, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date | Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")
