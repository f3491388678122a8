"""Reads a sync's journal: bytes -> lines whose shape is checked, so that damage is one clear error and never a traceback.

A journal is JSON lines: `begin`, then one `window` each, `end` once all windows are verified, `merged` once the warehouse
has them, or `refused` where it would not. The bytes up to the end of `end` are the sync's certificate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import JournalDamaged, LandingError

JOURNAL = "journal.jsonl"

Line = dict[str, Any]


@dataclass
class Journal:
    """Whole lines of a journal, the bytes they take, and the bytes of the certificate (None: not finished)."""

    lines: list[Line] = field(default_factory=list)
    size: int = 0
    certified: int | None = None


def read_journal(path: Path) -> Journal:
    """The journal at `path`; empty where there is none. A last line cut short by a crash is left out.

    Raises JournalDamaged on any other damage, LandingError where the file cannot be read.
    """
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise LandingError(f"{path} cannot be read: {error.strerror}. Check its owner and mode.") from None
    whole = data[: data.rfind(b"\n") + 1]
    found = Journal(size=len(whole))
    at = 0
    for number, text in enumerate(whole.split(b"\n")[:-1], 1):
        at += len(text) + 1
        line = _parsed(text)
        fault = "is not a line of a journal" if line is None else _fault(line, number, found)
        if line is None or fault:
            raise damaged(path, f"line {number} {fault}")
        found.lines.append(line)
        if line["line"] == "end":
            found.certified = at
    return found


def damaged(journal: Path, what: str) -> JournalDamaged:
    """The one error for a journal that cannot be used, with the way out."""
    return JournalDamaged(
        f"{journal} is damaged: {what}. Nothing was touched; `debitura repair` says what can be done."
    )


def _parsed(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("line"), str) else None


def _fault(line: Line, number: int, before: Journal) -> str:
    """What is wrong with a line where it stands, or nothing."""
    kind = line["line"]
    if (kind == "begin") != (number == 1):
        return "is not `begin`" if number == 1 else "begins once more"
    if kind in ("window", "end") and before.certified is not None:
        return f"is a `{kind}` after the end"
    wrong = [name for name, is_sound in _SHAPES.get(kind, {}).items() if not is_sound(line.get(name))]
    return f"(`{kind}`) lacks a sound `{wrong[0]}`" if wrong else ""


def _is_instant(value: object) -> bool:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return False
    return instant is not None and instant.utcoffset() is not None and MINYEAR < instant.year < MAXYEAR


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_file(value: object) -> bool:
    """The plain name of a file beside the journal, or none."""
    return value is None or (isinstance(value, str) and Path(value).name == value and value not in ("", JOURNAL))


def _is_optional_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_partner(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_optional_text, value))


def _is_list_of(is_item: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(is_item, value))


_SHAPES: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "begin": {
        "sync_id": _is_text,
        "resource": _is_text,
        "mode": _is_text,
        "at": _is_instant,
        "upper_bound": _is_instant,
        "tenant": _is_optional_text,
        "partner": _is_partner,
        "previous_sha256": _is_optional_text,
    },
    "window": {"seq": _is_count, "rows": _is_count, "file": _is_file, "sha256": _is_optional_text},
    "end": {
        "windows": _is_list_of(_is_count),
        "api": lambda value: isinstance(value, dict),
        "finished_at": _is_instant,
        "requests": _is_count,
        "retries": _is_count,
        "message": _is_optional_text,
    },
}
