"""What a process that works for one partner has seen between two runs: a small file that the sensors of all partners read.

The sensors hold no key. The file has no secret and nothing that the warehouse may not have: ids, dates, counts, keyed hashes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.onboarding.coverage import Coverage
from debitura_pipeline.onboarding.lifecycle import Client

FOLDER = "looks"  # of the data directory
LOOK, SEEN, HANDLED = "look.json", "seen", "handled"


class SourceState(msgspec.Struct, frozen=True):
    """A roster or claims. `fingerprint`: keyed hash of the content; None while a file is being written."""

    fingerprint: str | None
    may_write: bool


class SubscriptionsState(msgspec.Struct, frozen=True):
    """Webhook subscriptions at the API. `off`: number of those that are off; `may_enable`: whether a run may switch one on."""

    at: datetime
    total: int
    off: int
    may_enable: bool
    description: str


class Look(msgspec.Struct, frozen=True):
    """One look. `clients`: the newest, newest first; None where they could not be read (`fault`) or there is nothing to read.

    `unseen`: number of those that were in no look before that the sensor has handled. `fault`: one line.
    """

    at: datetime
    clients: tuple[Client, ...] | None = None
    unseen: int = 0
    sources: dict[str, SourceState] = msgspec.field(default_factory=dict)
    subscriptions: SubscriptionsState | None = None
    fault: str | None = None


def look_stamp(data_dir: Path) -> str:
    """Changes with each look; empty before the first."""
    with suppress(OSError):
        return str((data_dir / FOLDER / LOOK).stat().st_mtime_ns)
    return ""


def read_look(data_dir: Path) -> Look | None:
    """The latest look; None if there is none that can be read."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((data_dir / FOLDER / LOOK).read_bytes(), type=Look)
    return None


def write_look(data_dir: Path, look: Look) -> None:
    """Replace the look. Raises OSError."""
    _write(data_dir, LOOK, msgspec.json.encode(look))


def note_handled(data_dir: Path, look: Look) -> None:
    """Note that each client of a look has its partition, so that the next look need not read as far. Raises OSError."""
    _write(data_dir, HANDLED, look.at.isoformat().encode())


def seen_clients(data_dir: Path) -> Coverage:
    """The clients of all handled looks, including the last one if it has been handled."""
    try:
        found = Coverage.from_text((data_dir / FOLDER / SEEN).read_text())
    except (OSError, ValueError):
        found = Coverage()
    last, handled = read_look(data_dir), b""
    with suppress(OSError):
        handled = (data_dir / FOLDER / HANDLED).read_bytes()
    if last is None or not last.unseen or last.at.isoformat().encode() != handled:
        return found
    found = Coverage(found.digests | Coverage.of(client.key for client in last.clients or ()).digests)
    _write(data_dir, SEEN, found.as_text().encode())
    return found


def _write(data_dir: Path, name: str, content: bytes) -> None:
    for folder in (data_dir, data_dir / FOLDER):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private_atomically(data_dir / FOLDER / name, content, fsync=False)
