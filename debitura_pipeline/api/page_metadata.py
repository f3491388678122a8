"""Parse a page's metadata: paging block and control totals. Rows are skipped, not parsed.

Pages are requested in `client.py`.
Runs once per page, so it must be fast. Source: the API's contract, PageData, ClientsSummary, CasesSummary,
TransactionsSummary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from debitura_pipeline.api.json_scan import OutlineError
from debitura_pipeline.api.page_parts import (
    NULL,
    STRICT_ERRORS,
    PageParts,
    Raw,
    folded,
    split_page,
    split_page_with_keys,
)
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.errors import ShapeError


@dataclass(frozen=True, slots=True)
class Total:
    """One control total; None for a part that the API did not state, which is not 0."""

    count: int | None
    usd: Decimal | None


@dataclass(frozen=True, slots=True)
class PageMetadata:
    """Paging block and totals of a page. `page_size` and `current_page` are 0 if the API left them out.

    `row_keys`: keys and dates of the rows (`row_keys.row_type`), None if they need a slower parse. `is_canonical`: camelCase
    throughout, with rows under the listing's own key, so that a strict reader can parse the body as it is.
    """

    total_results: int
    page_size: int
    current_page: int
    response_count: int
    total_pages: int | None
    totals: Mapping[str, Total]
    is_canonical: bool
    row_keys: Sequence[Any] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Page:
    """One page as received, and its metadata."""

    body: bytes
    metadata: PageMetadata

    def without_row_keys(self) -> Page:
        """The page without its row keys, to save memory while a window's other pages are read."""
        return Page(self.body, replace(self.metadata, row_keys=None))


# A total's name, and the paths of its count and its USD sum in `summary` (lower case, dotted).
_TotalPath = tuple[str, str | None, str | None]

_STAGES = (
    "Pending",
    "ConfirmedPendingInvoice",
    "AwaitingCollectionPartnerPayment",
    "ReadyToInvoiceDebitura",
    "AwaitingDebituraPayment",
    "Paid",
    "Disputed",
)
_TOTAL_PATHS: dict[str, tuple[_TotalPath, ...]] = {
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

# A field of every row whose name has two words, so that its spelling shows that of all fields.
_CASE_PROBES = {"clients": "dateLinked", "cases": "dateCreated", "transactions": "transactionId"}

MAX_TOTAL = 10**14  # the range of DECIMAL(18,4), in which totals are stored

_NONE: Mapping[str, Total] = MappingProxyType({})
_count = msgspec.json.Decoder(int | None)
_sum = msgspec.json.Decoder(Decimal | None)
_first_row = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def parse_page_metadata(body: bytes, listing: Listing, *, with_totals: bool = True) -> PageMetadata:
    """Parse paging block and control totals of a page, not its rows. Sums are exact Decimal USD. Without `with_totals`, the
    totals are skipped; only those of a window's first page are used.

    Raises TransientApiError if the body is truncated or not JSON, and ShapeError if the paging block is missing, counts or
    sums are not numbers, or fewer rows are present than announced: a missing list is never taken for an empty page.
    """
    parts = split_page_with_keys(body, listing) or split_page(body, listing)
    try:
        return _read(parts, listing, with_totals)
    except (*STRICT_ERRORS, OutlineError):
        raise ShapeError(f"A page of {listing.resource} states counts or sums that are not numbers.") from None


def _read(parts: PageParts, listing: Listing, with_totals: bool) -> PageMetadata:
    rows = parts.rows
    paging = folded(parts.paging)
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
    return PageMetadata(
        total_results=total,
        page_size=_whole(paging, "pagesize") or 0,
        current_page=_whole(paging, "currentpage") or 0,
        response_count=held if announced is None else announced,
        total_pages=_whole(paging, "totalpages") or None,
        totals=_totals(bytes(parts.summary), listing) if with_totals else _NONE,
        is_canonical=parts.is_usual and rows is not None and _is_camel(parts, listing),
        row_keys=rows if parts.has_row_keys else None,
    )


def _is_camel(parts: PageParts, listing: Listing) -> bool:
    """Whether the first row spells its probe field in camelCase; a serialiser spells all rows alike."""
    if not parts.rows:
        return True
    if parts.has_row_keys:
        return getattr(parts.rows[0], _CASE_PROBES[listing.resource]) is not msgspec.UNSET
    try:
        return _CASE_PROBES[listing.resource] in (_first_row.decode(parts.rows[0]) or {})
    except msgspec.ValidationError:  # not an object: the row readers decide
        return False


def _whole(parts: dict[str, Raw], name: str) -> int | None:
    value: int | None = _count.decode(parts.get(name, NULL))
    if value is not None and not 0 <= value < MAX_TOTAL:
        raise ShapeError(f"The API states a {name} that cannot be true.")
    return value


@lru_cache(maxsize=64)  # a window's pages have identical summaries
def _totals(summary: bytes, listing: Listing) -> Mapping[str, Total]:
    blocks = {"": folded(summary)}
    totals = {}
    for name, count_at, usd_at in _TOTAL_PATHS[listing.resource]:
        total = Total(
            count=_count.decode(_at(blocks, count_at)) if count_at else None,
            usd=_sum.decode(_at(blocks, usd_at)) if usd_at else None,
        )
        is_number = total.usd is None or total.usd.is_finite()
        if not is_number or not 0 <= (total.count or 0) < MAX_TOTAL:
            raise ShapeError(f"The API states a total {name} that cannot be true.")
        if total.usd is not None and total.usd.copy_abs() >= MAX_TOTAL:
            total = Total(total.count, None)  # one absurd row is in it, which is quarantined; the sum proves nothing
        if total != Total(None, None):
            totals[name] = total
    return MappingProxyType(totals)


def _at(blocks: dict[str, dict[str, Raw]], place: str) -> Raw:
    """The value at a dotted path, null if missing. Nested blocks are parsed once."""
    block, _, name = place.rpartition(".")
    if block not in blocks:
        blocks[block] = folded(blocks[""].get(block, NULL))
    return blocks[block].get(name, NULL)
