"""Go round the partners within a bounded time, and go on at the next tick where this one stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

WITHIN_S = 0.4  # of a tick; with what Dagster adds, less than a second


class Turns(msgspec.Struct, frozen=True):
    """A sensor's cursor. `next`: whose turn is next. `notes`: what the last visit has left for the next one, by partner."""

    next: str = ""
    notes: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> Turns:
        """The cursor; an empty one before the first tick, or after another version."""
        try:
            return msgspec.json.decode(cursor or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def as_text(self) -> str:
        """The cursor for Dagster."""
        return msgspec.json.encode(self).decode()


def take_turns(
    partners: Sequence[str],
    turns: Turns,
    visit: Callable[[str, str], str],
    within_s: float = WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> Turns:
    """Call `visit` with a partner and its note for each partner in turn, until all were visited or the time is over.

    `visit` returns the new note. At least one partner is visited. Partners that are no longer there are forgotten.
    """
    until = clock() + within_s
    start = partners.index(turns.next) if turns.next in partners else 0
    notes = {name: note for name, note in turns.notes.items() if name in set(partners)}
    for count, name in enumerate([*partners[start:], *partners[:start]]):
        if count and clock() >= until:
            return Turns(name, notes)
        notes[name] = visit(name, notes.get(name, ""))
    return Turns(turns.next if turns.next in partners else "", notes)
