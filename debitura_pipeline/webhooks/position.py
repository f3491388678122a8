"""How far the inbox has been read into `ops.webhook_events`, and what waits there: a small file that sensors read.

Sensors never open the warehouse. If the file is lost, the inbox is read again from its beginning, which changes nothing. So is a
segment that was cut or replaced since: what was appended to it later may lie before the stored offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.webhooks.segments import FOLDER, Received, Repeated, checksum_before, read_entries, segments
from debitura_pipeline.webhooks.stale import read_stale

FILE = "position.json"
MAX_READ = 5_000  # events per run; the next one reads on


class Position(msgspec.Struct, frozen=True):
    """Everything before `offset` of `segment` is in `ops.webhook_events`. `pending`: events there that are not handled yet,
    `oldest_pending_at`: when the first of them was received. `link_event_at`: when the last event about an approval link was
    received. `checksum`: of the bytes before `offset` (`checksum_before`); None in files of earlier versions."""

    segment: int = 0
    offset: int = 0
    pending: int = 0
    oldest_pending_at: datetime | None = None
    link_event_at: datetime | None = None
    checksum: int | None = None


class InboxBatch(msgspec.Struct, frozen=True):
    """Entries behind a position, the segment and offset behind them, and the checksum of the bytes before that offset."""

    entries: tuple[Received | Repeated, ...]
    segment: int
    offset: int
    checksum: int | None


class InboxState(msgspec.Struct, frozen=True):
    """What waits in the inbox. `unread`: events not in `ops.webhook_events` yet.

    `stale`: genuine deliveries refused as too old and never seen in time, in all; `stale_at`: the last of them.
    """

    exists: bool
    unread: int = 0
    pending: int = 0
    oldest_waiting_at: datetime | None = None
    stale: int = 0
    stale_at: datetime | None = None

    @property
    def waiting(self) -> int:
        """Events without an outcome."""
        return self.unread + self.pending


def read_position(data_dir: Path) -> Position:
    """The position of a data directory's inbox; the beginning if there is none."""
    try:
        return msgspec.json.decode((data_dir / FOLDER / FILE).read_bytes(), type=Position)
    except (OSError, msgspec.DecodeError):
        return Position()


def write_position(data_dir: Path, position: Position) -> None:
    """Replace the position. Raises OSError."""
    write_private_atomically(data_dir / FOLDER / FILE, msgspec.json.encode(position), fsync=True)


def read_batch(data_dir: Path, position: Position, limit: int = MAX_READ) -> InboxBatch:
    """The next entries behind a position, in the order in which they were received. Raises WarehouseError."""
    with _readable(data_dir / FOLDER):
        return _read_batch(data_dir / FOLDER, position, limit)


def _read_batch(folder: Path, position: Position, limit: int) -> InboxBatch:
    entries: list[Received | Repeated] = []
    segment, offset, checksum = position.segment, position.offset, position.checksum
    for number, path in segments(folder):
        if number < position.segment or len(entries) >= limit:
            continue
        with suppress(FileNotFoundError):  # an old segment that the receiver has just removed
            segment, offset = number, _start(path, position) if number == position.segment else 0
            for entry, end in read_entries(path, offset):
                entries.append(entry)
                offset = end
                if len(entries) >= limit:
                    break
            checksum = checksum_before(path, offset)
    return InboxBatch(tuple(entries), segment, offset, checksum)


def _start(path: Path, position: Position) -> int:
    """The offset to read the position's segment from: 0 if the bytes before the stored one are not those that were read."""
    found = checksum_before(path, position.offset)
    is_same = found is not None and position.checksum in (found, None)
    return position.offset if is_same else 0


def inbox_state(data_dir: Path) -> InboxState:
    """What waits, without the warehouse. Reads only what lies behind the position. Raises WarehouseError."""
    folder = data_dir / FOLDER
    with _readable(folder):
        if not segments(folder):
            return InboxState(exists=False)
    position = read_position(data_dir)
    unread = [entry for entry in read_batch(data_dir, position).entries if isinstance(entry, Received)]
    waiting = [entry.received_at for entry in unread]
    waiting += [position.oldest_pending_at] if position.oldest_pending_at is not None else []
    stale = read_stale(folder)
    return InboxState(
        exists=True,
        unread=len(unread),
        pending=position.pending,
        oldest_waiting_at=min(waiting, default=None),
        stale=stale.count,
        stale_at=stale.last_at,
    )


def last_event_at(data_dir: Path) -> datetime | None:
    """When the newest event was received; None if there is none, or the inbox cannot be read. Reads a whole segment."""
    with suppress(OSError):
        for _, path in reversed(segments(data_dir / FOLDER)):
            found = [entry.received_at for entry, _ in read_entries(path) if isinstance(entry, Received)]
            if found:
                return max(found)
    return None


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WarehouseError(
            f"The inbox of webhooks cannot be read: {error.filename or folder}: {error.strerror}. It must belong to the user "
            "that runs the pipeline and the receiver."
        ) from None
