"""Check the Partner API and the Customer API: do they answer, do the clocks agree, is there request budget left?

One request each, and one row of each listing that a nightly run reads, with short timeouts; the API key is sent to the Partner
API only. An embedded sandbox that is not running is
not started on the data directory, which would advance it: a small one in a temporary folder shows that it could start.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime, open_client, open_rate_limiter
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.api.reachability import reach
from debitura_pipeline.contract.listings import LISTINGS, Listing, Query
from debitura_pipeline.doctor.cures import FORBIDDEN, api_cure, unreached
from debitura_pipeline.doctor.diagnosis import Diagnosis, failed, from_error, passed
from debitura_pipeline.errors import ApiError, DebituraError, IdentityRefused, RefusedError, WarehouseError
from debitura_pipeline.settings import API_HOSTS, CUSTOMER_HOSTS, Endpoint, Secret, Settings
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.warehouse.identity import check_identity
from debitura_sandbox.server import embedded

WITHIN_S = 7.0  # somebody is waiting for the result
NO_WAIT_S = 0.5
TIMEOUTS = Timeouts(3.0, 5.0, 6.0)
MAX_CLOCK_OFFSET = timedelta(minutes=1)
SMALL_SANDBOX = ("--clients", "1", "--cases", "1", "--transactions", "1")


def api_target(settings: Settings) -> str:
    """What the check waits for."""
    return settings.api_url or "the embedded sandbox"


def examine(settings: Settings) -> Iterator[Diagnosis]:
    """Check the Partner API: key, partner, request budget and clock."""
    try:
        check_identity(settings, with_warehouse=False)
    except DebituraError:  # reported by the check of the identity; a sandbox must not write to that directory
        return
    try:
        with _endpoint(settings) as (endpoint, has_our_data):
            yield from asyncio.run(_ask(settings, endpoint, has_our_data))
    except DebituraError as error:  # an embedded sandbox that does not start
        yield from_error("API", error, settings)


@contextmanager
def _endpoint(settings: Settings) -> Iterator[tuple[Endpoint, bool]]:
    """The API, and whether its partner is the one whose data is in the data directory."""
    if not settings.uses_embedded_sandbox:
        with open_endpoint(settings) as endpoint:
            yield endpoint, True
        return
    with tempfile.TemporaryDirectory(prefix="debitura-doctor-", ignore_cleanup_errors=True) as folder:
        sandbox = embedded.found(settings.data_dir)
        if sandbox is not None:
            yield Endpoint(sandbox.url, Secret(sandbox.key), sandbox.customer_url, is_simulated=True), True
            return
        with embedded.running(Path(folder), arguments=SMALL_SANDBOX) as small:
            yield Endpoint(small.url, Secret(small.key), small.customer_url, is_simulated=True), False


def examine_customer(settings: Settings) -> Iterator[Diagnosis]:
    """Check that the Customer API answers. Any HTTP status will do: every endpoint needs a client's token."""
    url = settings.customer_api_url
    if url is None:
        return
    try:
        status = asyncio.run(reach(url, TIMEOUTS, settings.network))
    except DebituraError as error:
        variable = None if url in CUSTOMER_HOSTS.values() else "DEBITURA_CUSTOMER_API_URL"
        fault, cure = unreached(error, url, variable)
        yield failed("Customer API", f"{url}: {fault}", cure)
    else:
        yield passed("Customer API", f"{url} answers (HTTP {status})")


async def _ask(settings: Settings, endpoint: Endpoint, has_our_data: bool) -> list[Diagnosis]:
    runtime = Runtime(timeouts=TIMEOUTS, tries=1)
    budget, found = _budget(settings, endpoint, runtime), list[Diagnosis]()
    client = open_client(settings, endpoint, runtime)
    try:
        async with asyncio.timeout(WITHIN_S), client:
            found.append(await _me(settings, client, has_our_data))
            if found[0].is_ok:
                found += await _refused_listings(settings, client)
    except TimeoutError:
        cure = "The request budget of this minute may be used up; try again in a minute."
        found = found or [failed("API", f"{api_target(settings)}: no answer within {WITHIN_S:.0f} s.", cure)]
    clock = _clock(client.server_time, datetime.now(UTC), endpoint)
    return [*found, budget, *([clock] if clock is not None else [])]


