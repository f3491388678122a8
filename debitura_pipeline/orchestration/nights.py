"""The record of nights, `nights.jsonl` in the data directory: a line when a night begins and a line when it ends.

Dagster's storage knows neither what was proven nor of a run that failed before Dagster had it, takes seconds to open, and may
be lost with DAGSTER_HOME; hence a record of its own. A night that begins and never ends was killed, unless the process that
has the run lock is the one that began it. Imports no Dagster: `debitura status` reads it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.interrupts import was_interrupted
from debitura_pipeline.settings import Settings

FILE = "nights.jsonl"
# Lines, two a night. Cut back to KEPT when there are twice as many: more than a year is then always there.
KEPT = 800
COMMAND, DAGSTER = "command", "dagster"
INTERRUPTED = "interrupted before it was done"
LONGEST_REASON = 600

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NightEntry:
    """One night as recorded. Instants are this machine's clock, aware UTC.

    `outcome`: done or failed, None while it is on or where it was killed. `is_proven`: of all three resources, None where it
    failed. `reason`: why it failed or what is not proven, one line without rows or persons.
    """

    run_id: str
    started_at: datetime
    started_by: str
    pid: int
    host: str
    finished_at: datetime | None = None
    outcome: str | None = None
    is_proven: bool | None = None
    reason: str | None = None


def note_start(settings: Settings, run_id: str, started_by: str) -> None:
    """A night begins in this process. To be called by the holder of the run lock. Raises OSError."""
    _append(
        settings,
        {
            "event": "began",
            "run_id": run_id,
            "at": datetime.now(UTC).isoformat(),
            "started_by": started_by,
            "pid": os.getpid(),
            "host": platform.node(),
        },
    )
    _cut(settings.data_dir / FILE)


def note_end(settings: Settings, run_id: str, *, is_proven: bool | None, reason: str | None, has_failed: bool) -> None:
    """That night is over. A full disk is not raised: what the night itself ended with is more telling."""
    ended = {
        "event": "ended",
        "run_id": run_id,
        "at": datetime.now(UTC).isoformat(),
        "outcome": "failed" if has_failed else "done",
        "is_proven": is_proven,
        "reason": " ".join(reason.split()) if reason else None,
    }
    try:
        _append(settings, ended)
    except OSError as error:
        log.debug("the end of this night could not be noted in %s: %s", settings.data_dir / FILE, error.strerror)


@contextmanager
def failure_to_start_noted(settings: Settings, run_id: str | None = None) -> Iterator[None]:
    """Put a night on record that the block could not even begin; `run_id`: of Dagster's run, where there is one already.

    A command that is refused since another run is on is no night.
    """
    since = datetime.now(UTC)
    try:
        yield
    except Exception as error:
        is_refused = run_id is None and isinstance(error, WarehouseBusy) and str(error).startswith("Another run")
        with suppress(OSError):
            if not is_refused and not any(night.started_at >= since for night in read_nights(settings.data_dir)):
                named = run_id or str(uuid.uuid4())
                note_start(settings, named, DAGSTER if run_id else COMMAND)
                note_end(settings, named, is_proven=None, reason=reason_of(error), has_failed=True)
        raise


def reason_of(error: BaseException) -> str:
    """An exception in one line, to be stored: of those that are not ours only what cannot hold a row or a person."""
    if isinstance(error, DebituraError):
        return " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, KeyboardInterrupt | SystemExit) or was_interrupted():
        return INTERRUPTED
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__} before a step had begun"


def read_nights(data_dir: Path) -> list[NightEntry]:
    """All nights on record, oldest first; none where there is no record. A line that a crash has torn is skipped."""
    nights: dict[str, NightEntry] = {}
    with suppress(FileNotFoundError):
        for line in (data_dir / FILE).read_text(errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                _take(nights, json.loads(line))
    return list(nights.values())


def _take(nights: dict[str, NightEntry], line: dict[str, Any]) -> None:
    run_id, at = line["run_id"], datetime.fromisoformat(line["at"])
    if line["event"] == "began":
        nights[run_id] = NightEntry(run_id, at, line["started_by"], line["pid"], line["host"])
    elif run_id in nights:
        ended = {name: line[name] for name in ("outcome", "is_proven", "reason")}
        nights[run_id] = replace(nights[run_id], finished_at=at, **ended)


def _append(settings: Settings, line: dict[str, Any]) -> None:
    """In one write, after a torn line on a line of its own."""
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(settings.data_dir / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(handle, "rb+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        is_torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * is_torn + json.dumps(line).encode() + b"\n")
        os.fsync(file.fileno())


def _cut(path: Path) -> None:
    lines = list(_lines(path))
    if len(lines) <= 2 * KEPT:
        return
    write_private_atomically(path, "".join(lines[-KEPT:]).encode(), fsync=False)


def _lines(path: Path) -> Iterator[str]:
    with path.open(errors="replace") as file:
        yield from file
