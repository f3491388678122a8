"""One try: a request sent, its answer's body or what its failure means. Here and in the transport the project talks HTTP.

Belongs here: headers, addresses, statuses, what a broken connection is called. Does not: trying again or the budget
(`client.py`), bytes on the wire (`transport.py`). Nothing secret goes out: a request's query travels beside its URL, so that not
even a library's own message can repeat it.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median_low
from urllib.parse import quote, urlencode

import httpx

from debitura_pipeline.api.connection_errors import broken, is_bad_certificate, place, timed_out, untrusted
from debitura_pipeline.api.encoding import check_address, too_large, unpack
from debitura_pipeline.api.error_body import read_date, read_refusal, wait_asked
from debitura_pipeline.api.transport import BodyTooLarge, Connection
from debitura_pipeline.api.tunnel import ProxyFault
from debitura_pipeline.errors import ApiError, RateLimited, RefusedError, TransientApiError
from debitura_pipeline.proxies import PORTS, Network
from debitura_pipeline.settings import Secret

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it may tell of requests and their headers

MOST_DATES = 501  # of the last answers; one wrong clock among several servers does not shift their median
RETRIED = frozenset({408, 500, 502, 503, 504})

Clock = Callable[[], datetime]


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
class Call:
    """One request, ready to be sent over and over. `name` is what messages call it."""

    name: str
    what: str
    method: str
    target: bytes
    body: bytes | None = None


class Exchange:
    """With one API host under one credential, directly or through the proxy that `network` names for it."""

    def __init__(
        self, base_url: str, api_key: Secret, scheme: Scheme, timeouts: Timeouts, clock: Clock, network: Network
    ) -> None:
        protocol, host, self._root = check_address(base_url)
        secret = scheme.prefix + api_key.reveal()
        if not (secret.isascii() and secret.isprintable() and secret.strip()):
            raise ApiError(f"The credential for {scheme.header} holds characters that a header cannot carry.")
        self._url = httpx.URL(f"{protocol}://{host}")
        port = self._url.port or PORTS[protocol]
        self._proxy = network.proxy_for(self._url.host, port) if protocol == "https" else None
        self._place = place(self._url.host, port)
        if self._proxy is not None:
            self._place += f" (through the proxy {place(self._proxy.host, self._proxy.port)})"
        headers = {"Host": host, scheme.header: secret, "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._headers = httpx.Headers(headers)
        self._headers_with_json = httpx.Headers({**headers, "Content-Type": "application/json"})
        self._scheme, self._timeouts, self._clock = scheme, timeouts, clock
        self._extensions = {"timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=None).as_dict()}
        # Plain http needs no certificates, and loading them takes longer than a small sync.
        self._tls = _trusted(network.ca_file) if protocol == "https" else None
        self._ahead: deque[timedelta] = deque(maxlen=MOST_DATES)

    @property
    def server_time(self) -> datetime | None:
        """This machine's clock, put right by how far the answers' `Date` was ahead of it, taken as the median."""
        try:
            return self._clock() + median_low(self._ahead) if self._ahead else None
        except OverflowError:
            return None

    def connection(self) -> Connection:
        """A connection that is opened when it is first used."""
        return Connection(self._tls, self._proxy)

    def target(self, path: str, params: Sequence[tuple[str, str]]) -> bytes:
        """Path and query as they stand in a request's first line."""
        query = "?" + urlencode(params, quote_via=quote) if params else ""
        return f"{self._root}{path}{query}".encode("ascii")

    async def once(self, call: Call, connection: Connection) -> bytes:
        """The answer's body. Raises TransientApiError for whatever may go better next time, another ApiError otherwise."""
        try:
            async with asyncio.timeout(self._timeouts.whole):
                return await self._ask(call, connection)
        except (TimeoutError, httpx.TimeoutException) as error:
            words = timed_out(self._place, is_connected=not isinstance(error, httpx.ConnectTimeout))
            raise TransientApiError(f"{call.name}: {words}.", is_outage=True) from None
        except BodyTooLarge:
            raise too_large(call.name) from None
        except ProxyFault as fault:
            raise fault.error(call.name, call.what, self._place.partition(" ")[0]) from None
        except (httpx.TransportError, OSError) as error:
            if is_bad_certificate(error):
                raise ApiError(f"{call.what} failed: {untrusted(self._place)}. Not retried.") from None
            raise TransientApiError(f"{call.name}: {broken(error, self._place)}.", is_outage=True) from None

    async def _ask(self, call: Call, connection: Connection) -> bytes:
        headers = self._headers if call.body is None else self._headers_with_json
        extensions = {**self._extensions, "target": call.target}
        request = httpx.Request(call.method, self._url, headers=headers, content=call.body, extensions=extensions)
        response = await connection.handle_async_request(request)
        status, found = response.status_code, response.headers
        log.debug("%s: HTTP %d", call.name, status)
        if (at := read_date(found.get("Date"))) is not None:
            self._ahead.append(at - self._clock())
        if not 200 <= status < 300:
            raise self._verdict(call, status, _body_of_error(response, call), found)
        return _body(response, call)

    def _verdict(self, call: Call, status: int, body: bytes, headers: httpx.Headers) -> ApiError:
        clocks = [at for at in (read_date(headers.get("Date")), self._clock()) if at is not None]
        if status == 429:
            wait_s = wait_asked(body, headers.get("Retry-After"), clocks)
            return RateLimited(f"HTTP 429 on {call.name}.", wait_s, is_outage=True)
        if status in RETRIED or status >= 500:
            wait_s = wait_asked(b"", headers.get("Retry-After"), clocks)
            return TransientApiError(f"HTTP {status} on {call.name}.", wait_s, is_outage=True, status=status)
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


def _body(response: httpx.Response, call: Call) -> bytes:
    """As it came, then unpacked within bounds; httpx's own reading would unpack without any."""
    assert isinstance(response.stream, httpx.ByteStream)
    return unpack(b"".join(response.stream), response.headers.get("Content-Encoding"), call.name)


def _body_of_error(response: httpx.Response, call: Call) -> bytes:
    """What can be read of it: of an error, the status says enough."""
    try:
        return _body(response, call)
    except ApiError:
        return b""


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates of the bundled store, of the system's (or of `SSL_CERT_FILE` and `SSL_CERT_DIR` in the latter's place) and
    those of DEBITURA_CA_FILE."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError:
            raise ApiError(f"{ca_file}, which DEBITURA_CA_FILE names, cannot be read any more.") from None
    return context
