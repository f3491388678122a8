"""Connect through an HTTP proxy with CONNECT.

Of the proxy's answer, only the status is ever repeated.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TypeVar

from debitura_pipeline.api.connection_errors import (
    host_and_port,
    is_bad_certificate,
    proxy_broken,
    proxy_refused,
    untrusted_certificate,
)
from debitura_pipeline.errors import ApiError, TransientApiError
from debitura_pipeline.proxies import Proxy

MAX_HEAD_BYTES = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: |\r?\n)")

P = TypeVar("P", bound=asyncio.Protocol)


class ProxyFault(Exception):
    """The proxy could not be reached, did not answer, or refused. `status`: of its response, None if there was none;
    `__cause__` is then the reason."""

    def __init__(self, proxy: Proxy, status: int | None = None) -> None:
        super().__init__(f"the proxy {host_and_port(proxy.host, proxy.port)}")
        self.proxy, self.status = proxy, status

    def error(self, name: str, what: str, target: str) -> ApiError:
        """The ApiError for the request `name` to `target` (`what` starts the message); a TransientApiError if a retry may
        succeed. Never a RefusedError, whatever the status: the API did not refuse."""
        at, variable, status = host_and_port(self.proxy.host, self.proxy.port), self.proxy.variable, self.status
        if status is None:
            if is_bad_certificate(self.__cause__):
                return ApiError(f"{what} failed: {untrusted_certificate(f'the proxy {at}')}. Not retried.")
            return TransientApiError(f"{name}: {proxy_broken(self.__cause__, at, variable)}.", is_outage=True)
        words = proxy_refused(at, status, target, variable)
        if status in (408, 429) or status >= 500:
            return TransientApiError(f"{name}: {words}.", is_outage=True)
        return ApiError(f"{what} failed: {words}. Not retried.")


async def connect_through(
    proxy: Proxy, tls: ssl.SSLContext, target: tuple[str, int], protocol: P, timeout_s: float
) -> P:
    """Connect `protocol` over TLS to `target` (host, port) through the proxy.

    Raises ProxyFault, and TimeoutError, ConnectionError or another OSError if TLS with the host fails.
    """
    try:
        async with asyncio.timeout(timeout_s):
            tunnel = await _open_tunnel(proxy, tls, *target)
    except TimeoutError as error:
        raise ProxyFault(proxy) from error
    try:
        async with asyncio.timeout(timeout_s):
            loop = asyncio.get_running_loop()
            transport = await loop.start_tls(tunnel, protocol, tls, server_hostname=target[0])
    except BaseException:
        tunnel.abort()
        raise
    if transport is None:
        raise ConnectionError("closed before it began")
    protocol.connection_made(transport)
    return protocol


async def _open_tunnel(proxy: Proxy, tls: ssl.SSLContext, host: str, port: int) -> asyncio.Transport:
    """A transport through the proxy to `host`; the caller sets its protocol."""
    loop = asyncio.get_running_loop()
    try:
        transport, head = await loop.create_connection(
            _Head,
            proxy.host,
            proxy.port,
            ssl=tls if proxy.is_tls else None,
            server_hostname=proxy.host if proxy.is_tls else None,
        )
    except OSError as error:
        raise ProxyFault(proxy) from error
    try:
        transport.write(_connect(proxy, host_and_port(host, port)))
        status = await head.status
    except BaseException as error:
        transport.abort()
        if isinstance(error, OSError):
            raise ProxyFault(proxy) from error
        raise
    if not 200 <= status < 300:
        transport.abort()
        raise ProxyFault(proxy, status)
    return transport


def _connect(proxy: Proxy, at: str) -> bytes:
    lines = [f"CONNECT {at} HTTP/1.1", f"Host: {at}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class _Head(asyncio.Protocol):
    """The proxy's response up to its empty line. `status` fails with an OSError if it is not HTTP, or never comes."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, more = bytes(self._received).partition(b"\r\n\r\n")
        status = _STATUS.match(head + end)
        if end and status and (not more or int(status[1]) >= 300):
            self._settle(int(status[1]))
        elif end or len(self._received) > MAX_HEAD_BYTES:
            self._settle(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._settle(None)

    def _settle(self, status: int | None) -> None:
        if self.status.done():
            return
        if status is None:
            self.status.set_exception(ConnectionError("no answer of a proxy's"))
        else:
            self.status.set_result(status)
