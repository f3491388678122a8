"""Serve the sandbox with uvicorn on loopback, break connections on request, and deliver webhooks."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from debitura_sandbox.api.app import Sandbox
from debitura_sandbox.api.http import Request, Response
from debitura_sandbox.api.webhook_routes import LOOPBACK

DELIVERY_TIMEOUT_S = 10.0
DELIVERY_TICK_S = 0.1
TRANSPORT = "debitura.sandbox.transport"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads back to this machine
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, with the connection's transport added to the ASGI scope."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class AsgiApp:
    """The sandbox as an ASGI application."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._latency_s = sandbox.options.latency_ms / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["method"] != "GET":
            is_more = True
            while is_more:
                message = await receive()
                body, is_more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode("ascii").partition("?")[0]
        request = Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
        response = self._sandbox.handle(request)
        if response.connection_fault is not None:
            await self._break(response, scope, send)
            return
        if self._latency_s or response.delay_s:
            await asyncio.sleep(self._latency_s + response.delay_s)
        await send({"type": "http.response.start", "status": response.status, "headers": self._headers(response)})
        await send({"type": "http.response.body", "body": response.body})

    def _headers(self, response: Response) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"date", self._sandbox.clock.http_date().encode()),
            (b"content-length", str(len(response.body)).encode()),
        ]
        if response.content_type:
            headers.append((b"content-type", response.content_type.encode()))
        return headers + [(name.encode(), value.encode()) for name, value in response.headers.items()]

    async def _break(self, response: Response, scope: Scope, send: Send) -> None:
        """Send a part of the response, then stall, close or reset the connection."""
        transport = scope["extensions"][TRANSPORT]["transport"]
        if response.connection_fault == "reset":
            linger = struct.pack("ii", 1, 0)  # makes the kernel send a reset on close
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
            return
        if response.connection_fault == "close":
            transport.close()
            return
        await send({"type": "http.response.start", "status": response.status, "headers": self._headers(response)})
        part = response.body[: len(response.body) // 2]
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if response.connection_fault == "stall":
            await asyncio.sleep(response.delay_s)
        transport.close()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Send a webhook and return the HTTP status, 0 if there was no response. Contacts loopback addresses only."""
    if urlsplit(url).hostname not in LOOPBACK:
        return 0
    try:
        request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 (loopback, checked above)
        with _DIRECT.open(request, timeout=DELIVERY_TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code
    except OSError:
        return 0


def run(sandbox: Sandbox, listener: socket.socket, stop: threading.Event | None = None) -> None:
    """Serve until a signal arrives or `stop` is set. `listener`: a bound socket."""
    config = uvicorn.Config(
        AsgiApp(sandbox),
        http=Protocol,
        loop="uvloop",
        lifespan="off",
        ws="none",
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    over = threading.Event()
    delivery_thread = threading.Thread(target=_deliver, args=(sandbox, over), name="webhooks", daemon=True)
    delivery_thread.start()
    if stop is not None:
        threading.Thread(target=_await_stop, args=(stop, server), name="stop", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal once more after its own shutdown
    try:
        server.run(sockets=[listener])
    finally:
        over.set()
        sandbox.journal.keep_clock(sandbox.clock.now_us())


def _await_stop(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


def _deliver(sandbox: Sandbox, over: threading.Event) -> None:
    """Deliver webhooks in a thread: a slow target must not block the API."""
    while not over.wait(DELIVERY_TICK_S):
        if sandbox.webhooks.deliveries:
            sandbox.webhooks.deliver_due(sandbox.delivery_s(), post)


def listen(port: int = 0) -> socket.socket:
    """A loopback socket; port 0 chooses a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(256)
    return listener
