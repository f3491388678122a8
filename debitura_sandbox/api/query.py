"""Parse and validate a listing's query string, with the three shapes of a 400 response.

Unknown parameters and sort fields are ignored, as in .NET services.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from debitura_sandbox.world import codes
from debitura_sandbox.world.addresses import PARTNERS
from debitura_sandbox.world.columns import to_us

MAX_PAGE_SIZE = 100
MAX_INT32 = 2**31 - 1
PARTNER_IDS = {str(UUID(int=0x50A7_0000_4000_8000_0000_0000_0000 + number)): number for number in range(len(PARTNERS))}


@dataclass(frozen=True)
class ListQuery:
    """One listing request. `filters` holds (name, value) pairs, sorted; dates are microseconds, arrays frozen sets."""

    resource: str
    filters: tuple[tuple[str, Any], ...]
    sort: str
    is_descending: bool
    page: int
    page_size: int


class BadQueryError(Exception):
    """The query is invalid. `body`: of the 400 response."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("bad query")
        self.body = body


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


def _instant(text: str) -> int:
    return to_us(datetime.fromisoformat(text.strip()))


def _country(text: str) -> int:
    return int(text) - 1


def _partner(text: str) -> int:
    return PARTNER_IDS.get(str(UUID(text)), 99)  # a well-formed id of nobody: no rows


_LIFECYCLES = {
    spelling.casefold(): code
    for code, lifecycle in enumerate(codes.LIFECYCLES)
    for spelling in (lifecycle.name, lifecycle.label)
}


def lifecycle_code(text: str) -> int:
    """Code of a lifecycle by name or label. Raises KeyError."""
    return _LIFECYCLES[text.strip().casefold()]


def _code(words: tuple[str, ...]) -> Callable[[str], int]:
    """Reader of an enum filter: its number, or its name."""
    numbers = {str(number): number for number in range(len(words))}
    numbers |= {word.casefold(): number for number, word in enumerate(words)}
    return lambda text: numbers[text.strip().casefold()]


@dataclass(frozen=True)
class Rules:
    """What a listing accepts: single and array parameters, sort fields (the first is the default), default page size."""

    single: dict[str, tuple[str, Callable[[str], Any]]]
    arrays: dict[str, tuple[str, Callable[[str], Any]]]
    sorts: tuple[str, ...]
    page_size: int


RULES = {
    "clients": Rules(
        {
            "query": ("text", str), "externaltenantid": ("tenant", str), "isattributedclient": ("is_attributed", _boolean),
            "datecreatedfrom": ("from", _instant), "datecreatedto": ("to", _instant), "onboardingdone": ("done", _boolean),
        },
        {}, ("dateCreated", "name"), 50,
    ),
    "cases": Rules(
        {
            "fromdate": ("from", _instant), "todate": ("to", _instant), "externaltenantid": ("tenant", str), "query": ("text", str),
        },
        {
            "statuses": ("lifecycle", lifecycle_code), "countryids": ("country", _country),
            "collectionpartnerids": ("partner", _partner),
        },
        ("DateCreated", "GrossAmount", "DueDate"), 10,
    ),
    "transactions": Rules(
        {
            "fromdate": ("from", _instant), "todate": ("to", _instant), "externaltenantid": ("tenant", str),
            "hasrecognizedrevenue": ("recognized", _boolean), "search": ("text", str),
        },
        {
            "commissionpaymentstatuses": ("commission", _code(codes.COMMISSION)),
            "platforminvoicingstatuses": ("platform", _code(codes.PLATFORM)),
            "referralinvoicingstatuses": ("referral", _code(codes.REFERRAL)),
            "revenuestages": ("stage", _code(codes.STAGES)),
            "countryids": ("country", _country), "collectionpartnerids": ("partner", _partner),
        },
        ("collectionDate", "amount"), 10,
    ),
}  # fmt: skip


def read_query(resource: str, query: str) -> ListQuery:
    """Parse the query string of a request for `resource`. Raises BadQueryError."""
    rules = RULES[resource]
    filters: dict[str, Any] = {}
    sort, page, page_size = "", 1, rules.page_size
    for spelled, text in parse_qsl(query, keep_blank_values=True):
        name = spelled.lower()
        try:
            if name == "page":
                page = int(text)
            elif name == "pagesize":
                page_size = int(text)
            elif name == "sort":
                sort = text
            elif text and name in rules.single:
                key, read = rules.single[name]
                filters[key] = read(text)
            elif text and name in rules.arrays:
                key, read = rules.arrays[name]
                filters[key] = filters.get(key, frozenset()) | {read(text)}
        except (ValueError, KeyError):
            raise BadQueryError(_malformed(spelled)) from None
    for name, value, top in (("Page", page, MAX_INT32), ("PageSize", page_size, MAX_PAGE_SIZE)):
        if not 1 <= value <= top:
            raise BadQueryError(_out_of_range(resource, name, top))
    field, is_descending = _read_sort(sort, rules.sorts)
    return ListQuery(resource, tuple(sorted(filters.items())), field, is_descending, page, page_size)


def _read_sort(text: str, fields: tuple[str, ...]) -> tuple[str, bool]:
    name, _, direction = text.partition(":")
    for field in fields:
        if field.lower() == name.strip().lower():
            return field, direction.strip().lower() == "desc"
    return fields[0], True


def _out_of_range(resource: str, name: str, top: int) -> dict[str, Any]:
    message = f"The field {name} must be between 1 and {top}."
    if resource == "transactions":
        return {name: [message]}
    error = {"type": "ValidationError", "message": message, "solutionUrl": None}
    return {"error": "Bad Request", "message": message, "businessErrors": [error]}


def _malformed(name: str) -> dict[str, Any]:
    return {
        "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {name: ["The value is not valid."]},
        "traceId": "00-5a6d0b0c-00",
    }
