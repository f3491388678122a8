"""The Partner API and the Customer API: do they answer, do the clocks agree, is there budget left?

Each is asked once, with time-outs of its own; a key is shown to the Partner API alone. An embedded sandbox that does not run is
not started on the data directory, since its world would move: a small one, in a temporary folder, shows that it could be.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from debitura_pipeline.api.connect import Runtime, open_client, open_rate_limiter
from debitura_pipeline.api.endpoint import open_endpoint
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.api.reachability import reach
from debitura_pipeline.doctor.cures import unreached
from debitura_pipeline.doctor.diagnosis import Diagnosis, bad, of_error, well
from debitura_pipeline.errors import DebituraError, IdentityRefused, WarehouseError
from debitura_pipeline.settings import API_HOSTS, CUSTOMER_HOSTS, Endpoint, Secret, Settings
from debitura_pipeline.sync.partner import read_me
from debitura_pipeline.warehouse.identity import check_identity
from debitura_sandbox.server import embedded

WITHIN_S = 7.0  # whoever asks what is wrong is waiting
NO_WAIT_S = 0.5
TIMEOUTS = Timeouts(3.0, 5.0, 6.0)
MOST_OFF = timedelta(minutes=1)
SMALL = ("--clients", "1", "--cases", "1", "--transactions", "1")


def described(settings: Settings) -> str:
    return settings.api_url or "the embedded sandbox"


def examine(settings: Settings) -> Iterator[Diagnosis]:
    try:
        check_identity(settings, with_warehouse=False)
    except DebituraError:  # which has a line of its own; a sandbox must not move in
        return
    try:
        with _endpoint(settings) as (endpoint, has_our_data):
            yield from asyncio.run(_ask(settings, endpoint, has_our_data))
    except DebituraError as error:  # an embedded sandbox that does not start
        yield of_error("API", error, settings)


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
        with embedded.running(Path(folder), arguments=SMALL) as small:
            yield Endpoint(small.url, Secret(small.key), small.customer_url, is_simulated=True), False


def examine_customer(settings: Settings) -> Iterator[Diagnosis]:
    """Any answer of HTTP will do: what is behind it takes a client's token."""
    url = settings.customer_api_url
    if url is None:
        return
    try:
        status = asyncio.run(reach(url, TIMEOUTS, settings.network))
    except DebituraError as error:
        variable = None if url in CUSTOMER_HOSTS.values() else "DEBITURA_CUSTOMER_API_URL"
        fault, cure = unreached(error, url, variable)
        yield bad("Customer API", f"{url}: {fault}", cure)
    else:
        yield well("Customer API", f"{url} answers (HTTP {status})")


async def _ask(settings: Settings, endpoint: Endpoint, has_our_data: bool) -> list[Diagnosis]:
    runtime = Runtime(timeouts=TIMEOUTS, tries=1)
    found = [_budget(settings, endpoint, runtime)]
    client = open_client(settings, endpoint, runtime)
    try:
        async with asyncio.timeout(WITHIN_S), client:
            found.insert(0, await _me(settings, client, has_our_data))
    except TimeoutError:
        cure = "The request budget may be spent for this minute; ask again in a minute."
        found.insert(0, bad("API", f"{described(settings)}: no answer within {WITHIN_S:.0f} s.", cure))
    clock = _clock(client.server_time, datetime.now(UTC), endpoint)
    return found + ([clock] if clock is not None else [])


async def _me(settings: Settings, client: object, has_our_data: bool) -> Diagnosis:
    """Does the API know the key, and is its partner the one whose data is here?"""
    try:
        (mode, _), partner_id = await read_me(client)  # type: ignore[arg-type]
        with suppress(WarehouseError):  # which has a line of its own
            if has_our_data:
                check_identity(settings, wait_s=NO_WAIT_S).with_partner(partner_id)
    except IdentityRefused as error:
        return of_error("API", error, settings)
    except DebituraError as error:
        url = settings.api_url
        variable = "DEBITURA_API_URL" if url and url not in API_HOSTS.values() else None
        fault, cure = unreached(error, url or "", variable)
        return bad("API", f"{described(settings)}: {fault}", cure)
    return well("API", f"{described(settings)} answers; invoicing trigger mode {mode or 'not stated'}")


def _budget(settings: Settings, endpoint: Endpoint, runtime: Runtime) -> Diagnosis:
    """What may still be asked, as far as this data directory knows."""
    if endpoint.is_simulated:
        return well("request budget", f"{settings.requests_per_minute:,} a minute; the simulated API's are not kept")
    left = open_rate_limiter(settings, endpoint, runtime).remaining()
    told = f"{left.hour:,} requests left in this hour, {left.day:,} in this day"
    if left.free_at is not None:
        cure = f"Wait until {left.free_at:%Y-%m-%d %H:%M} UTC; a sync that is started then goes on where it stopped."
        return bad("request budget", f"{urlsplit(endpoint.base_url).hostname}: {told}.", cure)
    return well("request budget", told)


def _clock(stated: datetime | None, now: datetime, endpoint: Endpoint) -> Diagnosis | None:
    """This machine's clock against the `Date` of the API's answers; None where there was none."""
    if endpoint.is_simulated:
        return well("clock", "not compared: the simulated API has a clock of its own")
    if stated is None:
        return None
    off = now - stated
    if abs(off) <= MOST_OFF:
        return well("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC, as at the API")
    how_much, which = _span(abs(off)), "ahead of" if off > timedelta(0) else "behind"
    return bad(
        "clock",
        f"this machine's clock ({now:%Y-%m-%d %H:%M:%S} UTC) is {how_much} {which} that of {urlsplit(endpoint.base_url).netloc}.",
        "Set it, best by NTP (`timedatectl set-ntp true`).",
    )


def _span(span: timedelta) -> str:
    minutes = round(span.total_seconds() / 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    parts = [(days, "day"), (hours, "hour"), (minutes % 60 if not days else 0, "minute")]
    return " ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in parts if count)
