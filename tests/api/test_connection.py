"""The connection itself, against a server that misbehaves: framing, limits, closing, certificates."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import random
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.api.transport import Connection
from debitura_pipeline.contract.listings import CASES, Query
from debitura_pipeline.errors import (
    ApiError,
    RefusedError,
)
from debitura_pipeline.settings import Secret
from tests.api.asking import BODY, GOOD, KEY, against, client_of, first_page
from tests.api.clockwork import Clockwork
from tests.api.fault_server import FaultServer, raw, reply, stall
from tests.api.pages import page_of


def test_a_body_beyond_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("debitura_pipeline.api.encoding.MAX_BODY_BYTES", 1000)
    bomb = gzip.compress(b" " * 100_000)
    assert len(bomb) < 1000
    for answer in (
        reply(200, b" " * 1001),
        raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 5000),
        reply(200, bomb, {"Content-Encoding": "gzip"}),
    ):
        with pytest.raises(ApiError, match="larger than") as caught:
            against([answer], first_page)
        assert not caught.value.is_retryable


def test_a_packed_body_is_unpacked() -> None:
    page, server, _ = against([reply(200, gzip.compress(BODY), {"Content-Encoding": "gzip"})], first_page)
    assert page.body == BODY
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_at_most_so_many_are_in_flight_on_as_many_connections() -> None:
    async def run() -> FaultServer:
        async with FaultServer([GOOD], pause_s=0.01) as server, client_of(server, Clockwork(), 3) as client:
            await asyncio.gather(*(client.page(Query(CASES), page) for page in range(1, 31)))
            return server

    server = asyncio.run(run())
    assert server.most_in_flight == 3
    assert server.connections == 3
    assert len(server.seen) == 30


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        % len(BODY)
        + BODY,
        chunked(BODY),
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,  # its end is that of the connection
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    ],
    ids=["after an early one", "in chunks", "to the end of the connection", "of HTTP/1.0"],
)
def test_an_answer_is_understood_however_it_is_framed(answer: bytes) -> None:
    page, _, client = against([raw(answer)], first_page)
    assert page.body == BODY
    assert client.stats.retries == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Filler: %b\r\n" % (b"x" * 1_000) * 200,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n" + BODY,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["headers without end", "half a chunk", "another protocol", "no HTTP"],
)
def test_what_is_no_whole_answer_is_tried_again(answer: bytes) -> None:
    page, server, client = against([raw(answer), GOOD], first_page)
    assert page.body == BODY
    assert (client.stats.retries, server.connections) == (1, 2)


def test_more_than_was_asked_for_ends_the_connection() -> None:
    """What follows an answer unasked would be taken for that to the next request."""
    other = json.dumps(page_of("cases", [])).encode()
    twice = b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body for body in (BODY, other))

    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(twice)
        await writer.drain()
        return True

    async def ask(client: ApiClient) -> list[Page]:
        return [await first_page(client) for _ in range(2)]

    pages, server, _ = against([answer, GOOD], ask)
    assert [page.body for page in pages] == [BODY, BODY]
    assert server.connections == 2


def test_headers_of_a_stray_answer_or_of_a_trailer_are_nobody_s() -> None:
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}"
    first = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    trailer = chunked(BODY).removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"
    for answer in (raw(first + stray), raw(trailer)):
        page, _, client = against([answer], first_page)
        assert (page.body, client.stats.retries) == (BODY, 0)


def test_of_an_error_whose_body_breaks_off_the_status_counts() -> None:
    broken = raw(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\n{")
    with pytest.raises(RefusedError, match="HTTP 403"):
        against([broken], first_page)


def test_cancelled_requests_give_their_places_back() -> None:
    async def run() -> Page:
        async with FaultServer([stall, stall, GOOD]) as server, client_of(server, Clockwork(), 2) as client:
            pending = [asyncio.create_task(first_page(client)) for _ in range(10)]
            while len(server.seen) < 2:
                await asyncio.sleep(0.01)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            pages = await asyncio.gather(*(first_page(client) for _ in range(5)))
            return pages[-1]

    assert asyncio.run(run()).body == BODY


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async def ask(client: ApiClient) -> None:
        await first_page(client)
        await asyncio.sleep(0.05)
        await first_page(client)

    closing = raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    _, server, client = against([closing, GOOD], ask)
    assert client.stats.retries == 0
    assert server.connections == 2


@pytest.mark.parametrize(
    "url", ["http://referral-api.debitura.com", "ftp://localhost", "referral-api.debitura.com", ""]
)
def test_the_key_never_travels_in_the_clear(url: str) -> None:
    clock = Clockwork()
    with pytest.raises(ApiError, match="must use https"):
        ApiClient(
            url, Secret(KEY), RateLimiter.unlimited(), 1, clock=clock.now, sleep=clock.sleep, random=random.random
        )


@pytest.mark.parametrize("key", ["two\r\nlines", "", "é"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    clock = Clockwork()
    with pytest.raises(ApiError, match="cannot carry") as caught:
        ApiClient(
            "https://localhost",
            Secret(key),
            RateLimiter.unlimited(),
            1,
            clock=clock.now,
            sleep=clock.sleep,
            random=random.random,
        )
    assert not key or key not in str(caught.value)


def certified_by(folder: Path, name: str = "IP:127.0.0.1", days: int = 2) -> tuple[FaultServer, Path]:
    """A server with a certificate that it has issued itself, and the certificate's file."""
    key, cert, asked, extensions = (folder / file for file in ("key.pem", "cert.pem", "asked.csr", "extensions"))
    extensions.write_text(f"subjectAltName={name}\nbasicConstraints=CA:TRUE\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    signed = ("-in", asked, "-signkey", key, "-days", str(days), "-extfile", extensions, "-out", cert)
    for command in (("req", *curve, "-keyout", key, "-out", asked, "-subj", "/CN=server"), ("x509", "-req", *signed)):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return FaultServer([GOOD], tls=context), cert


@pytest.fixture
def certified(tmp_path: Path) -> tuple[FaultServer, Path]:
    return certified_by(tmp_path)


async def read_from(server: FaultServer) -> Page:
    async with server, client_of(server, Clockwork()) as client:
        return await first_page(client)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate that nobody signed")
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certified: tuple[FaultServer, Path]) -> None:
    server, _ = certified
    match = r"the certificate of 127\.0\.0\.1:\d+ could not be verified.*DEBITURA_CA_FILE"
    with pytest.raises(ApiError, match=match):
        asyncio.run(read_from(server))
    assert server.seen == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate that nobody signed")
