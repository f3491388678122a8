"""The landing zone on disk: a folder per sync, a Parquet file per window, and a journal.

A folder is `<landing>/<resource>/sync=<id>/`. Its journal up to `end` is the sync's certificate (`journal.py`), and all that a
replay needs. `ops.syncs` decides whether a sync is merged; the journal's `merged` line is written afterwards.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.journal import damaged, read_journal
from debitura_pipeline.landing.journal_lines import (
    JOURNAL,
    Begin,
    End,
    Line,
    Merged,
    Refused,
    WindowLine,
    encode,
)

TAIL_BYTES = 4096  # the last line of a merged journal is far shorter
_MERGED = b'{"line":"merged"'


@dataclass
class SyncFolder:
    """A sync's folder and the lines of its journal so far. `certified`: size of the journal up to the end of the `end` line."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    size: int = 0
    certified: int | None = None

    @classmethod
    def create(cls, landing: Path, begin: Begin) -> SyncFolder:
        """Create a folder whose journal starts with `begin`. Raises LandingError if it cannot be written."""
        path = landing / begin.resource / f"sync={begin.sync_id}"
        try:
            path.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise LandingError(f"{path} cannot be made: {error.strerror}. Nothing was read or merged.") from error
        folder = cls(path)
        folder.append(begin)
        return folder

    @classmethod
    def load(cls, path: Path) -> SyncFolder:
        """Load an existing folder. Raises JournalDamaged, and LandingError if the journal cannot be read. An incomplete last
        line is ignored."""
        journal = read_journal(path / JOURNAL)
        return cls(path, journal.lines, journal.size, journal.certified)

    def append(self, line: Line) -> None:
        """Append a line and flush it to disk; an incomplete line left by a crash is cut off first.

        Raises LandingError if it cannot be written; the journal is then unchanged.
        """
        text = encode(line) + b"\n"
        try:
            handle = os.open(self.path / JOURNAL, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.truncate(self.size)
                file.seek(self.size)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LandingError(
                f"{self.path / JOURNAL} could not be written: {error.strerror}. What is landed stays; "
                "the same command goes on from there."
            ) from error
        self.size += len(text)
        self.lines.append(line)
        if isinstance(line, End):
            self.certified = self.size

    @property
    def begin(self) -> Begin:
        """The first line. Raises JournalDamaged if it is missing."""
        first = self.lines[0] if self.lines else None
        if not isinstance(first, Begin):
            raise damaged(self.path / JOURNAL, "it does not begin as a journal does")
        return first

    @property
    def windows(self) -> list[WindowLine]:
        """All landed windows in order, superseded ones included."""
        return [line for line in self.lines if isinstance(line, WindowLine)]

    @property
    def end(self) -> End | None:
        """The `end` line: every window is landed and verified. None if unfinished."""
        return next((line for line in self.lines if isinstance(line, End)), None)

    @property
    def mode(self) -> str:
        """The plan that was used: a nightly plan becomes a full read if that is no more expensive."""
        return (self.end.mode if self.end is not None else None) or self.begin.mode

    @property
    def is_merged(self) -> bool:
        """Whether the journal says that the sync is merged."""
        return any(isinstance(line, Merged) for line in self.lines)

    @property
    def is_open(self) -> bool:
        """Neither merged nor refused: an interrupted sync."""
        return bool(self.lines) and not any(isinstance(line, Merged | Refused) for line in self.lines)

    @property
    def certificate_sha256(self) -> str | None:
        """Hex SHA-256 of the certificate, the journal's bytes from `begin` to `end`; None if unfinished."""
        if self.certified is None:
            return None
        with (self.path / JOURNAL).open("rb") as file:
            return hashlib.sha256(file.read(self.certified)).hexdigest()

    def is_intact(self, file: str, sha256: str | None) -> bool:
        """Whether a landed file exists with the expected hash."""
        path = self.path / file
        return path.is_file() and sha256_of(path) == sha256


def folder_paths(landing: Path, resource: str | None = None) -> list[Path]:
    """Paths of all sync folders, whatever they contain."""
    return sorted(path for path in landing.glob(f"{resource or '*'}/sync=*") if path.is_dir())


def sync_folders(landing: Path, resource: str | None = None) -> Iterator[SyncFolder]:
    """All sync folders, oldest first by the sync's clock; folders without a journal are skipped.

    Raises JournalDamaged for the first journal that cannot be read.
    """
    found = [SyncFolder.load(path) for path in folder_paths(landing, resource)]
    yield from sorted((folder for folder in found if folder.lines), key=by_clock)


def unmerged(landing: Path, resource: str | None = None) -> list[SyncFolder]:
    """Folders whose journal does not end with `merged`, oldest first. Of merged ones, only the tail is read. Raises
    JournalDamaged."""
    paths = [path for path in folder_paths(landing, resource) if not _ends_merged(path / JOURNAL)]
    found = [SyncFolder.load(path) for path in paths]
    return sorted((folder for folder in found if folder.lines), key=by_clock)


def by_clock(folder: SyncFolder) -> tuple[datetime, str]:
    """Sort key: the sync's clock, then the folder's name."""
    return folder.begin.at, folder.path.name


def discard(folder: SyncFolder) -> None:
    """Delete an unfinished sync's folder. Raises LandingError if it is merged."""
    if folder.is_merged:
        raise LandingError(f"{folder.path} is merged; it is part of the record.")
    shutil.rmtree(folder.path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ends_merged(journal: Path) -> bool:
    """Whether the last complete line is `merged`."""
    try:
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except OSError:
        return False
    return len(lines) > 1 and lines[-1] == b"" and lines[-2].startswith(_MERGED)
