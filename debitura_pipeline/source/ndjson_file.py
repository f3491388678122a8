"""Read a source from NDJSON: one object a line, whose values keep the digits that they are written with."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import Any

from debitura_pipeline.source.raw import Header, RawRow, RawRows, misfit, unreadable
from debitura_pipeline.source.table import Holds, RowFault, SourceTable


class _Fraction(str):
    """The digits of a number with a decimal point or an exponent."""

    __slots__ = ()


class _Twice(ValueError):
    """A name occurs twice in an object."""


def read_ndjson(content: bytes, where: str, table: SourceTable[Any]) -> RawRows:
    """The rows of an NDJSON file. Blank lines are skipped; a line that is no JSON object has a fault of its own.

    Raises SourceError if no line has a required column.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    if text.lstrip()[:1] == "[":
        raise unreadable(table, where, "is a JSON list", "Write one object a line (NDJSON).")
    found: list[tuple[int, dict[str, Any] | str]] = []
    for line, each in enumerate(text.split("\n"), start=1):
        if each.strip():
            found.append((line, _object(each)))
    objects = [each for _, each in found if isinstance(each, dict)]
    names = list(dict.fromkeys(name for each in objects for name in each))
    header = Header.match(names, table, where) if objects else Header((), ())
    known = dict(zip(names, header.columns, strict=True)) if objects else {}
    holds = table.holds
    return RawRows(tuple(_row(each, known, holds, where, line) for line, each in found), header.unknown)


def _object(line: str) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    try:
        found = json.loads(
            line, parse_float=_Fraction, parse_int=str, parse_constant=_no_number, object_pairs_hook=_unique
        )
    except _Twice:
        return "has a name twice"
    except (ValueError, RecursionError):
        return "is not JSON"
    return found if isinstance(found, dict) else "is not a JSON object"


def _no_number(name: str) -> str:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _row(
    found: dict[str, Any] | str, known: dict[str, str | None], holds: Mapping[str, Holds], where: str, line: int
) -> RawRow:
    if isinstance(found, str):
        return RawRow({}, (RowFault("", found),), where, line)
    values, faults = {}, []
    for name, value in found.items():
        column = known[name]
        if column is None or value is None or value == "":
            continue
        text = _text(value)
        if wrong := misfit(float(value) if isinstance(value, _Fraction) else value, holds[column]):
            faults.append(RowFault(column, wrong))
        elif text is None:
            faults.append(RowFault(column, "is neither a text, a number nor true or false"))
        else:
            values[column] = text
    return RawRow(values, tuple(faults), where, line)


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):  # `other_users` as JSON, not as a text that holds JSON
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else None
