"""Read the current state of clients from the API: the newest ones for the sensor, given ones for an onboarding run.

Only ids, signature, KYC status, link date and case count are kept; names, users, addresses and links are discarded.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime, open_client
from debitura_pipeline.api.encoding import parse_lenient
from debitura_pipeline.api.page_parts import split_page
from debitura_pipeline.contract.listings import CLIENTS, PAGE_SIZE, Query
from debitura_pipeline.errors import ApiError, RateLimitExhausted, TransientApiError
from debitura_pipeline.landing.business_key import BusinessKeys, is_pseudonym
from debitura_pipeline.landing.labels import safe_label
from debitura_pipeline.landing.validators import parse_instant
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.lifecycle import Client
from debitura_pipeline.settings import Endpoint, Settings

NEWEST_FIRST = replace(CLIENTS, sort="dateCreated:desc")
MIN_PER_PAGE = 2  # wanted clients that a page must show to be cheaper than single requests
MAX_SINGLE = 3  # up to this many clients are requested one by one
MAX_PAGES = 200  # 20,000 clients; the first tick may read them all, later ones stop at a page of known clients
# Dagster aborts a sensor tick after a minute. The rest is read once the newer clients are done.
READ_WITHIN_S = 40.0

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A client, or None if the API does not list it. `at`: the API's clock."""

    client: Client | None
    at: datetime


def read_newest(
    settings: Settings, endpoint: Endpoint, is_known: Callable[[str], bool], runtime: Runtime | None = None
) -> list[Client]:
    """Clients, newest link first, up to and including the first page on which all are known.

    Clients that move to another page in the meantime are found in the next tick. `is_known`: takes a partition key. Raises
    ApiError, also if no page arrives within READ_WITHIN_S.
    """

    keys = BusinessKeys.from_settings(settings)

    async def work(client: ApiClient) -> list[Client]:
        found: list[Client] = []
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                for page in range(1, MAX_PAGES + 1):
                    answer = await client.page(Query(NEWEST_FIRST), page)
                    clients = read_clients(answer.body, keys.stored)
                    found += clients
                    is_last = page * PAGE_SIZE >= answer.metadata.total_results or not answer.metadata.response_count
                    if is_last or (clients and all(is_known(one.key) for one in clients)):
                        break
        except TimeoutError:
            if not found:
                raise TransientApiError(f"Reading the newest clients took more than {READ_WITHIN_S:.0f} s.") from None
        return found

    return _with_client(settings, endpoint, runtime, work)


def read_some(
    settings: Settings, endpoint: Endpoint, refs: Sequence[ClientRef], runtime: Runtime | None = None
) -> dict[ClientRef, Found | ApiError]:
    """The current records of these clients; an ApiError for a client whose record could not be read.

    Other records with the same tenant id do not count. Raises ApiError if the newest pages cannot be read, or if no client
    could be read.
    """
    runtime, business_keys = runtime or Runtime(), BusinessKeys.from_settings(settings)

    async def work(client: ApiClient) -> dict[ClientRef, Found | ApiError]:
        found = await _in_newest(client, business_keys, refs, runtime) if len(refs) > MAX_SINGLE else {}
        left = [ref for ref in refs if ref not in found]
        single = await asyncio.gather(*(_single(client, business_keys, ref, runtime) for ref in left))
        found |= dict(zip(left, single, strict=True))
        errors = [one for one in found.values() if isinstance(one, ApiError)]
        if errors and len(errors) == len(refs):
            raise errors[0]
        return found

    return _with_client(settings, endpoint, runtime, work)


def read_tenants(
    settings: Settings, endpoint: Endpoint, tenants: Sequence[str], runtime: Runtime | None = None
) -> list[Client]:
    """The clients that are listed under these tenant ids, one request each; pseudonyms are left out. Raises ApiError."""
    keys = BusinessKeys.from_settings(settings)

    async def work(client: ApiClient) -> list[Client]:
        queries = [Query(CLIENTS, filters=(("ExternalTenantId", one),)) for one in tenants if not is_pseudonym(one)]
        answers = await asyncio.gather(*(client.page(query, 1) for query in queries))
        found = [one for answer in answers for one in read_clients(answer.body, keys.stored)]
        return [one for one in found if one.tenant in tenants]

    return _with_client(settings, endpoint, runtime, work)


