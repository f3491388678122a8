"""The landing zone on disk: one folder a sync, one Parquet file a window, one journal that says what they are.

Belongs here: folders, the journal's lines, finding an interrupted sync again. Does not: what a window means or whether it
is proven (`extract/`), merging (`warehouse/`). The journal is the sync's certificate; a replay needs nothing else.

A folder is `<landing>/<resource>/sync=<id>/`. Lines of `journal.jsonl`: `begin`, then one `window` each, `end` once all
windows are verified, `merged` once the warehouse has them, or `refused` where it would not.
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

JOURNAL = "journal.jsonl"


@dataclass
class SyncFolder:
    """One sync's folder and the lines of its journal so far."""

    path: Path
    lines: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    @classmethod
    def create(cls, landing: Path, resource: str, sync_id: str, **facts: Any) -> SyncFolder:
        """A new folder whose journal begins with `facts`."""
        path = landing / resource / f"sync={sync_id}"
        path.mkdir(parents=True, mode=0o700)
        folder = cls(path)
        folder.append("begin", sync_id=sync_id, resource=resource, **facts)
        return folder

    @classmethod
    def load(cls, path: Path) -> SyncFolder:
        """An existing folder. A last line cut short by a crash is left out. Raises LandingError on any other damage."""
        journal = path / JOURNAL
        data = journal.read_bytes() if journal.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        try:
            lines = [json.loads(text) for text in whole.splitlines()]
        except ValueError:
            raise LandingError(f"{journal} cannot be read; the landing zone is damaged.") from None
        return cls(path, lines, len(whole))

    def append(self, kind: str, **facts: Any) -> None:
        """Add a line and see it to the disk; what a crash left of a half-written line is cut off first."""
        text = json.dumps({"line": kind, **facts}, default=_plain, separators=(",", ":")) + "\n"
        handle = os.open(self.path / JOURNAL, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.truncate(self.size)
            file.seek(self.size)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self.size += len(text.encode())
        self.lines.append(json.loads(text))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["line"] == kind]

    @property
    def begin(self) -> dict[str, Any]:
        if not self.lines or self.lines[0]["line"] != "begin":
            raise LandingError(f"{self.path / JOURNAL} does not begin as a journal does.")
        return self.lines[0]

    @property
    def end(self) -> dict[str, Any] | None:
        """The line that says that every window is landed and verified, or None."""
        return next(iter(self.of("end")), None)

    @property
    def is_merged(self) -> bool:
        return bool(self.of("merged"))

    @property
    def is_open(self) -> bool:
        """Neither merged nor refused: a sync that was interrupted."""
        return bool(self.lines) and not self.of("merged") and not self.of("refused")

    def instant(self, name: str) -> datetime:
        """An instant of the `begin` line, aware UTC."""
        return datetime.fromisoformat(self.begin[name])

    def file_intact(self, line: dict[str, Any]) -> bool:
        """The window's file is there with the bytes that were landed."""
        path = self.path / line["file"]
        return path.exists() and sha256_of(path) == str(line["sha256"])


def folders(landing: Path, resource: str | None = None) -> Iterator[SyncFolder]:
    """All sync folders, oldest first by the sync's own clock; folders without a journal are passed over."""
    found = [SyncFolder.load(path) for path in landing.glob(f"{resource or '*'}/sync=*") if path.is_dir()]
    yield from sorted(
        (folder for folder in found if folder.lines), key=lambda folder: (folder.instant("at"), folder.path.name)
    )


def discard(folder: SyncFolder) -> None:
    """Remove an unfinished sync's folder; a merged one is never removed."""
    if folder.is_merged:
        raise LandingError(f"{folder.path} is merged; it is part of the record.")
    shutil.rmtree(folder.path)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)
