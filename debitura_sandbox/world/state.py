"""The journal of a world: apply changes, persist them with the options, and rebuild the world from them.

The file is replaced atomically, mode 0600. It contains no personal data: names sent to `POST /clients` stay in memory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from debitura_sandbox.world import commands
from debitura_sandbox.world.change import Entry
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.initial_state import make_world
from debitura_sandbox.world.world import World, WorldOptions

FORMAT = 1


class Journal:
    """A world and the journal of its changes. A served world is changed through it only."""

    def __init__(self, options: WorldOptions, file: Path | None = None) -> None:
        self.world: World = make_world(options)
        self.entries: list[Entry] = []
        self.clock_us = self.world.now_us
        self._file = file
        if file is not None:
            self._write()

    @classmethod
    def open(cls, file: Path, options: WorldOptions) -> Journal:
        """Replay the journal in `file`, or create one with these options. Raises ValueError for another format."""
        stored = read_state(file)
        if stored is None:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return cls(options, file)
        journal = cls(WorldOptions.from_dict(stored["options"]))
        for entry in stored["journal"]:
            commands.apply(journal.world, entry)
            journal.entries.append(entry)
        journal.clock_us = max(int(stored["clock_us"]), journal.world.now_us)
        journal._file = file
        return journal

    def do(self, entry: Entry, now_us: int) -> tuple[dict[str, Any], list[Event]]:
        """Apply a change and persist it. `now_us`: the instant of changes that need one and have none.

        Raises UnknownChangeError and OSError.
        """
        entry = {"at": now_us, **entry} if "at" in _NEEDS.get(str(entry.get("op")), ()) else dict(entry)
        facts, events = commands.apply(self.world, entry)
        previous = self.entries[-1] if self.entries else {}
        if entry["op"] == "advance" == previous.get("op"):
            self.entries[-1] = {"op": "advance", "days": previous["days"] + entry["days"]}
        elif entry["op"] == "webhooks" == previous.get("op"):
            self.entries[-1] = entry
        else:
            self.entries.append(entry)
        self.keep_clock(now_us)
        return facts, events

    def keep_clock(self, now_us: int) -> None:
        """Persist the clock, so that it never goes back."""
        self.clock_us = max(self.clock_us, now_us, self.world.now_us)
        self._write()

    def _write(self) -> None:
        if self._file is None:
            return
        state = {
            "format": FORMAT, "options": self.world.options.as_dict(), "clock_us": self.clock_us, "journal": self.entries,
        }  # fmt: skip
        draft = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(state, out, indent=1)
        draft.replace(self._file)


_NEEDS = dict.fromkeys(
    (
        "row", "add_client", "withdraw", "register", "ask_link", "approve_link", "renew_link", "submit_case", "refuse_case",
        "collect",
    ),
    ("at",),
)  # fmt: skip


def read_state(file: Path) -> dict[str, Any] | None:
    """The content of a state file; None if it does not exist. Raises ValueError for another format."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if stored.get("format") != FORMAT:
        raise ValueError(
            f"{file} has format {stored.get('format')}, this version reads {FORMAT}; delete it to start over"
        )
    return dict(stored)