async def _in_newest(
    client: ApiClient, keys: BusinessKeys, wanted: Sequence[ClientRef], runtime: Runtime
) -> dict[ClientRef, Found | ApiError]:
    """Read the newest pages while a page shows more of the wanted clients than a single request would."""
    found: dict[ClientRef, Found | ApiError] = {}
    for number in range(1, MAX_PAGES + 1):
        answer = await client.page(Query(NEWEST_FIRST), number)
        at = client.server_time or runtime.now()
        shown = {one.ref: one for one in read_clients(answer.body, keys.stored)}
        gained = {ref: Found(shown[ref], at) for ref in wanted if ref in shown and ref not in found}
        found |= gained
        is_last = number * PAGE_SIZE >= answer.metadata.total_results or not answer.metadata.response_count
        if is_last or len(gained) < MIN_PER_PAGE or len(found) == len(wanted):
            break
    return found


async def _single(client: ApiClient, keys: BusinessKeys, ref: ClientRef, runtime: Runtime) -> Found | ApiError:
    try:
        if is_pseudonym(ref.tenant):  # the API does not know the pseudonym: search the whole listing
            return await _in_listing(client, keys, ref, runtime)
        answer = await client.page(Query(CLIENTS, filters=(("ExternalTenantId", ref.tenant),)), 1)
    except RateLimitExhausted:
        raise
    except ApiError as error:
        return error
    ours = [one for one in read_clients(answer.body, keys.stored) if one.ref == ref]
    return Found(ours[0] if ours else None, client.server_time or runtime.now())


async def _in_listing(client: ApiClient, keys: BusinessKeys, ref: ClientRef, runtime: Runtime) -> Found:
    for page in range(1, MAX_PAGES + 1):
        answer = await client.page(Query(CLIENTS), page)
        for one in read_clients(answer.body, keys.stored):
            if one.ref == ref:
                return Found(one, client.server_time or runtime.now())
        if page * PAGE_SIZE >= answer.metadata.total_results or not answer.metadata.response_count:
            break
    return Found(None, client.server_time or runtime.now())


def read_clients(body: bytes, stored: Callable[[str], str] = str) -> list[Client]:
    """The clients on one page, field names in any letter case. Rows without tenant id or creditor id are skipped.

    `stored`: maps a tenant id to the id that is stored (`BusinessKeys.stored`). Raises ShapeError.
    """
    rows = split_page(body, CLIENTS).rows or ()
    found = [client for client in (_client(_parsed(bytes(row)), stored) for row in rows) if client is not None]
    if len(found) < len(rows):
        log.warning("%d clients have no tenant id or no creditor id and are not onboarded", len(rows) - len(found))
    return found


def _parsed(row: bytes) -> Any:
    try:
        return parse_lenient(row)
    except (ValueError, RecursionError):
        return None


def _client(row: Any, stored: Callable[[str], str]) -> Client | None:
    fields = _fields(row)
    tenant, creditor_id = _text(fields.get("externaltenantid")), _text(_fields(fields.get("client")).get("id"))
    if not tenant or not creditor_id or _ID.fullmatch(creditor_id) is None:
        return None
    cases = _fields(fields.get("casestats")).get("casestotal")
    kyc_status, linked = _text(fields.get("kycstatus")), _text(fields.get("datelinked"))
    return Client(
        stored(tenant),
        creditor_id.lower(),
        is_signed=fields.get("onboardingdone") is True,
        kyc_status=safe_label(kyc_status) if kyc_status else None,
        linked_at=parse_instant(linked) if linked else None,
        cases=cases if isinstance(cases, int) and not isinstance(cases, bool) and cases >= 0 else None,
    )


def _text(value: Any) -> str | None:
    """A string that can be encoded as UTF-8, else None: JSON may contain lone surrogates."""
    is_whole = isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
    return value if is_whole else None


def _fields(value: Any) -> dict[str, Any]:
    return {name.lower(): item for name, item in value.items()} if isinstance(value, dict) else {}


def _with_client(
    settings: Settings, endpoint: Endpoint, runtime: Runtime | None, work: Callable[[ApiClient], Awaitable[T]]
) -> T:
    async def run() -> T:
        async with open_client(settings, endpoint, runtime or Runtime()) as client:
            return await work(client)

    return asyncio.run(run())
