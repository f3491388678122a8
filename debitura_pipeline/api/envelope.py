"""What surrounds the rows of a page: the paging block and the control totals. Rows are skipped, not read.

Belongs here: every spelling in which the API may wrap a page (`page` or `pageData`, any letter case, parts missing).
Does not: rows. Called by `client.py` for each page, so it has to be fast: one pass over the bytes finds the parts.
Source: the API's contract, PageData, ClientsSummary, CasesSummary, TransactionsSummary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from debitura_pipeline.api.listings import Listing
from debitura_pipeline.errors import ShapeError, TransientApiError


@dataclass(frozen=True, slots=True)
class Total:
    """One control total; a part that the API did not state is None, which is not 0."""

    count: int | None
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """Paging block and totals of one page. `page_size` and `current_page` are 0 where the API left them out.

    `is_canonical`: camelCase throughout and rows under the listing's own key, so that a reader which knows only that
    spelling can take the body as it is.
    """

    total_results: int
    page_size: int
    current_page: int
    response_count: int
    total_pages: int | None
    totals: Mapping[str, Total]
    is_canonical: bool


# Of each total: its name, then where its count and its USD sum stand in `summary` (lower case, dots between levels).
_Place = tuple[str, str | None, str | None]

_STAGES = (
    "Pending",
    "ConfirmedPendingInvoice",
    "AwaitingCollectionPartnerPayment",
    "ReadyToInvoiceDebitura",
    "AwaitingDebituraPayment",
    "Paid",
    "Disputed",
)
_PLACES: dict[str, tuple[_Place, ...]] = {
    "clients": (
        ("total", "totalclients", None),
        ("attributed", "attributedclients", None),
        ("onboarding_complete", "onboardingcomplete", None),
        ("onboarding_pending", "onboardingpending", None),
        ("cases", "totalcases", None),
    ),
    "cases": (
        ("total", "totalcases", None),
        ("this_month", "casesthismonth", None),
        *((group, f"bylifecycle.{group}", None) for group in ("active", "pending", "closed", "paused")),
    ),
    "transactions": (
        *((s, f"revenue.{s.lower()}count", f"revenue.{s.lower()}referralfeeusd") for s in _STAGES),
        ("debitura_revenue", None, "totaldebiturarevenueusd"),
    ),
}

# A field that every row has and whose name is of two words, so that its spelling tells that of the rest.
_TELLTALES = {"clients": "externalTenantId", "cases": "dateCreated", "transactions": "transactionId"}

_Parts = dict[str, msgspec.Raw]
_NULL = msgspec.Raw(b"null")
_parts = msgspec.json.Decoder(_Parts | None)
_rows = msgspec.json.Decoder(list[msgspec.Raw] | None)
_count = msgspec.json.Decoder(int | None)
_sum = msgspec.json.Decoder(Decimal | None)


def read_envelope(body: bytes, listing: Listing) -> Envelope:
    """Read paging block and control totals of one page of `listing`, rows untouched. Sums are exact Decimal USD.

    Raises TransientApiError where the body is not whole JSON, and ShapeError where it lacks the paging block or
    announces rows that it does not hold: an absent list is never taken for an empty page.
    """
    try:
        if not body.isascii():
            body.decode()  # the decoder steps over text without looking at it
        return _read(body, listing)
    except msgspec.ValidationError:
        raise ShapeError(
            f"A page of {listing.resource} is JSON, but not of the shape that the contract gives"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TransientApiError(
            f"A page of {listing.resource} is not whole JSON ({len(body)} bytes).", size=len(body)
        ) from None


def _read(body: bytes, listing: Listing) -> Envelope:
    rows, paging_raw, summary_raw, is_canonical = _split(body, listing)
    paging = _folded(paging_raw)
    if not paging or (total := _whole(paging, "totalresults")) is None:
        raise ShapeError(f"A page of {listing.resource} has no paging block.")
    announced = _whole(paging, "responsecount")
    held = len(rows) if rows is not None else 0
    if announced is None and rows is None:
        raise ShapeError(f"A page of {listing.resource} holds neither rows nor a count of them.")
    if held < (announced or 0):
        raise ShapeError(
            f"A page of {listing.resource} announces {announced} rows and holds {held}.", announced=announced, held=held
        )
    return Envelope(
        total_results=total,
        page_size=_whole(paging, "pagesize") or 0,
        current_page=_whole(paging, "currentpage") or 0,
        response_count=held if announced is None else announced,
        total_pages=_whole(paging, "totalpages") or None,
        totals=_totals(bytes(summary_raw), listing),
        is_canonical=is_canonical and rows is not None and _is_camel(rows, listing),
    )


def _split(body: bytes, listing: Listing) -> tuple[list[msgspec.Raw] | None, msgspec.Raw, msgspec.Raw, bool]:
    """Rows, paging block, summary, and whether the keys are spelt as the contract has them."""
    try:
        usual = _usual(listing.rows_key).decode(body)
    except msgspec.ValidationError:
        usual = None
    paging = next((part for part in (usual.page, usual.page_data) if part != _NULL), None) if usual else None
    if usual is not None and paging is not None and usual.rows is not None and usual.summary != _NULL:
        return usual.rows, paging, usual.summary, True
    parts = _folded(body)
    rows = _rows.decode(parts.get(listing.rows_key.lower(), _NULL))
    places = (parts.get(name, _NULL) for name in ("page", "pagedata"))
    paging = next((part for part in places if part != _NULL), _NULL)
    is_usual = usual is not None and usual.rows is not None and (usual.page != _NULL or usual.page_data != _NULL)
    return rows, paging, parts.get("summary", _NULL), is_usual


@cache
def _usual(rows_key: str) -> msgspec.json.Decoder[Any]:
    """Decoder of a page in the usual spelling, rows cut apart but not read."""
    struct = msgspec.defstruct(
        f"Page_{rows_key}",
        [
            ("rows", list[msgspec.Raw] | None, None),
            ("page", msgspec.Raw, _NULL),
            ("page_data", msgspec.Raw, _NULL),
            ("summary", msgspec.Raw, _NULL),
        ],
        rename={"rows": rows_key, "page_data": "pageData"},
    )
    return msgspec.json.Decoder(struct)


def _folded(raw: msgspec.Raw | bytes) -> _Parts:
    """The members of a JSON object by their names in lower case; null is an empty object."""
    return {name.lower(): value for name, value in (_parts.decode(raw) or {}).items()}


def _is_camel(rows: list[msgspec.Raw], listing: Listing) -> bool:
    """Whether the first row spells a name of two words as the contract does; a serialiser spells all rows alike."""
    try:
        return not rows or _TELLTALES[listing.resource] in (_parts.decode(rows[0]) or {})
    except msgspec.ValidationError:  # not an object: for the reader of rows to judge
        return False


def _whole(parts: _Parts, name: str) -> int | None:
    value: int | None = _count.decode(parts.get(name, _NULL))
    if value is not None and value < 0:
        raise ShapeError(f"The API states a negative {name}.")
    return value


@lru_cache(maxsize=64)  # the pages of one window carry the same summary, byte for byte
def _totals(summary: bytes, listing: Listing) -> Mapping[str, Total]:
    blocks = {"": _folded(summary)}
    totals = {}
    for name, count_at, usd_at in _PLACES[listing.resource]:
        total = Total(
            count=_count.decode(_at(blocks, count_at)) if count_at else None,
            usd=_sum.decode(_at(blocks, usd_at)) if usd_at else None,
        )
        if total.usd is not None and not total.usd.is_finite():
            raise ShapeError(f"The API's total {name} is not a number.")
        if total != Total(None, None):
            totals[name] = total
    return MappingProxyType(totals)


def _at(blocks: dict[str, _Parts], place: str) -> msgspec.Raw:
    """The value at `place`, null where it is missing; blocks below the first level are opened once."""
    block, _, name = place.rpartition(".")
    if block not in blocks:
        blocks[block] = _folded(blocks[""].get(block, _NULL))
    return blocks[block].get(name, _NULL)
