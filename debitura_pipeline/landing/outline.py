"""Key and dates of each row of a page, for reading by keyset. No other field is parsed.

Ids and instants follow the rules of `validators.py`, so that they never disagree with what is landed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from debitura_pipeline.api.json_scan import OutlineError, members
from debitura_pipeline.api.page_parts import STRICT_ERRORS, Raw, split_page
from debitura_pipeline.api.row_keys import columns_of
from debitura_pipeline.contract.listings import LISTINGS, Listing
from debitura_pipeline.landing.validators import check_instants, is_id, micros_of_text

Path = tuple[str, ...]

# The dates that a listing may go by, in the order of a mark's `dates`.
DATES = {resource: listing.dates for resource, listing in LISTINGS.items()}


class RowKeys(NamedTuple):
    """`key`: the row's id in lower case, None unless it is a UUID. `dates`: microseconds since 1970 UTC."""

    key: str | None
    dates: tuple[int | None, ...]


class Outline:
    """Keys and dates of a page's rows as texts, in the page's order; parsed on demand, since few are needed."""

    def __init__(self, keys: Sequence[str | None], dates: Sequence[Sequence[str | None]]) -> None:
        self._keys, self._dates = keys, dates

    def __len__(self) -> int:
        return len(self._keys)

    def mark(self, row: int) -> RowKeys:
        return RowKeys(self.key(row), tuple(self.date(row, which) for which in range(len(self._dates))))

    def key(self, row: int) -> str | None:
        text = self._keys[row]
        return text.lower() if text is not None and is_id(text) else None

    def date(self, row: int, which: int) -> int | None:
        text = self._dates[which][row]
        return None if text is None else micros_of_text(text)

    def has(self, key: str) -> bool:
        """Whether a row has this key, given in lower case."""
        return key in self._keys or any(text is not None and text.lower() == key for text in self._keys)

    def has_row(self, mark: RowKeys) -> bool:
        """Whether the row is there with the same dates."""
        rows = (row for row, text in enumerate(self._keys) if text is not None and text.lower() == mark.key)
        return any(self.mark(row) == mark for row in rows)

    @property
    def keys(self) -> set[str]:
        return {text.lower() for text in self._keys if text is not None and is_id(text)}

    @property
    def unkeyed(self) -> int:
        """Number of rows without a key."""
        return sum(text is None or not is_id(text) for text in self._keys)

    def dates(self, which: int) -> list[int]:
        """Dates of one kind in row order; rows without one are left out."""
        return [at for at in _micros(list(self._dates[which])) if at is not None]

    def is_ordered(self, which: int) -> bool:
        """Whether dates of one kind ascend; rows without one are ignored."""
        plain = _comparable([text for text in self._dates[which] if text is not None])
        if plain is not None and plain == sorted(plain):
            return True
        dates = self.dates(which)
        return dates == sorted(dates)


def _comparable(texts: list[str]) -> list[str] | None:
    """Instants without their zone, so that texts compare like instants; None if one is not in UTC."""
    joined = "\n".join([*texts, ""])
    plain = joined.replace("Z\n", "\n").replace("+00:00\n", "\n")
    has_offset = "+" in plain or plain.count("-") != 2 * len(texts)
    lines = plain.split("\n")[:-1]
    return None if has_offset or " " in plain or len(lines) != len(texts) else lines


def outline(body: bytes, listing: Listing, row_keys: Sequence[Any] | None = None) -> Outline:
    """Keys and dates of a page's rows, whatever they contain; dates as in `DATES`. `row_keys`: those of the page's metadata,
    if any.

    A row that is not a JSON object has neither.
    """
    paths = (listing.key, *listing.dates)
    columns = columns_of(row_keys, paths) if row_keys is not None else None
    if columns is None:
        texts = [[text_at(bytes(row), path) for path in paths] for row in split_page(body, listing).rows or ()]
        columns = [list(column) for column in zip(*texts, strict=True)] if texts else [[] for _ in paths]
    return Outline(columns[0], columns[1:])


def text_at(row: bytes, path: Path) -> str | None:
    """Text of an id or instant at `path` of a row; None if missing, empty or not ASCII."""
    text = any_text_at(row, path)
    return text if text and text.isascii() else None


def any_text_at(row: bytes, path: Path) -> str | None:
    """Text at `path` of a row, regardless of letter case; None if missing."""
    value = row
    for name in path:
        found = _members(value)
        if name not in found:
            found = {spelling.lower(): inner for spelling, inner in found.items()}
            name = name.lower()
        value = bytes(found.get(name, b""))
    try:
        text = json.loads(value.decode()) if value[:1] == b'"' else None
    except ValueError:
        return None
    is_text = isinstance(text, str) and not any("\ud800" <= letter <= "\udfff" for letter in text)
    return text if is_text else None


def _members(value: bytes) -> Mapping[str, Raw]:
    """Members of an object by name; empty for anything else."""
    try:
        return _raw_members.decode(value)
    except STRICT_ERRORS:
        pass
    try:
        return members(value)
    except OutlineError:
        return {}


_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _micros(texts: list[str | None]) -> list[int | None]:
    instants = check_instants(pa.array(texts, pa.string()))[0]
    return instants.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]
