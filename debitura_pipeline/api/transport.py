"""An httpx transport for one HTTP/1.1 connection: asyncio sockets, the llhttp parser, bodies read whole.

httpx's own transport costs 0.8 ms of CPU per page for features that are not needed here (pooling, HTTP/2, several event loops),
or 3 s in a load of 4,000 pages; what else was tried is in docs/decisions/transport.md. Raises httpx's errors; none quotes what
the server sent.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from typing import cast

import httptools
import httpx

from debitura_pipeline.api import encoding
from debitura_pipeline.api.connection_errors import NOT_HTTP
from debitura_pipeline.api.tunnel import connect_through
from debitura_pipeline.proxies import Proxy

KEEPALIVE_S = 55.0  # longer than most rate limiting waits; servers keep connections for 60 s or more
MAX_HEAD_BYTES = 64 * 1024
NEXT_ADDRESS_S = 0.25  # then a host's second address is tried, too
FIRST_FINAL_STATUS = 200


class BodyTooLarge(httpx.TransportError):
    """A response larger than `encoding.MAX_BODY_BYTES`."""


class Connection(httpx.AsyncBaseTransport):
    """One connection, one request at a time. Opens on first use, and again after the server has closed it.

    `tls` None: plain HTTP, without `proxy`. Timeouts are the request's extensions `connect` and `read`, in seconds.
    """

    def __init__(self, tls: ssl.SSLContext | None, proxy: Proxy | None = None) -> None:
        self._tls, self._proxy = tls, proxy
        self._link: _Link | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read the whole response. If the body of an error response breaks off, it is left out.

        Raises httpx.TransportError, BodyTooLarge or ProxyFault.
        """
        timeout = request.extensions["timeout"]
        link = self._link
        if link is None or not link.is_usable():
            await self.aclose()
            link = self._link = await self._open(request.url, timeout["connect"])
        try:
            status, headers, body = await link.ask(_bytes_of(request), timeout["read"])
        except BaseException:
            link.abort()
            raise
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    async def aclose(self) -> None:
        """Close at once: nothing is in flight, and a TLS shutdown may take longer than the event loop lives."""
        if self._link is not None:
            self._link.abort()
        self._link = None

    async def _open(self, url: httpx.URL, timeout_s: float) -> _Link:
        port = url.port or (443 if self._tls else 80)
        loop = asyncio.get_running_loop()
        try:
            if self._proxy is not None and self._tls is not None:
                return await connect_through(self._proxy, self._tls, (url.host, port), _Link(), timeout_s)
            async with asyncio.timeout(timeout_s):
                _, link = await loop.create_connection(
                    _Link,
                    url.host,
                    port,
                    ssl=self._tls,
                    server_hostname=url.host if self._tls else None,
                    # asyncio's race between addresses leaves a socket open if it is cancelled as it ends: none without need
                    happy_eyeballs_delay=None if _is_address(url.host) else NEXT_ADDRESS_S,
                )
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        return link


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _bytes_of(request: httpx.Request) -> bytes:
    target: bytes = request.extensions.get("target", request.url.raw_path)
    head = b"".join(b"%b: %b\r\n" % header for header in request.headers.raw)
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (request.method.encode(), target, head, request.content)


_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class _Link(asyncio.Protocol):
    """The open connection. The parser calls its `on_` methods."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[_Answer] | None = None
        self._is_kept = True
        self._begin(0.0)

    def is_usable(self) -> bool:
        is_open = self._is_kept and self._transport is not None and not self._transport.is_closing()
        return is_open and self._loop.time() - self._heard_at < KEEPALIVE_S

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, message: bytes, patience_s: float) -> _Answer:
        """Send a request and wait for its response; `patience_s` is the read timeout."""
        assert self._transport is not None
        self._begin(patience_s)
        self._answer = self._loop.create_future()
        self._watch()
        try:
            self._transport.write(message)
            return await self._answer
        finally:
            self._answer = None
            self._alarm.cancel()

    def _begin(self, patience_s: float) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._patience_s, self._heard_at = patience_s, self._loop.time()
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._head_size = self._size = 0
        self._is_in_body = self._has_end = False

    def _watch(self) -> None:
        """One timer for all reads: checks when the last bytes arrived, and reschedules itself."""
        left_s = self._heard_at + self._patience_s - self._loop.time()
        if left_s > 0:
            self._alarm = self._loop.call_later(left_s, self._watch)
        else:
            self._fail(httpx.ReadTimeout("nothing came in time"))

    def _fail(self, error: httpx.TransportError) -> None:
        self._is_kept = False
        self._settle(error)

    def _settle(self, error: httpx.TransportError | None = None) -> None:
        """Deliver the response. An error status is delivered even if its body is incomplete."""
        if self._answer is None or self._answer.done():
            return
        status = self._parser.get_status_code() if self._is_in_body else 0
        if error is not None and not (status and not 200 <= status < 300):
            self._answer.set_exception(error)
            return
        body = b"" if error is not None else self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._answer.set_result((status, self._headers, body))

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._answer is None or self._answer.done():  # unexpected data: the connection cannot be trusted any more
            self._is_kept = False
            self.abort()
            return
        self._head_size += 0 if self._is_in_body else len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(httpx.RemoteProtocolError(NOT_HTTP))
        if self._head_size > MAX_HEAD_BYTES and not self._is_in_body:
            self._fail(httpx.RemoteProtocolError("headers without end"))

    def connection_lost(self, error: Exception | None) -> None:
        is_whole = self._is_in_body and not self._has_end and error is None
        self._is_kept = False
        self._settle(None if is_whole else httpx.RemoteProtocolError("closed before the end"))

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():  # a second response to one request
            self._is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_body:  # a trailer, or a header of an unexpected response
            return
        self._headers.append((name, value))
        self._has_end = self._has_end or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._is_in_body = self._parser.get_status_code() >= FIRST_FINAL_STATUS

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > encoding.MAX_BODY_BYTES:
            self._fail(BodyTooLarge("larger than any page"))
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        if not self._is_in_body:  # 1xx: the final response follows
            self._headers.clear()
            self._has_end = False
            return
        self._is_kept = self._is_kept and self._parser.should_keep_alive()
        self._settle()
