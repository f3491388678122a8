"""Split a page into rows, paging block and summary without parsing them.

Accepts `page` or `pageData` in any letter case, and pages with malformed rows. One strict pass handles nearly every page;
`json_scan.py` splits those that the strict decoder rejects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from debitura_pipeline.api.json_scan import OutlineError, elements, members
from debitura_pipeline.api.row_keys import row_type
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.errors import ShapeError, TransientApiError

Raw = msgspec.Raw | bytes

NULL = msgspec.Raw(b"null")
STRICT_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_parts = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_rows = msgspec.json.Decoder(list[msgspec.Raw] | None)


class PageParts(NamedTuple):
    """`rows` is None if the page has no list. `is_usual`: valid JSON whose structure is spelled as in the contract.
    `has_row_keys`: rows are structs of `row_keys.row_type` instead of bytes."""

    rows: Sequence[Any] | None
    paging: Raw
    summary: Raw
    is_usual: bool
    has_row_keys: bool = False


def split_page(body: bytes, listing: Listing) -> PageParts:
    """Split a page of `listing` into its parts, whatever its rows contain.

    Raises TransientApiError if the body is truncated or not JSON, ShapeError if it is another document.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder does not validate text that it skips
        return _split(body, listing)
    except msgspec.ValidationError:
        raise _another_shape(listing) from None
    except STRICT_ERRORS:
        pass
    try:
        return _split_by_outline(body, listing)
    except OutlineError:
        raise TransientApiError(
            f"A page of {listing.resource} is not whole JSON ({len(body)} bytes).", size=len(body)
        ) from None


def split_page_with_keys(body: bytes, listing: Listing) -> PageParts | None:
    """Like `split_page`, with keys and dates of the rows decoded; None if the page is not spelled as in the contract."""
    try:
        if not body.isascii():
            body.decode()  # the decoder does not validate text that it skips
        usual = _usual(listing.rows_key, row_type(listing)).decode(body)
    except STRICT_ERRORS:
        return None
    paging = usual.page if usual.page != NULL else usual.page_data
    if usual.rows is None or paging == NULL or usual.summary == NULL:
        return None
    return PageParts(usual.rows, paging, usual.summary, True, True)


def folded(raw: Raw) -> dict[str, Raw]:
    """Members of a JSON object by lower-case name; null is an empty object.

    Raises msgspec.ValidationError for any other JSON value, OutlineError for text that is not JSON.
    """
    try:
        found: Mapping[str, Raw] = _parts.decode(raw) or {}
    except msgspec.ValidationError:
        raise
    except STRICT_ERRORS:
        found = members(bytes(raw))
    return {name.lower(): value for name, value in found.items()}


def _another_shape(listing: Listing) -> ShapeError:
    return ShapeError(f"A page of {listing.resource} is JSON, but not of the shape that the contract gives.")


def _split(body: bytes, listing: Listing) -> PageParts:
    try:
        usual = _usual(listing.rows_key, msgspec.Raw).decode(body)
    except msgspec.ValidationError:
        usual = None
    paging = next((part for part in (usual.page, usual.page_data) if part != NULL), None) if usual else None
    if usual is not None and paging is not None and usual.rows is not None and usual.summary != NULL:
        return PageParts(usual.rows, paging, usual.summary, True)
    parts = {name.lower(): value for name, value in (_parts.decode(body) or {}).items()}
    rows = _rows.decode(parts.get(listing.rows_key.lower(), NULL))
    is_usual = usual is not None and usual.rows is not None and (usual.page != NULL or usual.page_data != NULL)
    return PageParts(rows, _paging(parts), parts.get("summary", NULL), is_usual)


def _split_by_outline(body: bytes, listing: Listing) -> PageParts:
    parts: dict[str, Raw] = {name.lower(): value for name, value in members(body).items()}
    listed = bytes(parts.get(listing.rows_key.lower(), NULL))
    if listed != b"null" and not listed.startswith(b"["):
        raise _another_shape(listing)
    rows = elements(listed) if listed != b"null" else None
    return PageParts(rows, _paging(parts), parts.get("summary", NULL), False)


def _paging(parts: Mapping[str, Raw]) -> Raw:
    return next((parts[name] for name in ("page", "pagedata") if parts.get(name, NULL) not in (NULL, b"null")), NULL)


@cache
def _usual(rows_key: str, row: Any) -> msgspec.json.Decoder[Any]:
    """Decoder of a page in the usual spelling; `row` is the type of its rows, `msgspec.Raw` or `row_keys.row_type`."""
    struct = msgspec.defstruct(
        f"Page_{rows_key}",
        [
            ("rows", list[row] | None, None),
            ("page", msgspec.Raw, NULL),
            ("page_data", msgspec.Raw, NULL),
            ("summary", msgspec.Raw, NULL),
        ],
        rename={"rows": rows_key, "page_data": "pageData"},
    )
    return msgspec.json.Decoder(struct)
