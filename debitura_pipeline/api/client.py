"""Fetch pages and documents from the API: rate limited, concurrent, retried.

A single attempt is in `http.py`. Error messages say what was requested and what came back, never the key, a query or a record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from debitura_pipeline.api.concurrency import ConcurrencyLimit
from debitura_pipeline.api.encoding import check_json, parse_document, redact_path
from debitura_pipeline.api.http import (
    DEFAULT_TIMEOUTS,
    PARTNER_KEY,
    ApiRequest,
    AuthScheme,
    Clock,
    HttpSession,
    Timeouts,
)
from debitura_pipeline.api.outage import OutagePolicy, Outages
from debitura_pipeline.api.page_metadata import Page, parse_page_metadata
from debitura_pipeline.api.rate_limit import MAX_WAIT_S, RateLimiter
from debitura_pipeline.api.transport import Connection
from debitura_pipeline.contract.listings import Query
from debitura_pipeline.errors import RateLimited, RefusedError, ShapeError, TransientApiError
from debitura_pipeline.proxies import DIRECT, Network
from debitura_pipeline.settings import Secret

log = logging.getLogger(__name__)

MAX_TRIES = 6  # with waits of up to 1, 2, 4, 8, 16 s between them, half of that on average: 15 s in all
MAX_SHAPE_TRIES = 2  # a response that contradicts the contract is mostly the same the next time
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 60.0
MAX_LONG_WAITS = 2  # then the wait is treated as an outage: one request probes for all
LONG_429_WAIT_S = 30.0
LEAST_429_WAIT_S = 0.1  # doubling too: an API that always says "now" would use up all attempts at once
SILENT_429_WAIT_S = 60.0  # the shortest of the API's windows

Sleep = Callable[[float], Awaitable[None]]
Translate = Callable[[Query], Awaitable[Query]]
T = TypeVar("T")


@dataclass(slots=True)
class RequestStats:
    """Counters of one client. `waited_s`: seconds spent on rate limiting (once per queue) and on retry back-off, which may
    overlap."""

    requests: int = 0
    retries: int = 0
    waited_s: float = 0.0


class ApiClient:
    """A client of one API host with one credential. Use with `async with`, in one event loop. Calls may run concurrently: at
    most `concurrency` requests are in flight, or up to `most` if latency is high. `random` returns floats in [0, 1)."""

    def __init__(
        self,
        base_url: str,
        api_key: Secret,
        rate_limiter: RateLimiter,
        concurrency: int,
        *,
        most: int | None = None,
        clock: Clock,
        sleep: Sleep,
        random: Callable[[], float],
        scheme: AuthScheme = PARTNER_KEY,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        tries: int = MAX_TRIES,
        network: Network = DIRECT,
        outages: OutagePolicy | None = None,
    ) -> None:
        self._tries = tries
        self._session = HttpSession(base_url, api_key, scheme, timeouts, clock, network)
        self._rate_limiter, self._clock, self._sleep, self._random = rate_limiter, clock, sleep, random
        self._slots = ConcurrencyLimit(concurrency, max(most or concurrency, concurrency), rate_limiter.per_minute)
        self._outages = Outages(outages, clock, sleep)
        self._idle: list[Connection] = []
        self.stats = RequestStats()
        self.translate: Translate | None = None  # from stored ids to the API's

    @property
    def concurrency_limit(self) -> int:
        """Requests that may be in flight now, as adapted to latency and errors."""
        return self._slots.limit

    @contextmanager
    def shared_among(self, processes: int, *, is_counted_together: bool) -> Iterator[None]:
        """Leave other processes that read with the same key their share of the requests for the length of the block.

        `is_counted_together`: the rate limiter's counts include theirs. A concurrency that does not adapt is divided. No request
        may be in flight at the beginning and the end.
        """
        slots, limiter = self._slots, self._rate_limiter
        if not slots.is_adaptive:
            limit = max(1, slots.limit // processes)
            self._slots = ConcurrencyLimit(limit, limit, limiter.per_minute)
        limiter.share = 1 if is_counted_together else processes
        try:
            yield
        finally:
            self._slots, limiter.share = slots, 1

    @property
    def server_time(self) -> datetime | None:
        """The API's clock, from the `Date` headers of recent responses; None before the first one."""
        return self._session.server_time

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rate_limiter.close()
        await asyncio.gather(*(connection.aclose() for connection in self._idle))

    async def page(self, query: Query, page: int, *, with_totals: bool = True) -> Page:
        """Fetch one page of a listing and parse its metadata. Without `with_totals`, the control totals are skipped.

        Raises RateLimitExhausted, ApiOutage, RefusedError or another ApiError once all attempts have failed.
        """
        listing = query.listing
        if self.translate is not None:
            query = await self.translate(query)
        what = f"Reading {query.describe()}, page {page}"
        request = ApiRequest(f"GET {listing.path}", what, "GET", self._session.target(listing.path, query.params(page)))
        return await self._ask(
            request, lambda body: Page(body, parse_page_metadata(body, listing, with_totals=with_totals))
        )

    async def document(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        what: str,
    ) -> Any:
        """Fetch a JSON document, fractions as Decimal; None if the response has no body.

        `path` comes from `listings.path_to`; `what` starts error messages (`Asking who we are`). The request is repeated on
        failure, so it must be safe to repeat. Raises ApiError once all attempts have failed.
        """
        packed = msgspec.json.encode(body) if body is not None else None
        request = ApiRequest(f"{method} {redact_path(path)}", what, method, self._session.target(path, params), packed)
        return await self._ask(request, lambda body: parse_document(body, request.name))

    async def body(self, path: str, *, what: str, is_strict: bool = False) -> bytes | None:
        """Fetch a JSON document as bytes; None if the API does not know it (404). Raises ApiError once all attempts have
        failed, also for a 404 that is not the API's: a gateway's says nothing about the document.

        `is_strict`: also for one whose body is no documented error. It may be either's.
        """
        request = ApiRequest(f"GET {redact_path(path)}", what, "GET", self._session.target(path, ()))
        try:
            return await self._ask(request, lambda body: check_json(body, request.name))
        except RefusedError as error:
            if error.status == 404 and error.facts.get("is_documented" if is_strict else "is_of_api"):
                return None
            raise

    async def _ask(self, request: ApiRequest, read: Callable[[bytes], T]) -> T:
        """Send the request in a free slot and return what `read` makes of the body. A body it cannot read is retried like a
        broken connection."""
        async with self._slots:
            connection = (
                self._idle.pop() if self._idle else self._session.connection()
            )  # the one used last is the warmest
            try:
                return await self._persist(request, read, connection)
            finally:
                self._idle.append(connection)

    async def _persist(self, request: ApiRequest, read: Callable[[bytes], T], connection: Connection) -> T:
        """Retry until there is a response or the attempts are used up; after an outage, attempts are counted from zero."""
        misshapen = tries = 0
        while True:
            tries += 1
            try:
                return read(await self._outages.wait_out(request.what, lambda: self._send(request, connection)))
            except TransientApiError as error:
                misshapen += isinstance(error, ShapeError)
                is_last = tries >= self._tries or misshapen == MAX_SHAPE_TRIES
                if (is_last or _is_long(error, tries)) and self._outages.should_wait(error):
                    tries = 0
                elif is_last:
                    tried = f" Tried {tries} times." if tries > 1 else ""
                    raise type(error)(f"{request.what} failed: {error}{tried}", **error.facts) from None
                else:
                    await self._back_off(request, error, tries)

    async def _back_off(self, request: ApiRequest, error: TransientApiError, tries: int) -> None:
        """Wait before the next attempt: as long as the API asks, else a random time below an exponentially growing limit."""
        doubled = 2 ** (tries - 1)
        drawn_s = min(FIRST_BACKOFF_S * doubled, LONGEST_BACKOFF_S) * self._random()
        is_limited = isinstance(error, RateLimited)
        if is_limited and error.wait_s is None:
            wait_s = SILENT_429_WAIT_S + drawn_s
        elif is_limited:
            wait_s = max(error.wait_s or 0.0, LEAST_429_WAIT_S * doubled)
        else:
            wait_s = max(error.wait_s or 0.0, drawn_s)
        if wait_s > MAX_WAIT_S and not is_limited:
            raise self._closed(request, error, wait_s) from None
        log.warning("%s: %s Try %d of %d in %.1f s", request.what, error, tries + 1, self._tries, wait_s)
        self.stats.retries += 1
        if is_limited or error.wait_s:
            self._rate_limiter.pause(wait_s)  # all requests wait, not only this one; the rate limiter does the waiting
            return
        self.stats.waited_s += wait_s
        await self._sleep(wait_s)

    def _closed(self, request: ApiRequest, error: TransientApiError, wait_s: float) -> TransientApiError:
        at = self._clock() + timedelta(seconds=wait_s)
        return TransientApiError(
            f"{request.what} failed: {error} The API asks to retry at {at:%Y-%m-%d %H:%M:%S} UTC. "
            "What was done is kept: run again then.",
            **error.facts,
        )

    async def _send(self, request: ApiRequest, connection: Connection) -> bytes:
        """Send one attempt as soon as the rate limiter allows it. Raises TransientApiError for whatever may succeed later."""
        waited_s = await self._rate_limiter.acquire()  # others change the sum meanwhile, so add afterwards
        self.stats.waited_s += waited_s
        self.stats.requests += 1
        began = asyncio.get_running_loop().time()
        try:
            body = await self._session.send(request, connection)
        except TransientApiError as error:
            if error.is_outage:
                self._outages.record_failure()
            if not isinstance(error, RateLimited):  # rate limits do not depend on concurrency
                self._slots.on_error()
            raise
        self._outages.record_success()
        self._slots.on_success(asyncio.get_running_loop().time() - began)
        return body


def _is_long(error: TransientApiError, tries: int) -> bool:
    """Whether the requested wait is so long that all requests should wait together, as for an outage."""
    if isinstance(error, RateLimited):
        wait_s = SILENT_429_WAIT_S if error.wait_s is None else error.wait_s
        return wait_s > MAX_WAIT_S or (wait_s >= LONG_429_WAIT_S and tries >= MAX_LONG_WAITS)
    return (error.wait_s or 0.0) > MAX_WAIT_S
