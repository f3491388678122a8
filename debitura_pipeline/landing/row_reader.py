"""Row path: parse rows one by one, separate those that do not match the contract and say why.

Each row is parsed separately, so a row with invalid JSON does not affect others. Accepts what Arrow accepts, with the same
result; field names are matched regardless of letter case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from debitura_pipeline.api.json_scan import depth
from debitura_pipeline.api.page_parts import Raw, split_page
from debitura_pipeline.contract.listings import LISTINGS
from debitura_pipeline.contract.tables import Kind
from debitura_pipeline.errors import ShapeError, TransientApiError
from debitura_pipeline.landing.arrow_reader import ParsedRows
from debitura_pipeline.landing.columns import InvalidRows, Values, check_values
from debitura_pipeline.landing.convert import EMPTY_IS_NULL, InvalidValue, convert
from debitura_pipeline.landing.findings import BadRow
from debitura_pipeline.landing.page_schema import MAX_NESTING, FieldNode, Layout, Leaf, Path, stored_type
from debitura_pipeline.landing.quarantine import Quarantine
from debitura_pipeline.landing.unknown_fields import extra_json, parse_json, unknown_values


@dataclass
class _Row:
    """A row while it is read: raw bytes, parsed JSON, values by path, unknown and empty fields, and errors.

    `source` None with an error: not JSON, or null.
    """

    raw: bytes
    source: Any = None
    unknown: dict[Path, Any] = field(default_factory=dict)
    values: dict[Path, Any] = field(default_factory=dict)
    empty: set[Path] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)


def read_row_by_row(
    layout: Layout, pages: Sequence[bytes], quarantine: Quarantine
) -> tuple[ParsedRows, tuple[BadRow, ...]]:
    """Good rows as the fast path would return them, and the bad rows, redacted.

    Raises ShapeError if a page is not JSON or has no array of rows; a retry may help.
    """
    rows = [_read_row(layout, bytes(raw)) for page in pages for raw in _raw_rows(layout, page)]
    candidates = [row for row in rows if not row.errors]
    values, errors = check_values(layout, _arrays(layout, candidates))
    _attach_errors(candidates, errors)
    good = [row for row in candidates if not row.errors]
    if errors:
        values, _ = check_values(layout, _arrays(layout, good))
    unknown = {path for row in rows for path in row.unknown}
    empty = {path for row in rows for path in row.empty}
    extra = [extra_json(row.unknown) for row in good]
    parsed = ParsedRows(values, extra, tuple(sorted(unknown)), len(rows), tuple(sorted(empty)))
    return parsed, tuple(
        quarantine.bad_row(layout, row.raw, row.source, "; ".join(row.errors)) for row in rows if row.errors
    )


def _raw_rows(layout: Layout, page: bytes) -> Sequence[Raw]:
    try:
        return split_page(page, LISTINGS[layout.table.resource]).rows or ()
    except TransientApiError:
        raise ShapeError(f"A page of {layout.table.resource} holds no array of rows.") from None


def _spellings(source: dict[str, Any]) -> dict[str, str]:
    """Lower case -> the field's name in this row. If two differ in case only, the last one counts."""
    return {name.lower(): name for name in source}


def _value_of(source: dict[str, Any], spellings: dict[str, str], name: str) -> Any:
    """A field's value regardless of letter case; the contract's spelling is preferred."""
    return source[name] if name in source else source.get(spellings.get(name.lower(), name))


def _read_row(layout: Layout, raw: bytes) -> _Row:
    row = _Row(raw)
    if raw.count(b"[") + raw.count(b"{") > MAX_NESTING and depth(raw) > MAX_NESTING:
        row.errors.append(f"the row nests more than {MAX_NESTING} levels deep")
        return row
    try:
        row.source = parse_json(raw.decode("utf-8", "surrogateescape"))
    except ValueError:
        row.errors.append("the row is not valid JSON")
        return row
    if isinstance(row.source, dict):
        if _is_pascal(layout.root, row.source):
            row.source = _camel(row.source)
        row.unknown = unknown_values(layout.root, row.source)
        _read_fields(layout.root, row.source, row)
    else:
        row.errors.append("the row is not an object")
    return row


def _is_pascal(root: FieldNode, source: dict[str, Any]) -> bool:
    """Whether the row is in PascalCase throughout, so that unknown fields are too."""
    return not source.keys() & root.names and any(name[:1].isupper() for name in source)


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _camel(inner) for name, inner in value.items()}
    return [_camel(inner) for inner in value] if isinstance(value, list) else value


def _read_fields(node: FieldNode, source: dict[str, Any], row: _Row) -> None:
    spellings = {} if source.keys() <= node.names else _spellings(source)
    for lower, child in node.nodes.items():
        value = _value_of(source, spellings, node.spelling[lower])
        if value is None:
            continue
        if child.leaf is not None:
            _read_leaf(child.leaf, value, row)
        elif child.is_object and isinstance(value, dict):
            _read_fields(child, value, row)
        elif child.is_object and child.holds_columns and value == "":
            row.empty.add(child.path)
        elif child.is_object and child.holds_columns:
            row.errors.append(f"{'.'.join(child.path)} is not an object")


def _read_leaf(leaf: Leaf, value: Any, row: _Row) -> None:
    if value == "" and leaf.kind in EMPTY_IS_NULL:
        row.empty.add(leaf.path)
        return
    try:
        row.values[leaf.path] = convert(leaf.kind, value)
    except InvalidValue as error:
        row.errors.append(f"{leaf.label} {error}")


def _arrays(layout: Layout, rows: Sequence[_Row]) -> Values:
    def column(path: Path, kind: Kind) -> pa.Array:
        as_text = kind in (Kind.ID, Kind.INSTANT)
        return pa.array([row.values.get(path) for row in rows], pa.string() if as_text else stored_type(kind))

    return {path: column(path, leaf.kind) for path, leaf in layout.leaves.items()}


def _attach_errors(rows: Sequence[_Row], errors: Sequence[InvalidRows]) -> None:
    for error in errors:
        for index in np.flatnonzero(error.rows).tolist():
            rows[index].errors.append(error.reason)
