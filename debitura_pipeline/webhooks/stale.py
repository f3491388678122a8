"""Count deliveries that are genuine but too old and not known, in a file beside the segments.

It is not documented whether a repeated delivery is signed again. If it is not, some events only ever arrive too late, and this
must be reported.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.files import write_private_atomically

FILE = "stale.json"


class StaleCount(msgspec.Struct, frozen=True):
    """How many there were, and when the last one was refused (aware UTC)."""

    count: int = 0
    last_at: datetime | None = None


class StaleDeliveries:
    """The count of one inbox folder, for its receiver."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._found = read_stale(folder)

    def note(self, at: datetime) -> None:
        """Count one more. A full disk does not matter: the count in memory goes on."""
        self._found = StaleCount(self._found.count + 1, at)
        with suppress(OSError):
            write_private_atomically(self._path, msgspec.json.encode(self._found), fsync=False)


def read_stale(folder: Path) -> StaleCount:
    """The count of an inbox folder; zero if there is none."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=StaleCount)
    except (OSError, msgspec.DecodeError):
        return StaleCount()
