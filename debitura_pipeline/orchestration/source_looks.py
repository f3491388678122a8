"""What the sensor `wanted` keeps in its cursor, so that a source is read only when it may have changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.incidents.kinds import SOURCE_UNREADABLE
from debitura_pipeline.incidents.outbound_fault import clear_fault, note_fault
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.settings.addresses import POSTGRES
from debitura_pipeline.source.fingerprint import wanted_fingerprint, wanted_stamp
from debitura_pipeline.source.table import SourceTable

TABLE_INTERVAL = timedelta(minutes=5)  # only reading shows whether a table has changed


class SourceLook(msgspec.Struct, frozen=True):
    """A source at one tick. `stamp`: keyed hash of what is known without reading. `fingerprint`: None until a file has stayed
    the same for two ticks."""

    stamp: str
    fingerprint: str | None = None
    read_at: datetime | None = None


class WantedCursor(msgspec.Struct, frozen=True):
    """`failures`: ticks in a row that could not read a source. `looks`: by the source's name."""

    failures: int = 0
    looks: dict[str, SourceLook] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> WantedCursor:
        """The cursor; an empty one before the first tick, or after another version."""
        try:
            return msgspec.json.decode(cursor or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def as_text(self) -> str:
        """The cursor for Dagster."""
        return msgspec.json.encode(self).decode()


def look_at(
    settings: Settings, location: Secret, table: SourceTable[Any], before: SourceLook | None, now: datetime
) -> SourceLook:
    """The source now. A file is read once after it was written, a table every TABLE_INTERVAL. Raises SourceError."""
    stamp, is_table = wanted_stamp(settings, location, table), location.reveal().startswith(POSTGRES)
    if before is None or before.stamp != stamp:
        is_due = is_table  # a file may be half written
    else:
        age = None if before.read_at is None else now - before.read_at
        is_due = age is None or (is_table and not timedelta() <= age < TABLE_INTERVAL)
        if not is_due:
            return before
    return SourceLook(stamp, wanted_fingerprint(settings, location, table), now) if is_due else SourceLook(stamp)


def look_at_all(
    settings: Settings, sources: Iterable[tuple[Secret, SourceTable[Any]]], cursor: WantedCursor, now: datetime
) -> tuple[dict[str, SourceLook], list[DebituraError]]:
    """All sources, and why those cannot be read that are not in the first result; incidents are told of them."""
    looks, faults = {}, []
    for location, table in sources:
        try:
            looks[table.name] = look_at(settings, location, table, cursor.looks.get(table.name), now)
        except DebituraError as error:
            note_fault(settings.data_dir, table.name, SOURCE_UNREADABLE, error, is_passing=True)
            faults.append(error)
        else:
            clear_fault(settings.data_dir, table.name, passing_only=True)
    return looks, faults
