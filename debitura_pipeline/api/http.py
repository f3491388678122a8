"""One HTTP attempt: send a request, return the body or raise the error that the failure means.

Retries and rate limits are in `client.py`, the connection in `transport.py`. The query travels outside the request's URL, so
that not even a library's log message can repeat it.
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

from debitura_pipeline.api.connection_errors import (
    connection_failed,
    host_and_port,
    is_bad_certificate,
    timed_out,
    untrusted_certificate,
)
from debitura_pipeline.api.encoding import body_too_large, decompress, parse_base_url
from debitura_pipeline.api.error_body import (
    is_documented_error,
    is_json_object,
    parse_error_body,
    parse_http_date,
    retry_after,
)
from debitura_pipeline.api.transport import BodyTooLarge, Connection
from debitura_pipeline.api.tunnel import ProxyFault
from debitura_pipeline.errors import ApiError, RateLimited, RefusedError, TransientApiError
from debitura_pipeline.proxies import PORTS, Network
from debitura_pipeline.settings import Secret

log = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # lower levels may log requests and headers

MAX_CLOCK_OFFSETS = 501  # of the latest responses; one server with a wrong clock does not shift the median
RETRIED = frozenset({408, 500, 502, 503, 504})

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `read`: without receiving a byte; `whole`: for one attempt, so that a slow trickle ends too."""

    connect: float = 10.0
    read: float = 30.0
    whole: float = 120.0


@dataclass(frozen=True)
class AuthScheme:
    """The header that carries a credential, and the advice if it is refused."""

    header: str
    prefix: str
    refused: str


