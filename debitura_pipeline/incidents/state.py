"""The state of incidents and of their messages: one file in the data directory, because a warehouse may be what has failed.

`ops.incidents` follows it (`record.py`). The file holds no address that messages are sent to, only a hash of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.files import write_private_atomically
from debitura_pipeline.incidents.findings import Key

FOLDER, FILE = "incidents", "state.json"
Event = Literal["opened", "reminder", "over"]

OPENED: Event = "opened"
REMINDER: Event = "reminder"
OVER: Event = "over"


class StateBusy(DebituraError):
    """Another process is reporting incidents at this moment."""


class Incident(msgspec.Struct):
    """One incident. `told_at`: when a message about it was first delivered. `explained_at`: when another one last had its cause.

    `is_recorded`: `ops.incidents` holds this version of it.
    """

    kind: str
    subject: str
    what: str
    opened_at: datetime
    since: datetime | None = None
    argument: str = ""
    closed_at: datetime | None = None
    told_at: datetime | None = None
    reminded_at: datetime | None = None
    explained_at: datetime | None = None
    is_recorded: bool = False

    @property
    def key(self) -> Key:
        """Kind and subject."""
        return self.kind, self.subject


class Message(msgspec.Struct):
    """A message on its way. `about`: kind, subject and opening of its incidents. `pending`: hashes of the addresses that did
    not take it yet."""

    event: Event
    about: list[tuple[str, str, datetime]]
    title: str
    body: str
    made_at: datetime
    pending: list[str]
    tries: int = 0
    retry_at: datetime | None = None


class State(msgspec.Struct):
    """Everything in the file. `noticed`: see `Facts`. `metrics`: the samples of the last metrics file.

    `is_seeded`: incidents that `ops.incidents` had open when the file was made are in it.
    """

    incidents: list[Incident] = []
    outbox: list[Message] = []
    noticed: list[tuple[str, str, datetime]] = []
    metrics: dict[str, dict[str, float]] = {}
    is_seeded: bool = False

    def open_(self) -> list[Incident]:
        """Incidents that are not over, explained ones included."""
        return [incident for incident in self.incidents if incident.closed_at is None]


def read_state(data_dir: Path) -> State | None:
    """The current state, to be read only; None if there is none or it cannot be read."""
    try:
        return msgspec.json.decode(_path(data_dir).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def write_state(data_dir: Path, state: State) -> None:
    """Replace the file. Raises OSError."""
    write_private_atomically(_path(data_dir), msgspec.json.encode(state), fsync=True)


@contextmanager
def exclusive_state(data_dir: Path, *, wait_s: float) -> Iterator[State | None]:
    """The state, with everybody else kept out for the length of the block. Raises StateBusy, OSError."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(folder / "state.lock", timeout=wait_s, mode=0o600):
            yield read_state(data_dir)
    except Timeout:
        raise StateBusy("Another process is reporting incidents.") from None


def _path(data_dir: Path) -> Path:
    return data_dir / FOLDER / FILE
