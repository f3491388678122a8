"""The one file that talks HTTP: pages and documents in, retries and limits kept, nothing secret out.

Belongs here: requests, retries, what a status means. Does not: which pages to ask for. Called by extraction,
onboarding and `doctor`. Whatever fails here says what was tried and what came, never the key, a query or a record:
a request's query travels beside its URL, so that not even a library's own message can repeat it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from debitura_pipeline.api.budget import Budget
from debitura_pipeline.api.envelope import Envelope, read_envelope
from debitura_pipeline.api.listings import Query
from debitura_pipeline.api.refusal import read_date, read_refusal, wait_asked
from debitura_pipeline.api.transport import BodyTooLarge, Connection
from debitura_pipeline.api.wire import check_address, parse_document, shown, too_large, unpack
from debitura_pipeline.errors import ApiError, RateLimited, RefusedError, TransientApiError
from debitura_pipeline.settings import Secret

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it may tell of requests and their headers

MAX_TRIES = 6  # waits of up to 1, 2, 4, 8, 16 s between them, half of it on average: a quarter of a minute in all
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 30.0
LEAST_429_WAIT_S = 0.1  # doubling too: an API that says "now" each time would use up the tries in a blink
RETRIED = frozenset({408, 500, 502, 503, 504})

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `read`: without a byte arriving; `whole`: for one try in all, so that a trickle ends too."""

    connect: float = 10.0
    read: float = 30.0
    whole: float = 120.0


@dataclass(frozen=True)
class Scheme:
    """How a credential travels, and what to say when it is refused."""

    header: str
    prefix: str
    refused: str


DEFAULT_TIMEOUTS = Timeouts()
PARTNER_KEY = Scheme("XApiKey", "", "The key is refused; check DEBITURA_API_KEY.")


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it came, and what its envelope says."""

    body: bytes
    envelope: Envelope


@dataclass(slots=True)
class RequestStats:
    """What was asked so far. `waited_s`: waits for the budget, once however many wait behind one another, and the
    waits between tries, which may overlap."""

    requests: int = 0
    retries: int = 0
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, ready to be sent over and over. `name` is what messages call it."""

    name: str
    what: str
    method: str
    target: bytes
    body: bytes | None = None


