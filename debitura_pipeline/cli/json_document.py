"""The one JSON document of a command that is given `--json`: alone on standard output; all else goes to standard error.

Belongs here: its form and its end. Does not: what is in it (`cli.py`). Names are snake_case, money is text, instants are ISO in
UTC. Every document ends with `status` (done, failed) and `exit_status`, and says in `error` why where it is not 0.
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
    """From here on whatever is printed goes to standard error. As the callback of a command's option `--json`."""
    if is_wanted and _current.out is None:
        _current.out, sys.stdout = sys.stdout, sys.stderr
    return is_wanted


def give(**facts: Any) -> None:
    """Put facts into the document; without `--json` they go nowhere."""
    _current.facts.update(facts)


def fail(error: str) -> None:
    """Why the exit status will not be 0, in one line. The first reason stays."""
    _current.error = _current.error or " ".join(error.split())


def finish(status: int, arguments: list[str]) -> None:
    """Print the document, if one is wanted; standard output is as it was. A command line that was not understood wants one
    where it says so."""
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
