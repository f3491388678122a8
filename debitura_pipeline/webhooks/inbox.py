"""Write events to the inbox durably: one receiver per inbox, one write and one fdatasync per group of events.

A segment is given up after a failed write, because what is on the disk is then unknown; the next group begins another one.
A write counts only if folder, lock file and segment are still at their paths after it: an event in a deleted file is lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.warehouse.process_lock import Holder, ProcessLock
from debitura_pipeline.webhooks.position import read_position
from debitura_pipeline.webhooks.segments import (
    FOLDER,
    Entry,
    Received,
    cut_torn_tail,
    pack,
    read_entries,
    segment_path,
    segments,
)

LOCK_FILE = "receiver.lock"
PURPOSE, _AT = "webhooks", " at "  # in the lock file, with the address
REMEMBERED = timedelta(days=14)  # deliveries are repeated for an hour and a half, replays by hand come within days
SEGMENT_BYTES = 8 * 2**20
SEGMENT_AGE = timedelta(days=1)


class InboxReplaced(DebituraError):
    """The folder, the lock file or the open segment of an inbox was moved, deleted, replaced or cut."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"The inbox {folder} was changed by another program: its {what}. New deliveries are refused with 503; they come again.",
            cure="Start the receiver again, if nothing does so by itself; it takes the inbox that is there then. Run `debitura "
            "nightly` if events may be lost: it reads whatever they were about.",
        )


class Inbox:
    """The inbox of a data directory, open for writing. Not thread-safe. Use `close` at the end.

    `known`: ids of events of the last 14 days, with the instant that each was received at. `torn_bytes`: bytes that an
    interrupted write had left and that were cut off. `damaged_bytes`: bytes before the last event that can no longer be read.
    """

    def __init__(self, data_dir: Path, now: datetime, address: str | None = None) -> None:
        """Take the inbox, cut torn tails and read the known ids. `address`: the URL at which the receiver listens.

        Raises WarehouseBusy if another receiver has it, WarehouseError if the lock file cannot be used, OSError.
        """
        self.folder = data_dir.resolve() / FOLDER
        self._lock = receiver_lock(data_dir)
        holder = self._lock.take(PURPOSE + (f"{_AT}{address}" if address else ""))
        if holder is not None:
            raise WarehouseBusy(
                f"Another receiver has the inbox {self.folder}: {holder}. Nothing was touched. End that process first.",
                pid=holder.pid,
            )
        self._handle: int | None = None
        self._size = 0
        self._opened_at = now
        self.known: dict[str, datetime] = {}
        self.torn_bytes = self.damaged_bytes = 0
        try:
            found = segments(self.folder)
            # Never a number that was read before: its records would count as read.
            self._number = max(read_position(data_dir).segment, *(number for number, _ in found), 0)
            for _, path in found:
                torn, damaged = cut_torn_tail(path)
                self.torn_bytes += torn
                self.damaged_bytes += damaged
            self._remember(path for _, path in found)
            self.remove_old(now)
        except BaseException:
            self._lock.release()
            raise

    def append(self, entries: Sequence[Entry], now: datetime) -> None:
        """Append entries with one write and one fdatasync.

        Raises OSError, or InboxReplaced if they are not where the inbox is read; then none of them counts as stored.
        """
        data = b"".join(map(pack, entries))
        if self._handle is None or self._size + len(data) > SEGMENT_BYTES or now - self._opened_at > SEGMENT_AGE:
            self.check_in_place()
            self._leave()
            self.remove_old(now)
            self._open_next(now)
        assert self._handle is not None
        try:
            _write_all(self._handle, data)
            os.fdatasync(self._handle)
            self._check(self._size + len(data))
        except OSError:
            self._give_up()
            raise
        except InboxReplaced:
            self._leave()
            raise
        self._size += len(data)

    def check_in_place(self) -> None:
        """Raises InboxReplaced if an event that is written now would not be read later, OSError if that cannot be told."""
        self._check(self._size)

    def remove_old(self, now: datetime) -> None:
        """Forget old ids, and delete segments in which nothing was written for twice the time that events are remembered.

        Segments that were not read into the warehouse yet are kept, whatever their age.
        """
        self.known = {name: at for name, at in self.known.items() if at >= now - REMEMBERED}
        limit = (now - 2 * REMEMBERED).timestamp()
        read_up_to = read_position(self.folder.parent).segment
        for number, path in segments(self.folder):
            with suppress(OSError):
                if number < min(self._number, read_up_to) and path.stat().st_mtime < limit:
                    path.unlink()

    def close(self) -> None:
        """Close the segment and let another receiver take the inbox."""
        self._leave()
        self._lock.release()

    def _remember(self, paths: Iterable[Path]) -> None:
        limit = self._opened_at - REMEMBERED
        for path in paths:
            for entry, _ in read_entries(path):
                if isinstance(entry, Received) and entry.received_at >= limit:
                    self.known[entry.id] = entry.received_at

    def _check(self, size: int) -> None:
        """The same, for an open segment of at least so many bytes."""
        if not self._lock.is_at_its_path():
            raise InboxReplaced(self.folder, "folder or lock file was moved, deleted or replaced")
        if self._handle is None:
            return
        with suppress(FileNotFoundError):
            found = self._path.stat()
            if os.path.samestat(found, self._identity):
                if found.st_size >= size:
                    return
                raise InboxReplaced(self.folder, f"segment {self._path.name} was cut")
        raise InboxReplaced(self.folder, f"segment {self._path.name} was moved, deleted or replaced")

    def _open_next(self, now: datetime) -> None:
        """Begin a new segment, whose name is durable before anything is written to it."""
        self._number += 1
        self._path = segment_path(self.folder, self._number)
        self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._size, self._opened_at, self._identity = 0, now, os.fstat(self._handle)
        try:
            folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Cut off what a failed write may have left, and never write to this segment again."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, min(self._size, os.fstat(self._handle).st_size))
            if self._size == 0:
                with suppress(OSError, InboxReplaced):
                    self._check(0)  # never delete a file of another receiver
                    self._path.unlink()
        self._leave()

    def _leave(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with suppress(OSError):
                os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    """A full disk may take a part of the data: the rest is then tried too, which raises."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def receiver_lock(data_dir: Path) -> ProcessLock:
    """The lock that the receiver of a data directory holds."""
    return ProcessLock(data_dir.resolve() / FOLDER / LOCK_FILE)


def address_of(holder: Holder) -> str | None:
    """The URL at which the receiver that holds a lock listens; None if it has not said."""
    return holder.what.partition(_AT)[2] or None
