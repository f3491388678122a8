"""Rows one by one: finds those that do not fit the contract, says why, and lets the others through.

Belongs here: pages in unusual spelling, and windows with misfits. Does not: anything that `fast_road.py` can do.
Whatever Arrow accepts is accepted here too, with the same result; field names go by letters, not by case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa

from debitura_pipeline.errors import ShapeError
from debitura_pipeline.landing.columns import Fault, Values, check_values
from debitura_pipeline.landing.contract import Kind
from debitura_pipeline.landing.extras import exact, extra_text, parse, unknown_values
from debitura_pipeline.landing.fast_road import Reading
from debitura_pipeline.landing.findings import BadRow
from debitura_pipeline.landing.layout import Known, Layout, Leaf, Path, stored_type
from debitura_pipeline.landing.pseudonym import Pseudonyms
from debitura_pipeline.landing.redact import redact_row

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TEN_THOUSANDTH = Decimal("0.0001")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_LARGEST_MONEY = Decimal("99999999999999.9999")
_LARGEST_COUNT = 2**63 - 1
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Misfit(Exception):
    """A value does not fit; the text says how, never what it is."""


@dataclass
class _Row:
    """A row on its way: as it came, its values by path, what is new in it, and what is wrong with it."""

    source: Any
    unknown: dict[Path, Any] = field(default_factory=dict)
    values: dict[Path, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read_slow(layout: Layout, pages: Sequence[bytes], pseudonyms: Pseudonyms) -> tuple[Reading, tuple[BadRow, ...]]:
    """Good rows as the fast road would give them, and the bad ones, redacted.

    Raises ShapeError where a page is not JSON or its rows are no array: reading it again may help.
    """
    rows = [_read_row(layout, source) for page in pages for source in _sources(layout, page)]
    candidates = [row for row in rows if not row.faults]
    values, faults = check_values(layout, _arrays(layout, candidates))
    _blame(candidates, faults)
    good = [row for row in candidates if not row.faults]
    if faults:
        values, _ = check_values(layout, _arrays(layout, good))
    unknown = {path for row in rows for path in row.unknown}
    extra = [extra_text(row.unknown) for row in good]
    reading = Reading(values, extra, tuple(sorted(unknown)), len(rows))
    return reading, tuple(_quarantined(layout, row, pseudonyms) for row in rows if row.faults)


def _sources(layout: Layout, page: bytes) -> Iterator[Any]:
    try:
        document = parse(page.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        raise ShapeError(f"A page of {layout.table.resource} is not JSON.") from None
    rows = _get(document, _spellings(document), layout.rows_key) if isinstance(document, dict) else document
    if rows is None:
        return
    if not isinstance(document, dict) or not isinstance(rows, list):
        raise ShapeError(f"A page of {layout.table.resource} holds no array of rows.")
    yield from rows


def _spellings(source: dict[str, Any]) -> dict[str, str]:
    """Lower case -> the field's name as it came. Where two differ in case alone, the last one stands."""
    return {name.lower(): name for name in source}


def _get(source: dict[str, Any], spellings: dict[str, str], name: str) -> Any:
    """Value of a field, whatever the case of its name; the contract's own spelling goes first."""
    return source[name] if name in source else source.get(spellings.get(name.lower(), name))


def _read_row(layout: Layout, source: Any) -> _Row:
    row = _Row(source)
    if isinstance(source, dict):
        row.unknown = unknown_values(layout.known, source)
        _read_fields(layout.known, source, row)
    else:
        row.faults.append("the row is not an object")
    return row


def _read_fields(node: Known, source: dict[str, Any], row: _Row) -> None:
    spellings = {} if source.keys() <= node.names else _spellings(source)
    for lower, child in node.nodes.items():
        value = _get(source, spellings, node.spelling[lower])
        if value is None:
            continue
        if child.leaf is not None:
            _read_leaf(child.leaf, value, row)
        elif child.is_object and isinstance(value, dict):
            _read_fields(child, value, row)
        elif child.is_object and child.holds_columns:
            row.faults.append(f"{'.'.join(child.path)} is not an object")


def _read_leaf(leaf: Leaf, value: Any, row: _Row) -> None:
    convert = _CONVERTERS[leaf.kind]
    try:
        row.values[leaf.path] = convert(value)
    except Misfit as misfit:
        row.faults.append(f"{leaf.label} {misfit}")


def _text(value: Any) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if not isinstance(value, str):
        raise Misfit("is not a text")
    if "\0" in value or not _is_unicode(value):
        raise Misfit("is not valid text")
    return value


def _written(value: Any) -> str:
    """Ids and instants come as texts; what they say is checked in bulk."""
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        raise Misfit("is not a text")
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Misfit("is not true or false")
    return value


def _number(value: Any) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = exact(value)
    if not isinstance(value, Decimal):
        raise Misfit("is not a number")
    return value


def _money(value: Any) -> Decimal:
    number = _number(value)
    try:
        rounded = number.quantize(_TEN_THOUSANDTH, context=_EXACT)
    except InvalidOperation:
        raise Misfit("is out of range") from None
    if abs(rounded) > _LARGEST_MONEY:
        raise Misfit("is out of range")
    return rounded


def _count(value: Any) -> int:
    number = _number(value)
    if abs(number) > _LARGEST_COUNT:
        raise Misfit("is out of range")
    if number != number.to_integral_value():
        raise Misfit("is not a whole number")
    return int(number)


_CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOL: _bool,
    Kind.COUNT: _count,
    Kind.MONEY: _money,
    Kind.ID: _written,
    Kind.INSTANT: _written,
    Kind.TEXT: _text,
    Kind.DEBTOR_NAME: _text,
    Kind.DEBTOR_KEY: _text,
}


def _arrays(layout: Layout, rows: Sequence[_Row]) -> Values:
    def column(path: Path, kind: Kind) -> pa.Array:
        as_text = kind in (Kind.ID, Kind.INSTANT)
        return pa.array([row.values.get(path) for row in rows], pa.string() if as_text else stored_type(kind))

    return {path: column(path, leaf.kind) for path, leaf in layout.leaves.items()}


def _blame(rows: Sequence[_Row], faults: Sequence[Fault]) -> None:
    for fault in faults:
        for index in np.flatnonzero(fault.rows).tolist():
            rows[index].faults.append(fault.reason)


def _quarantined(layout: Layout, row: _Row, pseudonyms: Pseudonyms) -> BadRow:
    """The hash tells bad rows apart. It is keyed, so that nobody can confirm a guess at what was withheld."""
    key: str = row.values.get(layout.key.path) or ""
    original = repr(row.source).encode("utf-8", "surrogatepass")
    return BadRow(
        payload_sha256=pseudonyms.digest(original),
        row_key=key.lower() if _UUID.fullmatch(key) else None,
        reason="; ".join(row.faults),
        payload=redact_row(layout.known, row.source),
    )
