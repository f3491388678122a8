"""Clients as the API shows them now: the newest ones for the sensor, some of them for their onboarding run.

Belongs here: which pages are read, and the few fields that are taken from them. Does not: what is to be done about a
client (lifecycle.py). Names, users, addresses and links are left in the answer.
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
from debitura_pipeline.onboarding.lifecycle import Client, read_partition_key
from debitura_pipeline.settings import Endpoint, Settings

NEWEST_FIRST = replace(CLIENTS, sort="dateCreated:desc")
WORTH_A_PAGE = 2  # clients
FEW = 3  # clients that are asked for one by one
MAX_PAGES = 200  # 20,000 clients; a first tick may read them all, later ones stop at the first page that is all known
# Dagster cuts a sensor's tick off after a minute. What is not read by then has its turn when the newer ones are done.
READ_WITHIN_S = 40.0

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """A client, or None where the API does not show it; `at` is the API's clock."""

    client: Client | None
    at: datetime


def read_newest(
    settings: Settings, endpoint: Endpoint, is_known: Callable[[str], bool], runtime: Runtime | None = None
) -> list[Client]:
    """Clients, newest link first, up to and including the first page on which all are known.

    Clients that move to another page meanwhile are met in the next tick: nothing is remembered here. Raises ApiError,
    also when nothing at all comes within READ_WITHIN_S.
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
    settings: Settings, endpoint: Endpoint, keys: Sequence[str], runtime: Runtime | None = None
) -> dict[str, Found | ApiError]:
    """The client records of these partition keys, each as it is now, or why it could not be asked for.

    Another record under the same tenant id is not it. A few are asked for one by one; of more, the newest pages come first.
    Raises ApiError where the newest pages cannot be read, and the first one where no client could be asked for.
    """
    runtime, business_keys = runtime or Runtime(), BusinessKeys.from_settings(settings)

    async def work(client: ApiClient) -> dict[str, Found | ApiError]:
        found = await _in_newest(client, business_keys, keys, runtime) if len(keys) > FEW else {}
        left = [key for key in keys if key not in found]
        asked = await asyncio.gather(*(_asked(client, business_keys, key, runtime) for key in left))
        found |= dict(zip(left, asked, strict=True))
        errors = [one for one in found.values() if isinstance(one, ApiError)]
        if errors and len(errors) == len(keys):
            raise errors[0]
        return found

    return _with_client(settings, endpoint, runtime, work)


async def _in_newest(
    client: ApiClient, keys: BusinessKeys, wanted: Sequence[str], runtime: Runtime
) -> dict[str, Found | ApiError]:
    """Those of `wanted` that the newest pages show, as long as a page shows more of them than one request each would."""
    found: dict[str, Found | ApiError] = {}
    for number in range(1, MAX_PAGES + 1):
        answer = await client.page(Query(NEWEST_FIRST), number)
        at = client.server_time or runtime.now()
        shown = {one.key: one for one in read_clients(answer.body, keys.stored)}
        gained = {key: Found(shown[key], at) for key in wanted if key in shown and key not in found}
        found |= gained
        is_last = number * PAGE_SIZE >= answer.metadata.total_results or not answer.metadata.response_count
        if is_last or len(gained) < WORTH_A_PAGE or len(found) == len(wanted):
            break
    return found


async def _asked(client: ApiClient, keys: BusinessKeys, key: str, runtime: Runtime) -> Found | ApiError:
    tenant, creditor_id = read_partition_key(key)
    try:
        if is_pseudonym(tenant):  # its own id is looked up in the listing, and there the record stands
            return await _in_listing(client, keys, tenant, creditor_id, runtime)
        answer = await client.page(Query(CLIENTS, filters=(("ExternalTenantId", tenant),)), 1)
    except RateLimitExhausted:
        raise
    except ApiError as error:
        return error
    ours = [one for one in read_clients(answer.body, keys.stored) if one.key == key]
    return Found(ours[0] if ours else None, client.server_time or runtime.now())


async def _in_listing(client: ApiClient, keys: BusinessKeys, tenant: str, creditor_id: str, runtime: Runtime) -> Found:
    for page in range(1, MAX_PAGES + 1):
        answer = await client.page(Query(CLIENTS), page)
        for one in read_clients(answer.body, keys.stored):
            if (one.tenant, one.creditor_id) == (tenant, creditor_id):
                return Found(one, client.server_time or runtime.now())
        if page * PAGE_SIZE >= answer.metadata.total_results or not answer.metadata.response_count:
            break
    return Found(None, client.server_time or runtime.now())


def read_clients(body: bytes, stored: Callable[[str], str] = str) -> list[Client]:
    """The clients on one page; any letter case. A row without tenant id or creditor id cannot be onboarded: it is left out.

    `stored`: what is kept of a tenant id (`BusinessKeys.stored`).
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
    """Text that can be written as UTF-8, else None: JSON may hold halves of characters."""
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
