"""Read the roster or the claims: every row validated, hashed, and identified by the key that may be stored."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Generic, TypeVar

from debitura_pipeline.errors import SourceError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings
from debitura_pipeline.settings.addresses import POSTGRES
from debitura_pipeline.source.claims import CLAIMS, Claim
from debitura_pipeline.source.files import read_files
from debitura_pipeline.source.raw import RawRow, RawRows
from debitura_pipeline.source.roster import ROSTER, RosterClient
from debitura_pipeline.source.shrink import check_shrink
from debitura_pipeline.source.table import RowFault, SourceTable

T = TypeVar("T")
MAX_DUPLICATES_NAMED = 5


@dataclass(frozen=True, slots=True)
class SourceRow(Generic[T]):
    """One row. `number` counts data rows from 1, over all files of a source; `line` is that of a CSV or NDJSON file.

    `key`: the values of the table's key as in the source, "" where empty. `stored_key`: the same as they may be stored and
    shown, pseudonyms where they contain contact data. `row_hash`: keyed, the same for the same values in any format.
    `row`: None if the row has faults.
    """

    number: int
    key: tuple[str, ...] = field(repr=False)
    stored_key: tuple[str, ...]
    row_hash: str
    faults: tuple[RowFault, ...]
    row: T | None = field(repr=False)
    file: str | None = None
    line: int | None = None

    @property
    def where(self) -> str:
        """The row's number, and its line where it has one."""
        return f"row {self.number}" + (f" (line {self.line})" if self.line is not None else "")

    def reasons(self) -> list[str]:
        """The rules that it breaks, each with its column."""
        return [str(fault) for fault in self.faults]

    def located_reasons(self) -> tuple[str, ...]:
        """The same, each with the line in a CSV or NDJSON file."""
        line = f"line {self.line}: " if self.line is not None else ""
        return tuple(f"{line}{reason}" for reason in self.reasons())


@dataclass(frozen=True)
class SourceRead(Generic[T]):
    """All rows of a source. `label`: where they come from, without password. `unknown`: columns that are ignored."""

    label: str
    rows: tuple[SourceRow[T], ...]
    unknown: tuple[str, ...] = ()

    @property
    def valid(self) -> Iterator[SourceRow[T]]:
        """The rows without faults."""
        return (row for row in self.rows if row.row is not None)


def read_roster(
    settings: Settings, today: date, *, allow_shrink: bool = False, is_noted: bool = True
) -> SourceRead[RosterClient]:
    """The wanted clients. `today`: the day by the API's clock.

    Raises SourceError if DEBITURA_ROSTER is not set, cannot be read, or lost more than half of its rows since it was read
    last, unless `allow_shrink`. Without `is_noted`, the number of rows is neither compared nor kept.
    """
    return _read(settings, settings.outbound.roster, ROSTER, today, allow_shrink=allow_shrink, is_noted=is_noted)


def read_claims(
    settings: Settings, today: date, *, allow_shrink: bool = False, is_noted: bool = True
) -> SourceRead[Claim]:
    """The wanted claims. `today`: the day by the API's clock, for rules of dates.

    Raises SourceError if DEBITURA_CLAIMS is not set, cannot be read, or lost more than half of its rows since it was read
    last, unless `allow_shrink`. Without `is_noted`, the number of rows is neither compared nor kept.
    """
    return _read(settings, settings.outbound.claims, CLAIMS, today, allow_shrink=allow_shrink, is_noted=is_noted)


def ensure_set(location: Secret | None, table: SourceTable[Any]) -> Secret:
    """The source's address. Raises SourceError if the setting is missing."""
    if location is None:
        raise SourceError(
            f"{table.variable} is not set, so there is nothing to plan. Example: {table.variable}={table.name}.csv"
        )
    return location


def read_raw(location: Secret | None, table: SourceTable[Any]) -> RawRows:
    """The rows before any rule. Raises SourceError."""
    location = ensure_set(location, table)
    if location.reveal().startswith(POSTGRES):
        from debitura_pipeline.source.postgres_table import read_table  # noqa: PLC0415 - takes a while to load

        return read_table(location, table)
    return read_files(location.reveal(), table)


def label_of(location: Secret, table: SourceTable[Any]) -> str:
    """A file's path, or table, server and database, without user and password."""
    if not location.reveal().startswith(POSTGRES):
        return location.reveal()
    from debitura_pipeline.source.postgres_table import split_address  # noqa: PLC0415 - see above
    from debitura_pipeline.warehouse.postgres.connection import server_label  # noqa: PLC0415

    dsn, schema, name = split_address(location, table)
    return f"{schema}.{name} of {server_label(dsn)}"


def _read(
    settings: Settings,
    location: Secret | None,
    table: SourceTable[T],
    today: date,
    *,
    allow_shrink: bool,
    is_noted: bool,
) -> SourceRead[T]:
    raw = read_raw(location, table)
    location = ensure_set(location, table)
    label = label_of(location, table)
    if is_noted:
        check_shrink(settings, location, table, label, len(raw.rows), allow_shrink=allow_shrink)
    pseudonyms = Pseudonyms(settings.obtain_privacy_key())
    keys = BusinessKeys(pseudonyms, settings.privacy)
    repeated = _repeated(raw.rows, table)
    rows = tuple(
        _source_row(number, row, table, today, keys, pseudonyms, repeated)
        for number, row in enumerate(raw.rows, start=1)
    )
    return SourceRead(label, rows, raw.unknown)


def _key(row: RawRow, table: SourceTable[T]) -> tuple[str, ...]:
    return tuple(row.values.get(name, "") for name in table.key)


def _repeated(rows: tuple[RawRow, ...], table: SourceTable[T]) -> dict[tuple[str, ...], list[int]]:
    """The row numbers of each whole key that occurs more than once."""
    counts = Counter(_key(row, table) for row in rows)
    found: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(rows, start=1):
        key = _key(row, table)
        if counts[key] > 1 and all(key):
            found[key].append(number)
    return found


def _escaped(text: str) -> str:
    """Text that can be stored and shown anywhere: what is no character in UTF-8, and NUL, as in a Python literal."""
    if "\0" not in text and text == text.encode("utf-8", "replace").decode():
        return text
    escaped = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return f"{escaped}\N{REPLACEMENT CHARACTER}"  # else it would be the same as a text that spells the escape out


def _source_row(
    number: int,
    raw: RawRow,
    table: SourceTable[T],
    today: date,
    keys: BusinessKeys,
    pseudonyms: Pseudonyms,
    repeated: dict[tuple[str, ...], list[int]],
) -> SourceRow[T]:
    key = _key(raw, table)
    canonical, broken = table.check(raw.values, today)
    faults = raw.faults if raw.faults and not raw.values else raw.faults + broken
    # No more than are named: where all rows have one key, each would look at all.
    others = list(islice((other for other in repeated.get(key, ()) if other != number), MAX_DUPLICATES_NAMED + 1))
    if others:
        also = ", ".join(map(str, others[:MAX_DUPLICATES_NAMED])) + (
            ", …" if len(others) > MAX_DUPLICATES_NAMED else ""
        )
        faults += (RowFault(table.key[-1], f"occurs again in row {also}"),)
    content = json.dumps([table.name, *canonical.items()])  # ASCII, also for bytes that are not UTF-8
    return SourceRow(
        number,
        key,
        tuple(_escaped(keys.stored(part)) for part in key),
        pseudonyms.digest(content.encode()),
        faults,
        None if faults else table.build(raw.values),
        raw.file,
        raw.line,
    )