DEFAULT_TIMEOUTS = Timeouts()
PARTNER_KEY = AuthScheme("XApiKey", "", "The key is refused; check DEBITURA_API_KEY.")


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request, ready to be sent repeatedly. `name` identifies it in messages; `what` starts them."""

    name: str
    what: str
    method: str
    target: bytes
    body: bytes | None = None
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response with its body decompressed. `body` is empty where that of an error response could not be read."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_of_api(self) -> bool:
        """Whether an error response may be the API's own: a JSON object, or nothing at all. A page or a line of text is that of a
        gateway, and so is a body that cannot be decompressed."""
        media = self.headers.get("Content-Type", "").lower()
        if not self.body.strip():
            return "html" not in media and "Content-Encoding" not in self.headers
        return is_json_object(self.body)


class HttpSession:
    """Requests to one API host with one credential, directly or through a proxy."""

    def __init__(
        self, base_url: str, api_key: Secret, scheme: AuthScheme, timeouts: Timeouts, clock: Clock, network: Network
    ) -> None:
        protocol, host, self._root = parse_base_url(base_url)
        secret = scheme.prefix + api_key.reveal()
        if not (secret.isascii() and secret.isprintable() and secret.strip()):
            raise ApiError(f"The credential for {scheme.header} holds characters that a header cannot carry.")
        self._url = httpx.URL(f"{protocol}://{host}")
        port = self._url.port or PORTS[protocol]
        self._proxy = network.proxy_for(self._url.host, port) if protocol == "https" else None
        self._server = host_and_port(self._url.host, port)
        if self._proxy is not None:
            self._server += f" (through the proxy {host_and_port(self._proxy.host, self._proxy.port)})"
        headers = {"Host": host, scheme.header: secret, "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._headers = httpx.Headers(headers)
        self._headers_with_json = httpx.Headers({**headers, "Content-Type": "application/json"})
        self._scheme, self._timeouts, self._clock = scheme, timeouts, clock
        self._extensions = {"timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect, pool=None).as_dict()}
        # Plain http needs no certificates, and loading them takes longer than a small sync.
        self._tls = _trusted(network.ca_file) if protocol == "https" else None
        self._clock_offsets: deque[timedelta] = deque(maxlen=MAX_CLOCK_OFFSETS)

    @property
    def server_time(self) -> datetime | None:
        """This machine's clock, corrected by the median offset of the responses' `Date` headers."""
        try:
            return self._clock() + median_low(self._clock_offsets) if self._clock_offsets else None
        except OverflowError:
            return None

    def connection(self) -> Connection:
        """A connection that opens on first use."""
        return Connection(self._tls, self._proxy)

    def target(self, path: str, params: Sequence[tuple[str, str]]) -> bytes:
        """Path and query for the request line."""
        query = "?" + urlencode(params, quote_via=quote) if params else ""
        return f"{self._root}{path}{query}".encode("ascii")

    async def send(self, request: ApiRequest, connection: Connection) -> bytes:
        """Send one request and return the response's body.

        Raises TransientApiError (RateLimited for HTTP 429) if a retry may succeed, RefusedError for other error statuses,
        ApiError if nothing may help.
        """
        answer = await self.exchange(request, connection)
        if not 200 <= answer.status < 300:
            raise self._error_for_status(request, answer)
        return answer.body

    async def exchange(self, request: ApiRequest, connection: Connection) -> HttpAnswer:
        """Send one request and return the response of any status but those that a retry may change.

        Raises TransientApiError (RateLimited for HTTP 429), ApiError if nothing may help.
        """
        try:
            async with asyncio.timeout(self._timeouts.whole):
                return await self._ask(request, connection)
        except (TimeoutError, httpx.TimeoutException) as error:
            words = timed_out(self._server, is_connected=not isinstance(error, httpx.ConnectTimeout))
            raise TransientApiError(f"{request.name}: {words}.", is_outage=True) from None
        except BodyTooLarge:
            raise body_too_large(request.name) from None
        except ProxyFault as fault:
            raise fault.error(request.name, request.what, self._server.partition(" ")[0]) from None
        except (httpx.TransportError, OSError) as error:
            if is_bad_certificate(error):
                raise ApiError(f"{request.what} failed: {untrusted_certificate(self._server)}. Not retried.") from None
            raise TransientApiError(
                f"{request.name}: {connection_failed(error, self._server)}.", is_outage=True
            ) from None

    async def _ask(self, request: ApiRequest, connection: Connection) -> HttpAnswer:
        headers = self._headers if request.body is None else self._headers_with_json
        if request.headers:
            headers = httpx.Headers([*headers.multi_items(), *request.headers])
        extensions = {**self._extensions, "target": request.target}
        http_request = httpx.Request(
            request.method, self._url, headers=headers, content=request.body, extensions=extensions
        )
        response = await connection.handle_async_request(http_request)
        status, found = response.status_code, response.headers
        log.debug("%s: HTTP %d", request.name, status)
        if (at := parse_http_date(found.get("Date"))) is not None:
            self._clock_offsets.append(at - self._clock())
        if 200 <= status < 300:
            return HttpAnswer(status, found, _body(response, request))
        answer = HttpAnswer(status, found, _body_of_error(response, request))
        if status in RETRIED or status == 429 or status >= 500:
            raise self._transient(request, answer)
        return answer

    def _transient(self, request: ApiRequest, answer: HttpAnswer) -> TransientApiError:
        clocks = [at for at in (parse_http_date(answer.headers.get("Date")), self._clock()) if at is not None]
        status, stated = answer.status, answer.headers.get("Retry-After")
        if status == 429:
            wait_s = retry_after(answer.body, stated, clocks)
            return RateLimited(f"HTTP 429 on {request.name}.", wait_s, is_outage=True)
        wait_s = retry_after(b"", stated, clocks)
        return TransientApiError(f"HTTP {status} on {request.name}.", wait_s, is_outage=True, status=status)

    def _error_for_status(self, request: ApiRequest, answer: HttpAnswer) -> RefusedError:
        status = answer.status
        codes, fields = parse_error_body(answer.body)
        details = [*codes, *([f"fields {', '.join(fields)}"] if fields else [])]
        reason = f" ({'; '.join(details)})" if details else ""
        advice = ""
        if status == 401:
            advice = f" {self._scheme.refused}"
        elif status == 403:
            advice = " This credential is not allowed to do that."
        elif status < 400:
            advice = " Redirects are not followed, since the key would be sent along."
        if status == 404 and not answer.is_of_api:
            advice = f" The response is not the API's JSON, so it may be an intermediary's.{advice}"
        message = f"{request.what} failed: HTTP {status} on {request.name}{reason}.{advice} Not retried."
        is_documented = is_documented_error(answer.body)
        return RefusedError(
            message, status, codes=codes, fields=fields, is_of_api=answer.is_of_api, is_documented=is_documented
        )


def _body(response: httpx.Response, request: ApiRequest) -> bytes:
    """The decompressed body. httpx's own decompression has no size limit."""
    assert isinstance(response.stream, httpx.ByteStream)
    return decompress(b"".join(response.stream), response.headers.get("Content-Encoding"), request.name)


def _body_of_error(response: httpx.Response, request: ApiRequest) -> bytes:
    """The body of an error response as far as it can be read; the status says enough without it."""
    try:
        return _body(response, request)
    except ApiError:
        return b""


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates of the bundled store, of the system (or of `SSL_CERT_FILE` and `SSL_CERT_DIR`) and of DEBITURA_CA_FILE."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError:
            raise ApiError(f"{ca_file}, which DEBITURA_CA_FILE names, can no longer be read.") from None
    return context
