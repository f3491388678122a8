"""Tables as text, to be read by people: expected ones beside what a warehouse holds.

A column is separated by `|`; `-` is null, `yes` and `no` are truth values, amounts have no trailing zeros, instants are UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Table = tuple[list[str], list[tuple[str, ...]]]


def parse(text: str) -> Table:
    """Column names and rows of a table as text."""
    header, *rows = [tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()]
    assert not [row for row in rows if len(row) != len(header)]
    return list(header), sorted(rows)


def plain(value: Any) -> str:
    """A value as the tables write it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value.normalize():f}" if value else "0"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return str(value)
