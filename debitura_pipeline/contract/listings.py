"""The three listings of the API, and queries on them: paths, parameters, and the encoding of instants and ids in URLs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

PAGE_SIZE = 100  # the API's maximum; larger values are rejected with status 400

# Filters whose values are states and never personal data. Messages show the values of these only.
_LOGGABLE_FILTERS = frozenset(
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
    """A paginated list. `has_totals`: its summary counts and sums the rows of a query.

    `key`, `dates`: paths in a row of its id, and of the dates that the list may be sorted and filtered by.
    Raises ValueError if `path` or `sort` is malformed.
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
    """A listing within bounds (both inclusive, aware) and filters, whose names may repeat.

    Raises ValueError if a bound has no time zone or the bounds are reversed.
    """

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
        """Return the parameters of one page, counted from 1. The size is explicit, since the API's default differs by list.

        Raises ValueError if the page number or size is out of range.
        """
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
        """Describe the query for messages; values of filters that may hold personal data are left out."""
        words = [self.listing.resource]
        if self.from_ is not None:
            words.append(f"from {format_instant(self.from_)}")
        if self.to is not None:
            words.append(f"to {format_instant(self.to)}")
        shown = (f"{name}={value}" if name in _LOGGABLE_FILTERS else name for name, value in self.filters)
        described = ", ".join(dict.fromkeys(shown))
        return " ".join(words) + (f" (by {described})" if described else "")


def format_instant(at: datetime) -> str:
    """Format an aware instant for the API: UTC with `Z`, without trailing zeros in the fraction."""
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def path_to(*segments: str) -> str:
    """Join path segments, escaping each: ids are chosen by the partner and may contain slashes or question marks.

    Raises ValueError if a segment is empty or consists of dots.
    """
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError("a path segment must not be empty or dotted")
    return "".join("/" + quote(segment, safe="") for segment in segments)
