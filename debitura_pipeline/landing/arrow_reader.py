"""Fast path: parse whole pages with Arrow's JSON reader.

Returns None for anything out of the ordinary, which `row_reader.py` then parses row by row. Arrow's errors quote values, so
none is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from debitura_pipeline.contract.tables import Kind
from debitura_pipeline.landing.columns import Values, check_values
from debitura_pipeline.landing.page_schema import MONEY, Layout, Leaf, Path, find_unknown_fields, nests_too_deep
from debitura_pipeline.landing.row_hash import has_control_characters
from debitura_pipeline.landing.unknown_fields import read_extra

MONEY_DECIMALS = 4
PROBE = 32  # rows


@dataclass(frozen=True)
class ParsedRows:
    """Good rows of a window: values by path, `extra` of each row (None: no row has any), and unknown fields.

    `empty`: fields of the contract with an empty text instead of null.
    """

    values: Values
    extra: list[str | None] | None
    unknown: tuple[Path, ...]
    rows: int
    empty: tuple[Path, ...] = ()


def read_with_arrow(layout: Layout, pages: Sequence[bytes]) -> ParsedRows | None:
    """Parse a window's rows; None if any of them needs the row path."""
    if not pages:
        return None
    try:
        rows = _rows(layout, pages)
        new = find_unknown_fields(layout, rows.type)
        if new.is_respelled or nests_too_deep(rows.type):
            return None
        raw = {path: _value(rows, leaf) for path, leaf in layout.leaves.items()}
        values, errors = check_values(layout, raw)
        if errors or any(_has_nul(values[path]) for path in layout.leaves):
            return None
        extra = read_extra(layout, pages, new.paths) if new.paths else None
    except (pa.ArrowException, msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if extra is not None and len(extra) != len(rows):
        return None
    return ParsedRows(values, extra, new.paths, len(rows))


def _rows(layout: Layout, pages: Sequence[bytes]) -> pa.StructArray:
    body = b"\n".join(pages)
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=layout.page_schema, newlines_in_values=True, unexpected_field_behavior="infer"
        ),
    )
    lists = table[layout.rows_key]
    return pa.concat_arrays([chunk.flatten() for chunk in lists.chunks])


def _value(rows: pa.StructArray, leaf: Leaf) -> pa.Array:
    values = pc.struct_field(rows, list(leaf.path))
    if values.type == pa.string():
        values.validate(full=True)  # the reader accepts invalid UTF-8, which would fail much later
    if leaf.kind is Kind.MONEY:
        return _money(values)
    return values.cast(pa.int64()) if leaf.kind is Kind.COUNT else values


def _money(values: pa.Array) -> pa.Array:
    """Round half to even. Values out of range raise Arrow's error, which sends the window to the row path.

    Most columns hold cents and need no rounding: the plain cast costs half as much, but failing is expensive, hence the probe
    of the first rows.
    """
    for part in (values.slice(0, PROBE), values):
        try:
            landed = part.cast(MONEY)
        except pa.ArrowInvalid:
            return pc.round(values, MONEY_DECIMALS, round_mode="half_to_even").cast(MONEY)
    return landed


def _has_nul(values: pa.Array) -> bool:
    """Whether a text column contains U+0000, which only DuckDB can store."""
    if values.type != pa.string() or not has_control_characters(values):
        return False
    return bool(pc.any(pc.match_substring(values, "\0")).as_py())
