"""The three listings of the API as data, and a query: one listing with bounds and filters.

Belongs here: paths, parameter names, how an instant or an id is written in an address. Does not: sending anything.
Used by `client.py` for requests, by `envelope.py` for the rows' key, by extraction for windows and sweeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

PAGE_SIZE = 100  # the largest the API grants; a bigger one is answered with 400

# Filters whose values name states, never persons: only these are shown in messages, of the others the name alone.
_TELLING_FILTERS = frozenset(
    {
        "Statuses",
        "RevenueStages",
        "HasRecognizedRevenue",
        "CommissionPaymentStatuses",
        "PlatformInvoicingStatuses",
        "ReferralInvoicingStatuses",
        "IsAttributedClient",
        "OnboardingDone",
    }
)


@dataclass(frozen=True)
class Listing:
    """One pageable list. `has_totals`: its summary counts and sums the rows, so that a window can be checked by it.

    `key`, `dates`: where a row's id stands, and the dates by which the list may be sorted and filtered.
    """

    resource: str
    path: str
    rows_key: str
    sort: str
    from_param: str
    to_param: str
    has_totals: bool
    key: tuple[str, ...]
    dates: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or self.sort.partition(":")[2] not in ("asc", "desc"):
            raise ValueError(f"listing {self.resource} needs a path from / and a sort with its direction")


CLIENTS = Listing(
    "clients", "/clients", "clients", "dateCreated:asc", "DateCreatedFrom", "DateCreatedTo", False,
    ("client", "id"), (("dateLinked",),),
)  # fmt: skip
CASES = Listing(
    "cases", "/cases", "cases", "DateCreated:asc", "FromDate", "ToDate", False,
    ("id",), (("dateCreated",),),
)  # fmt: skip
TRANSACTIONS = Listing(
    "transactions", "/reporting/transactions", "data", "collectionDate:asc", "FromDate", "ToDate", True,
    ("transactionId",), (("date",), ("payment", "paymentDate")),
)  # fmt: skip

LISTINGS: dict[str, Listing] = {listing.resource: listing for listing in (CLIENTS, CASES, TRANSACTIONS)}


@dataclass(frozen=True)
class Query:
    """A listing within bounds (both inclusive, aware) and filters; a filter's name may come more than once."""

    listing: Listing
    from_: datetime | None = None
    to: datetime | None = None
    filters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if any(bound is not None and bound.tzinfo is None for bound in (self.from_, self.to)):
            raise ValueError("the bounds of a query need a time zone")
        if self.from_ is not None and self.to is not None and self.from_ > self.to:
            raise ValueError("a query ends before it begins")

    def params(self, page: int, page_size: int = PAGE_SIZE) -> list[tuple[str, str]]:
        """Parameters of one page, counted from 1. The size is always said: the API's own default differs by list."""
        if page < 1 or not 1 <= page_size <= PAGE_SIZE:
            raise ValueError(f"page {page} of {page_size} rows: pages count from 1 and hold 1 to {PAGE_SIZE} rows")
        params = []
        if self.from_ is not None:
            params.append((self.listing.from_param, format_instant(self.from_)))
        if self.to is not None:
            params.append((self.listing.to_param, format_instant(self.to)))
        params += self.filters
        params += [("Sort", self.listing.sort), ("PageSize", str(page_size)), ("Page", str(page))]
        return params

    def describe(self) -> str:
        """The query in words for messages; a search text or a tenant's id is not repeated."""
        words = [self.listing.resource]
        if self.from_ is not None:
            words.append(f"from {format_instant(self.from_)}")
        if self.to is not None:
            words.append(f"to {format_instant(self.to)}")
        shown = (f"{name}={value}" if name in _TELLING_FILTERS else name for name, value in self.filters)
        told = ", ".join(dict.fromkeys(shown))
        return " ".join(words) + (f" (by {told})" if told else "")


def format_instant(at: datetime) -> str:
    """An aware instant as the API takes it: UTC, `Z`, and no more fractional digits than it has."""
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def path_to(*segments: str) -> str:
    """A path from its segments, each escaped: ids are the partner's own and may hold a slash or a question mark."""
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("an empty or dotted id cannot stand in a path")
    return "".join("/" + quote(segment, safe="") for segment in segments)
