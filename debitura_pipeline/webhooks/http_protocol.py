"""Uvicorn's HTTP protocol with limits on time and size of a request, which uvicorn itself does not have.

A sender that trickles its headers or body would otherwise hold a connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_S = (
    10.0  # from the connection, or the first byte of a further request, to the last byte; the sender waits that long
)
MAX_HEADER_BYTES = 65_536
MAX_CONNECTIONS = 1_000
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """Ends requests that take longer than `request_s`, have too large headers, or come over one connection too many."""

    request_s = REQUEST_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None
        self._is_arriving = self._has_headers = self._is_refused = False
        self._header_bytes = self._field_bytes = 0
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._timer = self.loop.call_later(self.request_s, self._time_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if not self._is_arriving:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.request_s, self._time_out)
        self._header_bytes = 0 if self._has_headers or not self._is_arriving else self._header_bytes + len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._end(TOO_LARGE)

    def on_message_begin(self) -> None:
        self._is_arriving, self._has_headers, self._field_bytes = True, False, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._field_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse too large headers also where they came complete, in one read: then `data_received` has not counted them."""
        if self._field_bytes > MAX_HEADER_BYTES and not self._is_refused:
            self._is_refused = True
            self._end(TOO_LARGE)
        if not self._is_refused:
            self._has_headers = True
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_refused:
            self._is_arriving = False
            super().on_message_complete()

    def _time_out(self) -> None:
        self._timer = None
        self._end(TIMED_OUT)

    def _end(self, answer: bytes) -> None:
        """Close the connection, with an answer unless one was given already."""
        cycle: Any = self.cycle
        is_answered = self._has_headers and cycle is not None and cycle.response_started
        if self._is_arriving and not is_answered:
            if cycle is not None:
                cycle.disconnected = True  # nothing more is sent for it
            self.transport.write(answer)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
