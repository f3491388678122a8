"""Read a sync's journal into typed lines. Damage is one clear error, never a traceback.

A journal is JSON lines: `begin`, one `window` each, `end` once all windows are verified, then `merged`, or `refused` if the
warehouse rejected it. The bytes up to the end of the `end` line are the sync's certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from debitura_pipeline.errors import JournalDamaged, LandingError
from debitura_pipeline.landing.journal_lines import Begin, End, Line, WindowLine, decode


@dataclass
class Journal:
    """Complete lines of a journal, their size in bytes, and the certificate's size (None: unfinished)."""

    lines: list[Line] = field(default_factory=list)
    size: int = 0
    certified: int | None = None


def read_journal(path: Path) -> Journal:
    """The journal at `path`; empty if it does not exist. An incomplete last line, left by a crash, is ignored.

    Raises JournalDamaged on any other damage, LandingError if the file cannot be read.
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
        fault = line if isinstance(line, str) else _misplaced(line, number, found)
        if isinstance(line, str) or fault:
            raise damaged(path, f"line {number} {fault}")
        found.lines.append(line)
        if isinstance(line, End):
            found.certified = at
    return found


def damaged(journal: Path, what: str) -> JournalDamaged:
    """The error for a damaged journal, with the advice."""
    return JournalDamaged(
        f"{journal} is damaged: {what}. Nothing was touched; `debitura repair` says what can be done."
    )


def _parsed(text: bytes) -> Line | str:
    """A line, or what is wrong with it; never its values."""
    try:
        line: Line = decode(text)
    except msgspec.ValidationError as error:
        _, _, place = str(error).partition(" - at `$.")
        return f"lacks a sound `{place.rstrip('`')}`" if place else "is not a line of a journal"
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "is not a line of a journal"
    return line


def _misplaced(line: Line, number: int, before: Journal) -> str:
    """Why a line cannot be at its position; empty if it can."""
    if isinstance(line, Begin) != (number == 1):
        return "is not `begin`" if number == 1 else "begins once more"
    if isinstance(line, WindowLine | End) and before.certified is not None:
        return f"is a `{'end' if isinstance(line, End) else 'window'}` after the end"
    return ""
