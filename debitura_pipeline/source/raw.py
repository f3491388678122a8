"""Rows as a reader finds them, before any rule: texts by column, and what is wrong with the row's shape."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from debitura_pipeline.errors import SourceError
from debitura_pipeline.source.table import Holds, RowFault, SourceTable

# A header that is none may consist of somebody's data, so only what looks like a column's name is shown.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]{0,62}")

CONSEQUENCE = "Nothing was planned or sent."


@dataclass(frozen=True, slots=True)
class RawRow:
    """One data row. `values`: the fields that are not empty. `file` and `line` (counted from 1) where it has them."""

    values: dict[str, str] = field(repr=False)
    faults: tuple[RowFault, ...] = ()
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class RawRows:
    """The rows of a source in its order, and the names of columns that nothing reads."""

    rows: tuple[RawRow, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """`columns`: the known column at each place of a row, None for one that is ignored."""

    columns: tuple[str | None, ...]
    unknown: tuple[str, ...]

    @classmethod
    def match(cls, names: Sequence[str], table: SourceTable[object], where: str) -> Header:
        """Match a header by name, whatever its letter case. Raises SourceError if a known column occurs twice, or if a
        required one is missing."""
        plain = [name.strip().lower() for name in names]
        if twice := [name for name, count in Counter(plain).items() if count > 1 and name in table.names]:
            raise unreadable(table, where, f"has the column {twice[0]} more than once")
        if missing := [name for name in table.required if name not in plain]:
            raise unreadable(table, where, f"has no column {', '.join(missing)}")
        unknown = tuple(
            _shown(name, place)
            for place, (name, known) in enumerate(zip(names, plain, strict=True), start=1)
            if known not in table.names
        )
        return cls(tuple(name if name in table.names else None for name in plain), unknown)


def misfit(value: object, holds: Holds) -> str | None:
    """Why a typed value does not belong in a column, as a rule; None if it does.

    A number with a decimal point has no one spelling (1001, 1001.0): as a reference it would name another claim.
    """
    if isinstance(value, bool) and holds is not Holds.FLAG:
        return "is true or false, not text"
    if isinstance(value, float | Decimal) and holds is not Holds.NUMBER:
        return "is a number with a decimal point, not text or a whole number"
    if isinstance(value, list) and holds is not Holds.LIST:
        return "is a list"
    return None


def unreadable(table: SourceTable[object], where: str, fault: str, cure: str | None = None) -> SourceError:
    """The error for a source that cannot be read. `where`: the file or table; `fault` continues the sentence."""
    return SourceError(f"{table.variable}: {where} {fault}. {CONSEQUENCE}", cure=cure)


def _shown(name: str, place: int) -> str:
    plain = name.strip()
    return plain if _NAME.fullmatch(plain) else f"column {place}"