class ApiClient:
    """A connection to one API host under one credential; `async with`, in one event loop. `gather` its calls freely:
    at most `concurrency` are in flight. `random` gives 0 to 1.

    Proxies and certificate stores named in the environment are not used: settings are the only way to steer this.
    """

    def __init__(
        self,
        base_url: str,
        api_key: Secret,
        budget: Budget,
        concurrency: int,
        *,
        clock: Clock,
        sleep: Sleep,
        random: Callable[[], float],
        scheme: Scheme = PARTNER_KEY,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        protocol, host, self._root = check_address(base_url)
        secret = scheme.prefix + api_key.reveal()
        if not (secret.isascii() and secret.isprintable() and secret.strip()):
            raise ApiError(f"The credential for {scheme.header} holds characters that a header cannot carry")
        self._url = httpx.URL(f"{protocol}://{host}")
        headers = {"Host": host, scheme.header: secret, "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._headers = httpx.Headers(headers)
        self._headers_with_json = httpx.Headers({**headers, "Content-Type": "application/json"})
        self._scheme, self._budget = scheme, budget
        self._clock, self._sleep, self._random = clock, sleep, random
        self._slots = asyncio.Semaphore(concurrency)
        self._timeouts = timeouts
        self._extensions = {"timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=None).as_dict()}
        self._idle = _connections(protocol, concurrency)
        self.stats = RequestStats()
        self.server_time: datetime | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.close()
        await asyncio.gather(*(connection.aclose() for connection in self._idle))

    async def page(self, query: Query, page: int) -> Page:
        """One page of a listing, whole and with a sound envelope, or an ApiError after all tries."""
        listing = query.listing
        what = f"Reading {query.describe()}, page {page}"
        call = _Call(f"GET {listing.path}", what, "GET", self._target(listing.path, query.params(page)))
        return await self._ask(call, lambda body: Page(body, read_envelope(body, listing)))

    async def document(
        self,
        method: str,
        path: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        what: str,
    ) -> Any:
        """A JSON document, numbers with a fraction as Decimal; None where the answer has no body.

        `path` comes from `listings.path_to`; `what` begins the message of an error (`Asking who we are`). The request
        is repeated on failure, so it must be one that may be.
        """
        packed = msgspec.json.encode(body) if body is not None else None
        call = _Call(f"{method} {shown(path)}", what, method, self._target(path, params), packed)
        return await self._ask(call, lambda body: parse_document(body, call.name))

    async def body(self, path: str, *, what: str) -> bytes | None:
        """The bytes of one document, rows untouched; None where the API does not know it (404)."""
        call = _Call(f"GET {shown(path)}", what, "GET", self._target(path, ()))
        try:
            return await self._ask(call, lambda body: _whole_json(body, call.name))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _target(self, path: str, params: Sequence[tuple[str, str]]) -> bytes:
        query = "?" + urlencode(params, quote_via=quote) if params else ""
        return f"{self._root}{path}{query}".encode("ascii")

    async def _ask(self, call: _Call, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the answer; a body that it cannot read is tried again like a broken connection."""
        async with self._slots:
            connection = self._idle.pop()  # the one used last: its connection is the warmest
            try:
                for tries in range(1, MAX_TRIES):
                    try:
                        return read(await self._send(call, connection))
                    except TransientApiError as error:
                        await self._back_off(call, error, tries)
                return read(await self._send(call, connection))
            except TransientApiError as error:
                raise type(error)(f"{call.what} failed: {error} Tried {MAX_TRIES} times.", **error.facts) from None
            finally:
                self._idle.append(connection)

    async def _back_off(self, call: _Call, error: TransientApiError, tries: int) -> None:
        """Wait before the next try: as long as the API asks, else at random within a doubling bound."""
        doubled = 2 ** (tries - 1)
        wait_s = min(FIRST_BACKOFF_S * doubled, LONGEST_BACKOFF_S) * self._random()
        told_s = error.wait_s if isinstance(error, RateLimited) else None
        if told_s is not None:
            wait_s = max(told_s, LEAST_429_WAIT_S * doubled)
        log.warning("%s: %s Try %d of %d in %.1f s", call.what, error, tries + 1, MAX_TRIES, wait_s)
        self.stats.retries += 1
        if told_s is not None:
            self._budget.hold(wait_s)  # all wait, not only this one; the wait itself is the budget's
            return
        self.stats.waited_s += wait_s
        await self._sleep(wait_s)

    async def _send(self, call: _Call, connection: Connection) -> bytes:
        """One try. Raises TransientApiError for whatever may go better next time."""
        waited_s = await self._budget.acquire()  # others change the sum meanwhile: add only afterwards
        self.stats.waited_s += waited_s
        self.stats.requests += 1
        try:
            async with asyncio.timeout(self._timeouts.whole):
                return await self._exchange(call, connection)
        except (TimeoutError, httpx.TimeoutException):
            raise TransientApiError(f"{call.name} did not answer in time.") from None
        except BodyTooLarge:
            raise too_large(call.name) from None
        except (httpx.TransportError, OSError) as error:
            if _is_bad_certificate(error):
                raise ApiError(
                    f"{call.what} failed: the certificate of {self._url.host} could not be verified. Not retried."
                ) from None
            # The library's own text may quote what the server sent: its class says enough.
            raise TransientApiError(f"{call.name}: the connection broke ({type(error).__name__}).") from None

    async def _exchange(self, call: _Call, connection: Connection) -> bytes:
        headers = self._headers if call.body is None else self._headers_with_json
        extensions = {**self._extensions, "target": call.target}
        request = httpx.Request(call.method, self._url, headers=headers, content=call.body, extensions=extensions)
        response = await connection.handle_async_request(request)
        status, found = response.status_code, response.headers
        if self.server_time is None:
            self.server_time = read_date(found.get("Date"))
        if not 200 <= status < 300:
            raise self._verdict(call, status, _body_of_error(response, call), found)
        return _body(response, call)

    def _verdict(self, call: _Call, status: int, body: bytes, headers: httpx.Headers) -> ApiError:
        if status == 429:
            now = read_date(headers.get("Date")) or self._clock()
            return RateLimited(f"HTTP 429 on {call.name}.", wait_asked(body, headers.get("Retry-After"), now))
        if status in RETRIED or status >= 500:
            return TransientApiError(f"HTTP {status} on {call.name}.", status=status)
        codes, fields = read_refusal(body)
        told = [*codes, *([f"fields {', '.join(fields)}"] if fields else [])]
        reason = f" ({'; '.join(told)})" if told else ""
        advice = ""
        if status == 401:
            advice = f" {self._scheme.refused}"
        elif status == 403:
            advice = " This credential may not do that."
        elif status < 400:
            advice = " Redirects are not followed: the key would travel along."
        message = f"{call.what} failed: HTTP {status} on {call.name}{reason}.{advice} Not retried."
        return RefusedError(message, status, codes=codes, fields=fields)


def _connections(protocol: str, count: int) -> list[Connection]:
    # Plain http needs no certificates, and loading them takes longer than a small sync.
    tls = httpx.create_ssl_context(trust_env=False) if protocol == "https" else None
    return [Connection(tls) for _ in range(count)]


def _body(response: httpx.Response, call: _Call) -> bytes:
    """As it came, then unpacked within bounds; httpx's own reading would unpack without any."""
    assert isinstance(response.stream, httpx.ByteStream)
    return unpack(b"".join(response.stream), response.headers.get("Content-Encoding"), call.name)


def _body_of_error(response: httpx.Response, call: _Call) -> bytes:
    """What can be read of it: of an error, the status says enough."""
    try:
        return _body(response, call)
    except ApiError:
        return b""


def _whole_json(body: bytes, name: str) -> bytes:
    parse_document(body, name)
    return body


def _is_bad_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