def test_an_authority_of_ones_own_is_trusted_where_the_usual_variable_names_it(
    certified: tuple[FaultServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, cert = certified
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    assert asyncio.run(read_from(server)).body == BODY


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate that is not right")
@pytest.mark.parametrize("made", [{"name": "DNS:other.example"}, {"days": -1}], ids=["another name", "expired"])
def test_a_trusted_certificate_that_is_not_right_is_refused_before_the_key_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict[str, Any]
) -> None:
    """But for that it is the one of the test above, which is taken."""
    server, cert = certified_by(tmp_path, **made)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with pytest.raises(ApiError, match="could not be verified") as caught:
        asyncio.run(read_from(server))
    assert not caught.value.is_retryable
    assert server.seen == []


@pytest.mark.parametrize("turns", range(14))
@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_connection_that_is_cancelled_while_it_opens_is_closed(turns: int) -> None:
    """Its socket was left to the garbage collector where the cancellation met the end of asyncio's race between addresses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

        async def open_and_cancel() -> None:
            connection = Connection(None)
            request = httpx.Request("GET", url, extensions={"timeout": {"connect": 5, "read": 5}})
            opening = asyncio.create_task(connection.handle_async_request(request))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await connection.aclose()

        asyncio.run(open_and_cancel())
        gc.collect()
