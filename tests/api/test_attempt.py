"""What one attempt promises, whatever sends it: sent once and as it is, no state between requests, the status of every error.

Belongs here: what a replacement of the transport has to keep. Does not: retries, which are the client's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.api.writes import WriteClient
from debitura_pipeline.errors import TransientApiError
from debitura_pipeline.settings import Secret
from tests.api.asking import BODY, GOOD, KEY, PATIENT, QUICK, against, first_page
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, raw, reply, reset
from tests.api.pages import page_of

STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (
    len(body := json.dumps(page_of("cases", [])).encode()),
    body,
)
CHUNKED_400 = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"
T = TypeVar("T")


def written(answers: list[Answer], send: Callable[[WriteClient], Awaitable[T]]) -> tuple[T, FaultServer]:
    async def run() -> tuple[T, FaultServer]:
        async with FaultServer(answers) as server:
            limiter = RateLimiter.unlimited()
            clock, timeouts = Clockwork(), QUICK if stalled_within_body in answers else PATIENT
            async with WriteClient(server.url, Secret(KEY), limiter, clock=clock.now, timeouts=timeouts) as client:
                return await send(client), server

    return asyncio.run(run())


async def post(client: WriteClient) -> int:
    return (await client.send("POST", "/clients", b'{"a":1}', what="Registering")).status


def followed_by(more: bytes) -> Answer:
    """A page, and a moment later what nobody asked for."""

    async def answer(writer: asyncio.StreamWriter) -> bool:
        await GOOD(writer)
        await asyncio.sleep(0.01)
        writer.write(more)
        await writer.drain()
        return True

    return answer


def in_parts(*parts: bytes) -> Answer:
    """Each in a segment of its own, then the end of the connection."""

    async def answer(writer: asyncio.StreamWriter) -> bool:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        return False

    return answer


async def silent(writer: asyncio.StreamWriter) -> bool:
    """Take the request and close the connection, without an answer."""
    return False


async def reset_within_body(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await asyncio.sleep(0.01)
    return await reset(writer)


async def stalled_within_body(writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{")
    await asyncio.sleep(60)
    return False


@pytest.mark.parametrize("more", [STRAY, STRAY[:20], b"\r\n"], ids=["an answer", "a part of one", "an empty line"])
def test_what_comes_between_two_requests_ends_the_connection(more: bytes) -> None:
    """It would be taken for the answer to the next request."""

    async def ask(client: ApiClient) -> list[bytes]:
        first = await first_page(client)
        await asyncio.sleep(0.05)
        return [first.body, (await first_page(client)).body]

    pages, server, client = against([followed_by(more), GOOD], ask)
    assert pages == [BODY, BODY]
    assert (server.connections, client.stats.retries) == (2, 0)


@pytest.mark.parametrize("fault", [silent, reset], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_request_on_a_connection_that_breaks_is_sent_once(method: str, fault: Answer) -> None:
    """HTTP libraries repeat idempotent requests when a kept connection turns out to be closed: uncounted, and without a wait."""

    async def send(client: WriteClient) -> None:
        await post(client)
        with pytest.raises(TransientApiError, match="was lost before the response was complete"):
            await client.send(method, "/clients", b"{}", what="Changing")

    _, server = written([GOOD, fault, GOOD], send)
    assert [seen.method for seen in server.seen] == ["POST", method]


@pytest.mark.parametrize(
    "answer",
    [
        raw(CHUNKED_400 + b"ff\r\n{"),
        raw(CHUNKED_400 + b"zz\r\n{"),
        in_parts(CHUNKED_400, b"zz\r\n{"),
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + CHUNKED_400 + b"zz\r\n{"),
        reply(400, b"no gzip", {"Content-Encoding": "gzip"}),
        reset_within_body,
        stalled_within_body,
    ],
    ids=["cut off", "no chunk", "no chunk, later", "no chunk, after hints", "no gzip", "reset", "stalled"],
)
def test_an_error_keeps_its_status_however_its_body_breaks(answer: Answer) -> None:
    """Without the status, a refused claim would count as one whose outcome is unknown."""
    assert written([answer], post)[0] == 400


def test_an_error_keeps_its_status_if_its_body_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("debitura_pipeline.api.encoding.MAX_BODY_BYTES", 1000)
    assert written([reply(400, b" " * 1001)], post)[0] == 400


def test_neither_redirects_nor_cookies_are_followed() -> None:
    async def send(client: WriteClient) -> list[int]:
        return [await post(client), await post(client)]

    found, server = written([reply(307, b"", {"Location": "/elsewhere", "Set-Cookie": "session=1; Path=/"})], send)
    assert found == [307, 307]
    assert [(seen.target, "cookie" in seen.headers) for seen in server.seen] == [("/clients", False)] * 2


def test_a_path_is_sent_as_it_is() -> None:
    """A tenant may be called `..`; a library that tidies addresses up would ask for something else."""
    _, server, _ = against([reply(200, {})], lambda client: client.document("GET", "/clients/../x%2Fy", what="Asking"))
    assert server.seen[0].target == "/clients/../x%2Fy"
