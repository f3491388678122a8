"""Decode only keys and dates of a page's rows, in the same pass that finds the paging block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from debitura_pipeline.contract.listings import Listing

Path = tuple[str, ...]


@cache
def row_type(listing: Listing) -> Any:
    """A struct with a row's key and dates; the decoder skips all other fields in C."""
    return _struct("Row", (listing.key, *listing.dates), ())


def columns_of(rows: Sequence[Any], paths: Sequence[Path]) -> list[list[str | None]] | None:
    """Texts at `paths`, column by column; None if a row lacks a field, for example because it is spelled differently."""
    columns = []
    for path in paths:
        column: Any = rows
        for depth in range(len(path)):
            value_of = attrgetter("_".join(path[: depth + 1]))
            if None in column:
                column = [None if value is None else value_of(value) for value in column]
            else:
                column = list(map(value_of, column))
            if msgspec.UNSET in column:
                return None
        columns.append(column)
    return columns


def _struct(name: str, paths: Sequence[Path], above: Path) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    for first in dict.fromkeys(path[0] for path in paths):
        below = [path[1:] for path in paths if path[0] == first and len(path) > 1]
        inner = _struct(first, below, (*above, first)) if below else str
        field = msgspec.field(default=msgspec.UNSET, name=first)
        fields.append(("_".join((*above, first)), inner | msgspec.UnsetType | None, field))
    return msgspec.defstruct(name, fields)
