"""Find fields that the contract does not describe, redact them, and write them as the row's `extra`.

`extra` is a JSON object: dotted path of the topmost unknown field -> redacted value; null if there is none. Both read paths
produce the same bytes. What is personal is decided in `redact.py`.
"""

from __future__ import annotations

import json
import types
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from debitura_pipeline.landing.page_schema import FieldNode, Layout, Path
from debitura_pipeline.landing.redact import safe_path, scrub, to_json

CACHE_SIZE = 4_096  # redacted values; those of unknown fields mostly repeat


def exact_decimal(text: str) -> Decimal:
    """A number's text as Decimal; infinite if its exponent is out of range."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON with all numbers as Decimal, including `NaN` and `Infinity`. Raises ValueError."""
    return json.loads(text, parse_float=exact_decimal, parse_int=exact_decimal, parse_constant=Decimal)


def unknown_values(root: FieldNode, row: dict[str, Any]) -> dict[Path, Any]:
    """Row path: topmost unknown fields of a parsed row, by path."""
    found: dict[Path, Any] = {}
    if row.keys() <= root.names:
        inner = [(child, row.get(name)) for name, child in root.objects.items()]
    else:
        inner = []
        for name, value in row.items():
            child = root.nodes.get(name.lower())
            if child is None:
                found[(*root.path, name)] = value
            else:
                inner.append((child, value))
    for child, value in inner:
        if child.is_object and isinstance(value, dict):
            found.update(unknown_values(child, value))
    return found


def extra_json(values: dict[Path, Any]) -> str | None:
    """`extra` of one row."""
    if not values:
        return None
    return to_json({safe_path(path): scrub(path, value) for path, value in sorted(values.items())})


def read_extra(layout: Layout, pages: Sequence[bytes], paths: Sequence[Path]) -> list[str | None]:
    """Fast path: `extra` of every row of canonical pages, decoding only the unknown fields at `paths`.

    Raises msgspec.MsgspecError if a page differs from what Arrow saw; the row path then takes over.
    """
    decoder = msgspec.json.Decoder(_page_type(layout, paths))
    route = [_attributes(paths, path) for path in paths]
    texts: list[str | None] = []
    for page in pages:
        for row in decoder.decode(page).rows or ():
            raws = tuple(bytes(_value_at(row, attributes)) for attributes in route)
            texts.append(_extra_of_row(tuple(paths), raws))
    return texts


@lru_cache(maxsize=CACHE_SIZE)
def _extra_of_row(paths: tuple[Path, ...], raws: tuple[bytes, ...]) -> str | None:
    return extra_json({path: parse_json(raw) for path, raw in zip(paths, raws, strict=True) if raw})


def _value_at(row: Any, attributes: tuple[str, ...]) -> Any:
    for attribute in attributes:
        if row is None:
            return _ABSENT
        row = getattr(row, attribute)
    return row


_ABSENT = msgspec.Raw()


def _attributes(paths: Sequence[Path], path: Path) -> tuple[str, ...]:
    """Attribute names that lead to `path` in the struct made by `_row_type`."""
    names = []
    for depth in range(len(path)):
        siblings = sorted({other[depth] for other in paths if other[:depth] == path[:depth] and len(other) > depth})
        names.append(f"f{siblings.index(path[depth])}")
    return tuple(names)


def _row_type(paths: Sequence[Path]) -> Any:
    """A struct with a raw field per unknown field; msgspec skips all others in C."""
    fields: list[tuple[str, Any, Any]] = []
    for index, name in enumerate(sorted({path[0] for path in paths})):
        below = [path[1:] for path in paths if path[0] == name and len(path) > 1]
        if below:
            fields.append((f"f{index}", _row_type(below) | None, msgspec.field(default=None, name=name)))
        else:
            fields.append((f"f{index}", msgspec.Raw, msgspec.field(default=_ABSENT, name=name)))
    return msgspec.defstruct("Row", fields)


def _page_type(layout: Layout, paths: Sequence[Path]) -> Any:
    row = _row_type(paths)
    rows: Any = types.GenericAlias(list, (row,)) | None
    return msgspec.defstruct("Page", [("rows", rows, msgspec.field(default=None, name=layout.rows_key))])
