"""Clients as `GET /clients` lists them, whole: names and links are compared or printed, and never stored."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.encoding import parse_lenient
from debitura_pipeline.api.page_parts import split_page
from debitura_pipeline.contract.listings import CLIENTS, PAGE_SIZE, Query
from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.landing.validators import is_id

TRIES = 3  # a client that is linked or archived meanwhile moves others to another page
_URL = re.compile(r"https?://[\x21-\x7e]{1,2000}")


@dataclass(frozen=True, slots=True)
class ListedClient:
    """One client. `link`: where it signs, None if the API gives none. `is_ambiguous`: its tenant id is listed for other clients,
    too."""

    tenant: str = field(repr=False)
    creditor_id: str
    is_signed: bool
    company_name: str | None = field(default=None, repr=False)
    country: str | None = None
    registration_number: str | None = field(default=None, repr=False)
    link: str | None = field(default=None, repr=False)
    is_ambiguous: bool = False


async def read_listed(client: ApiClient) -> dict[str, ListedClient]:
    """All linked clients by tenant id, proven complete by the listing's own count.

    Raises UnprovenError if the listing kept changing while it was read, ApiError if it cannot be read.
    """
    for _ in range(TRIES):
        found, expected = await _read_once(client)
        if len(found) == expected:
            listed = [one for one in found.values() if one is not None]
            clients = Counter(one.tenant for one in listed)
            return {one.tenant: replace(one, is_ambiguous=clients[one.tenant] > 1) for one in listed}
    raise UnprovenError(
        f"GET /clients did not list as many clients as it counts, {TRIES} times in a row. Nothing was planned or sent; run again."
    )


async def _read_once(client: ApiClient) -> tuple[dict[tuple[str, str], ListedClient | None], int]:
    """Clients by creditor and tenant id, since one may be linked under two tenants (those without a usable id by a number), and
    the listing's count on its last page."""
    first = await client.page(Query(CLIENTS), 1)
    rows = max(
        1, min(PAGE_SIZE, first.metadata.response_count or PAGE_SIZE)
    )  # the API may serve fewer than were asked for
    pages = range(2, -(-first.metadata.total_results // rows) + 1)
    rest = await asyncio.gather(*(client.page(Query(CLIENTS), number) for number in pages))
    found: dict[tuple[str, str], ListedClient | None] = {}
    for page in (first, *rest):
        for row in split_page(page.body, CLIENTS).rows or ():
            one = listed_client(parse_lenient(bytes(row)))
            found[(one.creditor_id, one.tenant) if one else ("", str(len(found)))] = one
    return found, (first, *rest)[-1].metadata.total_results


def listed_client(document: Any) -> ListedClient | None:
    """A `ClientCreatedResponse`, field names in any letter case; None without tenant id or creditor id."""
    fields = lower(document)
    client = lower(fields.get("client"))
    tenant, creditor_id = whole_text(fields.get("externaltenantid")), whole_text(client.get("id"))
    if not tenant or not creditor_id or not is_id(creditor_id):
        return None
    return ListedClient(
        tenant,
        creditor_id.lower(),
        fields.get("onboardingdone") is True,
        whole_text(client.get("companyname")),
        whole_text(client.get("country")),
        whole_text(client.get("companyregistrationnumber")),
        link_in(fields),
    )


def link_in(fields: Mapping[str, Any]) -> str | None:
    """`onboardingLinks.url` of a document whose names are in lower case, if it is a web address."""
    url = whole_text(lower(fields.get("onboardinglinks")).get("url"))
    return url if url and _URL.fullmatch(url) else None


def lower(value: Any) -> dict[str, Any]:
    """An object with its names in lower case; empty for any other value."""
    return {str(name).lower(): item for name, item in value.items()} if isinstance(value, dict) else {}


def whole_text(value: Any) -> str | None:
    """A string that can be encoded as UTF-8, else None."""
    is_whole = isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
    return value if is_whole else None
