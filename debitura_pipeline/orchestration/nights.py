"""The record of nightly runs, `nights.jsonl` in the data directory: one line when a run starts and one when it ends.

Dagster's storage knows neither what was proven nor runs that failed before they reached Dagster; it takes seconds to open and may
be lost with DAGSTER_HOME. A run without an end was killed, unless its process still holds the run lock. This module does not
import Dagster, because `debitura status` uses it.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.failures import chain
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.causes import cause_of
from debitura_pipeline.interrupts import was_interrupted
from debitura_pipeline.settings import Settings

FILE = "nights.jsonl"
# Lines, two per run. Truncated to KEPT when there are twice as many, so more than a year is always available.
KEPT = 800
RECENT_BYTES = 4096  # some five runs
COMMAND, DAGSTER = "command", "dagster"
INTERRUPTED = "interrupted before it was done"
MAX_REASON_LENGTH = 600
# Of SQLite, in which Dagster keeps its runs. They name no value.
SQLITE_FAULTS = (
    "file is not a database", "database disk image is malformed", "disk i/o error", "database or disk is full",
    "unable to open database file", "attempt to write a readonly database", "database is locked",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NightEntry:
    """One nightly run as recorded. Instants are this machine's clock, aware UTC.

    `outcome`: done or failed; None if it is running or was killed. `is_proven`: whether all three resources are proven; None if
    it failed. `reason`: why it failed or what is not proven, in one line without rows or personal data. `cause`: the same as
    one of `incidents/causes.py`; None if it is done, or was recorded before causes were.
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
    cause: str | None = None


def note_start(settings: Settings, run_id: str, started_by: str) -> None:
    """Record the start of a nightly run in this process, which must hold the run lock. Raises OSError."""
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


def note_end(
    settings: Settings,
    run_id: str,
    *,
    is_proven: bool | None,
    reason: str | None,
    has_failed: bool,
    cause: str | None = None,
) -> None:
    """Record the end of a nightly run. A full disk is only logged, so that it does not hide the run's own error."""
    ended = {
        "event": "ended",
        "run_id": run_id,
        "at": datetime.now(UTC).isoformat(),
        "outcome": "failed" if has_failed else "done",
        "is_proven": is_proven,
        "reason": " ".join(reason.split()) if reason else None,
        "cause": cause,
    }
    try:
        _append(settings, ended)
    except OSError as error:
        log.debug("the end of this run could not be recorded in %s: %s", settings.data_dir / FILE, error.strerror)


def note_failure(settings: Settings, run_id: str, reason: str) -> None:
    """Record the end of a run if it is a nightly run whose end is not recorded. Raises OSError."""
    if any(night.run_id == run_id and night.outcome is None for night in read_nights(settings.data_dir)):
        note_end(settings, run_id, is_proven=None, reason=reason, has_failed=True, cause=cause_of("", reason))


@contextmanager
def failure_to_start_noted(settings: Settings, run_id: str | None = None) -> Iterator[None]:
    """Record a failed nightly run if the block raises before the run has started. `run_id`: Dagster's run, if there is one.

    WarehouseBusy is not recorded: a command refused because another run is in progress is not a nightly run.
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
                reason, cause = storable_reason(error), storable_cause(error)
                note_end(settings, named, is_proven=None, reason=reason, has_failed=True, cause=cause)
        raise


def storable_reason(error: BaseException) -> str:
    """An exception in one line that may be stored: other libraries' messages are left out, they may quote a row."""
    if isinstance(error, DebituraError):
        return " ".join(str(error).split())[:MAX_REASON_LENGTH]
    if isinstance(error, KeyboardInterrupt | SystemExit) or was_interrupted():
        return INTERRUPTED
    if (fault := _fault_of_storage(error)) is not None:
        return f"Dagster's storage in DAGSTER_HOME cannot be used: {fault}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__} before the first step"


def _fault_of_storage(error: BaseException) -> str | None:
    """SQLite's words for a damaged or unusable file; None for anything else it says, which may quote a statement."""
    texts = [str(cause).lower() for cause in chain(error) if type(cause).__module__.partition(".")[0] == "sqlite3"]
    return next((fault for fault in SQLITE_FAULTS if any(fault in text for text in texts)), None)


def storable_cause(error: BaseException) -> str:
    """The cause of the same exception, of `incidents/causes.py`."""
    return cause_of(type(error).__name__, str(error))


def read_nights(data_dir: Path) -> list[NightEntry]:
    """All recorded runs, oldest first; none if there is no record. Lines truncated by a crash are skipped. Raises OSError."""
    with suppress(FileNotFoundError):
        return _entries((data_dir / FILE).read_text(errors="replace").splitlines())
    return []


def read_recent_nights(data_dir: Path) -> list[NightEntry]:
    """The latest recorded runs, oldest first: as many as it takes to include one that is done. Raises OSError.

    Reads the end of the file alone, because it is called for hundreds of partners.
    """
    part = RECENT_BYTES
    with suppress(FileNotFoundError), (data_dir / FILE).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while True:
            file.seek(max(size - part, 0))
            lines = file.read(part).decode(errors="replace").splitlines()
            nights = _entries(lines[1:] if part < size else lines)
            if part >= size or any(night.outcome == "done" for night in nights):
                return nights
            part *= 4
    return []


def _entries(lines: Iterable[str]) -> list[NightEntry]:
    nights: dict[str, NightEntry] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):
            _take(nights, json.loads(line))
    return list(nights.values())


def _take(nights: dict[str, NightEntry], line: dict[str, Any]) -> None:
    run_id, at = line["run_id"], datetime.fromisoformat(line["at"])
    if line["event"] == "began":
        nights[run_id] = NightEntry(run_id, at, line["started_by"], line["pid"], line["host"])
    elif run_id in nights:
        ended = {name: line[name] for name in ("outcome", "is_proven", "reason")} | {"cause": line.get("cause")}
        nights[run_id] = replace(nights[run_id], finished_at=at, **ended)


def _append(settings: Settings, line: dict[str, Any]) -> None:
    """Append in one write; start a new line if a crash has truncated the last one."""
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
