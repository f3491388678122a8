"""A world, how it came to be, and the file that remembers it: options and a list of changes, nothing personal.

Belongs here: doing changes, writing them down, and rebuilding a world from what was written. Does not: what a change
does (`changes.py`). The file is replaced in one rename, mode 0600. Names given to `POST /clients` are kept in memory only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from debitura_sandbox.world import commands
from debitura_sandbox.world.commands import Entry
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.initial_state import make_world
from debitura_sandbox.world.world import World, WorldOptions

FORMAT = 1


class Journal:
    """The only way by which a served world changes."""

    def __init__(self, options: WorldOptions, file: Path | None = None) -> None:
        self.world: World = make_world(options)
        self.entries: list[Entry] = []
        self.clock_us = self.world.now_us
        self._file = file
        if file is not None:
            self._write()

    @classmethod
    def open(cls, file: Path, options: WorldOptions) -> Journal:
        """The journal in `file`, replayed; a new one, with these options, where there is none."""
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
        """Make a change and write it down. `now_us` fills in for a change that needs an instant and has none."""
        entry = {"at": now_us, **entry} if "at" in _NEEDS.get(str(entry.get("op")), ()) else dict(entry)
        facts, events = commands.apply(self.world, entry)
        previous = self.entries[-1] if self.entries else {}
        if entry["op"] == "advance" == previous.get("op"):
            self.entries[-1] = {"op": "advance", "days": previous["days"] + entry["days"]}
        else:
            self.entries.append(entry)
        self.keep_clock(now_us)
        return facts, events

    def keep_clock(self, now_us: int) -> None:
        """Remember how far the clock has run, so that it never goes back."""
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


_NEEDS = {"row": ("at",), "add_client": ("at",), "withdraw": ("at",), "register": ("at",)}


def read_state(file: Path) -> dict[str, Any] | None:
    """What a state file holds; None where there is none, or one of another format."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if stored.get("format") != FORMAT:
        raise ValueError(
            f"{file} has format {stored.get('format')}, this version reads {FORMAT}; delete it to start anew"
        )
    return dict(stored)
