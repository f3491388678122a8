"""Kinds of DuckDB's column types, as far as files of other formats tell them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_SIMPLE = {"DOUBLE": "float", "FLOAT": "float", "BOOLEAN": "boolean", "DATE": "day"}


@dataclass(frozen=True)
class ColumnType:
    """A column: its name, its type as DuckDB names it, and its comment."""

    name: str
    type: str
    comment: str = ""

    @property
    def kind(self) -> str:
        """`decimal`, `integer`, `float`, `boolean`, `day`, `instant` or `text`."""
        if _DECIMAL.fullmatch(self.type):
            return "decimal"
        if self.type.removeprefix("U") in _INTEGERS:
            return "integer"
        return (
            "instant" if self.type.startswith("TIMESTAMP") and "[" not in self.type else _SIMPLE.get(self.type, "text")
        )

    @property
    def scale(self) -> int:
        """Digits after the decimal point."""
        found = _DECIMAL.fullmatch(self.type)
        return int(found[2]) if found else 0
