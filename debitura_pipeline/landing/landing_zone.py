"""The landing zone on disk: one folder a sync, one Parquet file a window, one journal that says what they are.

A folder is `<landing>/<resource>/sync=<id>/`. Its journal up to `end` is the sync's certificate (`journal.py`); a replay needs
nothing else. Whether a sync is merged is for the warehouse to say (`ops.syncs`); the line `merged` follows it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.journal import JOURNAL, Line, damaged, read_journal

TAIL_BYTES = 4096  # the last line of a merged journal is far shorter
_MERGED = b'{"line":"merged"'


@dataclass
class SyncFolder:
    """One sync's folder and the lines of its journal so far. `certified`: bytes of the journal up to the end of `end`."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    size: int = 0
    certified: int | None = None

    @classmethod
    def create(cls, landing: Path, resource: str, sync_id: str, **facts: Any) -> SyncFolder:
        """A new folder whose journal begins with `facts`. Raises LandingError where it cannot be written."""
        path = landing / resource / f"sync={sync_id}"
        try:
            path.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise LandingError(f"{path} cannot be made: {error.strerror}. Nothing was read or merged.") from error
        folder = cls(path)
        folder.append("begin", sync_id=sync_id, resource=resource, **facts)
        return folder

    @classmethod
    def load(cls, path: Path) -> SyncFolder:
        """An existing folder. Raises JournalDamaged; a last line cut short by a crash is no damage and left out."""
        journal = read_journal(path / JOURNAL)
        return cls(path, journal.lines, journal.size, journal.certified)

    def append(self, kind: str, **facts: Any) -> None:
        """Add a line and see it to the disk; what a crash left of a half-written line is cut off first.

        Raises LandingError where it cannot be written; the journal then counts as it was before.
        """
        text = json.dumps({"line": kind, **facts}, default=_plain, separators=(",", ":")) + "\n"
        try:
            handle = os.open(self.path / JOURNAL, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.truncate(self.size)
                file.seek(self.size)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LandingError(
                f"{self.path / JOURNAL} could not be written: {error.strerror}. What is landed stays; "
                "the same command goes on from there."
            ) from error
        self.size += len(text.encode())
        self.lines.append(json.loads(text))
        if kind == "end":
            self.certified = self.size

    def of(self, kind: str) -> list[Line]:
        return [line for line in self.lines if line["line"] == kind]

    @property
    def begin(self) -> Line:
        if not self.lines or self.lines[0]["line"] != "begin":
            raise damaged(self.path / JOURNAL, "it does not begin as a journal does")
        return self.lines[0]

    @property
    def end(self) -> Line | None:
        """The line that says that every window is landed and verified, or None."""
        return next(iter(self.of("end")), None)

    @property
    def is_merged(self) -> bool:
        return bool(self.of("merged"))

    @property
    def is_open(self) -> bool:
        """Neither merged nor refused: a sync that was interrupted."""
        return bool(self.lines) and not self.of("merged") and not self.of("refused")

    @property
    def certificate_sha256(self) -> str | None:
        """Hex SHA-256 of the certificate: the journal's bytes from `begin` to `end`; None while it is not finished."""
        if self.certified is None:
            return None
        with (self.path / JOURNAL).open("rb") as file:
            return hashlib.sha256(file.read(self.certified)).hexdigest()

    def instant(self, name: str) -> datetime:
        """An instant of the `begin` line, aware UTC."""
        return datetime.fromisoformat(self.begin[name])

    def file_intact(self, line: Line) -> bool:
        """The window's file is there with the bytes that were landed."""
        path = self.path / line["file"]
        return path.is_file() and sha256_of(path) == str(line["sha256"])


def folder_paths(landing: Path, resource: str | None = None) -> list[Path]:
    """Paths of all sync folders, whatever is in them."""
    return sorted(path for path in landing.glob(f"{resource or '*'}/sync=*") if path.is_dir())


def folders(landing: Path, resource: str | None = None) -> Iterator[SyncFolder]:
    """All sync folders, oldest first by the sync's own clock; folders without a journal are passed over.

    Raises JournalDamaged for the first journal that cannot be read.
    """
    found = [SyncFolder.load(path) for path in folder_paths(landing, resource)]
    yield from sorted((folder for folder in found if folder.lines), key=by_clock)


def unmerged(landing: Path, resource: str | None = None) -> list[SyncFolder]:
    """Folders whose journal does not end with `merged`, oldest first; of the others only the tail is read."""
    paths = [path for path in folder_paths(landing, resource) if not _ends_merged(path / JOURNAL)]
    found = [SyncFolder.load(path) for path in paths]
    return sorted((folder for folder in found if folder.lines), key=by_clock)


def by_clock(folder: SyncFolder) -> tuple[datetime, str]:
    return folder.instant("at"), folder.path.name


def discard(folder: SyncFolder) -> None:
    """Remove an unfinished sync's folder; a merged one is never removed."""
    if folder.is_merged:
        raise LandingError(f"{folder.path} is merged; it is part of the record.")
    shutil.rmtree(folder.path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ends_merged(journal: Path) -> bool:
    """Whether the last whole line says `merged`."""
    try:
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return False
    return len(lines) > 1 and lines[-1] == b"" and lines[-2].startswith(_MERGED)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)
