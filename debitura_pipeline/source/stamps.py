"""Notice that a file is still being written: a cut in its last value would pass for a whole row."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

RECENT_S = 5.0  # a file that was written within this time is looked at a second time
SECOND_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes whenever a file is written or replaced. Times in nanoseconds. `size`: None for what is no regular file."""

    path: str
    size: int | None
    mtime_ns: int
    ctime_ns: int
    inode: int


class StillWritten(Exception):
    """A file changed while it was read."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file. Raises OSError."""
    found = path.stat()
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return Stamp(str(path), size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True)
class SettledReader:
    """Reads whole files. `clock`: seconds since 1970."""

    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def read(self, path: Path) -> bytes:
        """The bytes of a file that stays as it is while it is read; one written lately is looked at again a second later.

        Raises StillWritten, OSError.
        """
        before = stamp_of(path)
        content = path.read_bytes()
        if before.size is None:  # a pipe ends when its writer does
            return content
        if self.clock() - before.mtime_ns / 1e9 < RECENT_S:
            self.sleep(SECOND_LOOK_S)
        if len(content) != before.size or not _is_same(before, stamp_of(path)):
            raise StillWritten
        return content


def _is_same(one: Stamp, other: Stamp) -> bool:
    """Rights and links, which only ctime tells of, may change while a file is read."""
    return (one.size, one.mtime_ns, one.inode) == (other.size, other.mtime_ns, other.inode)


def as_bytes(stamps: Sequence[Stamp]) -> bytes:
    """The stamps of several files, for a hash."""
    return b"\0".join(os.fsencode(f"{one.path}|{one.size}|{one.mtime_ns}|{one.ctime_ns}|{one.inode}") for one in stamps)