async def _me(settings: Settings, client: ApiClient, has_our_data: bool) -> Diagnosis:
    """Does the API accept the key, and is its partner the one whose data is stored here?"""
    try:
        (mode, _), partner_id = await read_me(client)
        with suppress(WarehouseError):  # reported by the check of the warehouse
            if has_our_data:
                check_identity(settings, wait_s=NO_WAIT_S).with_partner(partner_id)
    except IdentityRefused as error:
        return from_error("API", error, settings)
    except DebituraError as error:
        url = settings.api_url
        variable = "DEBITURA_API_URL" if url and url not in API_HOSTS.values() else None
        fault, cure = unreached(error, url or "", variable)
        return failed("API", f"{api_target(settings)}: {fault}", cure)
    return passed("API", f"{api_target(settings)} answers; invoicing trigger mode {mode or 'not stated'}")


async def _refused_listings(settings: Settings, client: ApiClient) -> list[Diagnosis]:
    """The listings that the key may not read. Other faults of a listing may be over by the time that a nightly run reads it."""
    found = await asyncio.gather(*(_refusal(client, listing) for listing in LISTINGS.values()))
    return [
        _unreadable(settings, listing, error) for listing, error in zip(LISTINGS.values(), found, strict=True) if error
    ]


async def _refusal(client: ApiClient, listing: Listing) -> RefusedError | None:
    try:
        await client.document(
            "GET", listing.path, params=Query(listing).params(1, page_size=1), what=f"Reading one row of {listing.path}"
        )
    except RefusedError as error:
        return error
    except ApiError:
        pass
    return None


def _unreadable(settings: Settings, listing: Listing, error: RefusedError) -> Diagnosis:
    if error.status == FORBIDDEN:
        seen = f"{api_target(settings)}: the key may not read GET {listing.path} (HTTP 403)."
        cure = f"Ask Debitura for the permission to read {listing.path} with this key, then run `debitura nightly`."
        return failed("API", seen, cure)
    seen = f"{api_target(settings)}: GET {listing.path} is refused (HTTP {error.status})."
    return failed("API", seen, api_cure(error, settings.api_url or "", None))


def _budget(settings: Settings, endpoint: Endpoint, runtime: Runtime) -> Diagnosis:
    """The requests left, as far as this data directory knows: other programs with the same key are not counted."""
    if endpoint.is_simulated:
        return passed(
            "request budget", f"{settings.requests_per_minute:,} per minute; not recorded for the simulated API"
        )
    left = open_rate_limiter(settings, endpoint, runtime).remaining()
    seen = f"{left.hour:,} requests left this hour, {left.day:,} today"
    if left.free_at is not None:
        cure = f"Wait until {left.free_at:%Y-%m-%d %H:%M} UTC; a sync started then resumes where it stopped."
        return failed("request budget", f"{urlsplit(endpoint.base_url).hostname}: {seen}.", cure)
    return passed("request budget", seen)


def _clock(stated: datetime | None, now: datetime, endpoint: Endpoint) -> Diagnosis | None:
    """Compare this machine's clock with the `Date` header of the API's responses; None if there was none."""
    if endpoint.is_simulated:
        return passed("clock", "not compared: the simulated API has its own clock")
    if stated is None:
        return None
    offset = now - stated
    if abs(offset) <= MAX_CLOCK_OFFSET:
        return passed("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, same as the API's")
    how_much, which = _span(abs(offset)), "ahead of" if offset > timedelta(0) else "behind"
    return failed(
        "clock",
        f"this machine's clock ({now:%Y-%m-%d %H:%M:%S} UTC) is {how_much} {which} that of {urlsplit(endpoint.base_url).netloc}.",
        "Set the clock, preferably with NTP (`timedatectl set-ntp true`).",
    )


def _span(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    parts = [(days, "day"), (hours, "hour"), (minutes % 60 if not days else 0, "minute")]
    return " ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in parts if count)
