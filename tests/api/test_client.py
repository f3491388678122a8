"""The client over real HTTP against a server that misbehaves: what is survived, what is refused, what is never said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import shutil
import ssl
import subprocess
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from debitura_pipeline.api.access import Access, try_token
from debitura_pipeline.api.budget import Budget
from debitura_pipeline.api.client import MAX_TRIES, ApiClient, Page, Timeouts
from debitura_pipeline.api.listings import CASES, TRANSACTIONS, Query, path_to
from debitura_pipeline.errors import (
    ApiError,
    BudgetSpent,
    RateLimited,
    RefusedError,
    ShapeError,
    TransientApiError,
)
from debitura_pipeline.settings import Secret
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, cut_short, ends_early, raw, reply, reset, stall, trickle
from tests.api.pages import page_of

KEY = "k3y-that-must-not-be-seen"
PERSON = "Jane Doe"
T = TypeVar("T")
BODY = json.dumps(page_of("cases", [{"id": "a", "dateCreated": "2026-03-01T00:00:00Z"}])).encode()
GOOD = reply(200, BODY)
QUICK = Timeouts(connect=2, read=0.15, whole=0.6)


def client_of(server: FaultServer, clock: Clockwork, concurrency: int = 8, **more: Any) -> ApiClient:
    budget = Budget(1_000_000, clock=clock.now, sleep=clock.sleep)
    more = {"timeouts": QUICK, "random": random.Random(1).random, **more}
    return ApiClient(server.url, Secret(KEY), budget, concurrency, clock=clock.now, sleep=clock.sleep, **more)


def against(
    answers: list[Answer], ask: Callable[[ApiClient], Awaitable[T]], clock: Clockwork | None = None, **more: Any
) -> tuple[T, FaultServer, ApiClient]:
    async def run() -> tuple[T, FaultServer, ApiClient]:
        async with FaultServer(answers) as server, client_of(server, clock or Clockwork(), **more) as client:
            return await ask(client), server, client

    return asyncio.run(run())


async def first_page(client: ApiClient) -> Page:
    return await client.page(Query(CASES, filters=(("Query", PERSON),)), 1)


def test_a_page_arrives_byte_for_byte_with_its_envelope() -> None:
    page, server, client = against([GOOD], first_page)
    assert page.body == BODY
    assert page.envelope.total_results == 1
    assert server.seen[0].method == "GET"
    assert server.seen[0].target == "/cases?Query=Jane%20Doe&Sort=DateCreated%3Aasc&PageSize=100&Page=1"
    assert server.seen[0].headers["xapikey"] == KEY
    assert (client.stats.requests, client.stats.retries) == (1, 0)


def test_a_base_path_is_kept() -> None:
    async def run() -> str:
        clock = Clockwork()
        async with FaultServer([GOOD]) as server:
            budget = Budget.unlimited()
            url = f"{server.url}/api/v2/"
            async with ApiClient(
                url, Secret(KEY), budget, 1, clock=clock.now, sleep=clock.sleep, random=random.Random(1).random
            ) as client:
                await client.page(Query(CASES), 1)
            return server.seen[0].target

    assert asyncio.run(run()).startswith("/api/v2/cases?")


@pytest.mark.parametrize(
    "fault",
    [
        cut_short(BODY),
        ends_early(BODY),
        reset,
        raw(b""),
        raw(b"\x00garbage\r\n\r\n"),
        reply(500, {"businessErrors": []}),
        reply(502, b"<html>Bad gateway</html>"),
        reply(503),
        reply(504),
        reply(200, b"<html>Please wait</html>", {"Content-Type": "text/html"}),
        reply(200, {"cases": [], "page": None}),
        reply(200, {"page": {"totalResults": 3, "responseCount": 3}}),
        reply(200, gzip.compress(BODY)[:-5], {"Content-Encoding": "gzip"}),
        reply(200, BODY, {"Content-Encoding": "gzip"}),
        reply(200, BODY, {"Content-Encoding": "br"}),
        stall,
        trickle,
        reply(429, {"error": "rate_limit_exceeded", "retryAfter": 0.5}),
    ],
)
def test_a_fault_is_survived_by_trying_again(fault: Answer) -> None:
    page, server, client = against([fault, GOOD], first_page)
    assert page.body == BODY
    assert len(server.seen) == 2
    assert (client.stats.requests, client.stats.retries) == (2, 1)


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (reply(503), TransientApiError, "HTTP 503 on GET /cases"),
        (reset, TransientApiError, "the connection broke"),
        (stall, TransientApiError, "did not answer in time"),
        (reply(200, b"<html></html>"), TransientApiError, "not whole JSON"),
        (reply(200, {}), ShapeError, "no paging block"),
        (reply(429, b""), RateLimited, "HTTP 429"),
    ],
)
def test_six_tries_are_made_and_then_the_last_fault_is_told(fault: Answer, kind: type[ApiError], says: str) -> None:
    clock = Clockwork()
    server = FaultServer([fault])

    async def run() -> None:
        async with server, client_of(server, clock) as client:
            await first_page(client)

    with pytest.raises(kind, match=says) as caught:
        asyncio.run(run())
    assert type(caught.value) is kind
    assert str(caught.value).startswith("Reading cases (by Query), page 1 failed: ")
    assert str(caught.value).endswith(". Tried 6 times.")
    assert len(server.seen) == MAX_TRIES
    assert len(clock.slept) == MAX_TRIES - 1


def test_waits_between_tries_double_at_random_up_to_half_a_minute_in_all() -> None:
    waits = []
    for draw in (0.0, 1.0):
        clock = Clockwork()
        with pytest.raises(TransientApiError):
            against([reply(500)], first_page, clock, random=lambda draw=draw: draw)
        waits.append(clock.slept)
    assert waits == [[0, 0, 0, 0, 0], [1, 2, 4, 8, 16]]


def test_the_body_says_how_long_to_wait_before_the_header_does() -> None:
    for body, header, expected in [
        ({"retryAfter": 7.25}, "99", 7.25),
        ({"RetryAfter": "3.5"}, None, 3.5),
        (b"slow down", "4", 4),
        ({"retryAfter": None}, "Sun, 01 Mar 2026 12:00:30 GMT", 30),
    ]:
        clock = Clockwork()
        answer = reply(429, body, {"Retry-After": header} if header else None)
        _, _, client = against([answer, GOOD], first_page, clock)
        assert sum(clock.slept) == pytest.approx(expected)
        assert client.stats.waited_s == pytest.approx(expected)


def test_an_api_that_says_now_each_time_is_still_given_a_moment() -> None:
    clock = Clockwork()
    with pytest.raises(RateLimited):
        against([reply(429, {"retryAfter": 0})], first_page, clock)
    assert sum(clock.slept) == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6)


def test_one_429_holds_back_every_request() -> None:
    """Else each of the requests in flight would draw its own, and use up its tries."""
    clock = Clockwork()

    async def ask(client: ApiClient) -> None:
        await first_page(client)
        await asyncio.gather(*(first_page(client) for _ in range(20)))

    _, server, client = against([reply(429, {"retryAfter": 30}), GOOD], ask, clock)
    assert len(server.seen) == 22
    assert client.stats.retries == 1


def test_a_wait_of_hours_ends_it_and_says_when_to_come_back() -> None:
    clock = Clockwork()
    with pytest.raises(BudgetSpent, match="13:30:00 UTC") as caught:
        against([reply(429, {"error": "rate_limit_exceeded", "retryAfter": 5400.0}), GOOD], first_page, clock)
    assert caught.value.resume_at == clock.at + timedelta(minutes=90)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"", "HTTP 401 on GET /cases. The key is refused; check DEBITURA_API_KEY. Not retried."),
        (403, b"", "HTTP 403 on GET /cases. This credential may not do that."),
        (404, {"businessErrors": [{"type": "NotFound", "message": PERSON}]}, "HTTP 404 on GET /cases (NotFound)."),
        (400, {"PageSize": [f"{PERSON} is not a number"]}, "(fields PageSize)"),
        (400, {"error": "ValidationError", "message": PERSON}, "(ValidationError)"),
        (
            400,
            {"type": "https://example.org/x", "title": PERSON, "errors": {"Query": [PERSON]}},
            "(fields Query)",
        ),
        (
            422,
            {"businessErrors": [{"type": "NoPartnerAvailable"}, {"type": PERSON}], "data": {"x": PERSON}},
            "(NoPartner",
        ),
        (400, [PERSON], "HTTP 400 on GET /cases."),
        (405, PERSON.encode(), "HTTP 405 on GET /cases."),
        (302, b"", "Redirects are not followed"),
    ],
)
def test_a_refusal_is_told_at_once_in_one_line_without_what_it_quotes(status: int, body: Any, says: str) -> None:
    server = FaultServer([reply(status, body, {"Location": "http://127.0.0.1:1/elsewhere"})])

    async def run() -> None:
        async with server, client_of(server, Clockwork()) as client:
            await first_page(client)

    with pytest.raises(RefusedError) as caught:
        asyncio.run(run())
    told = "".join(traceback.format_exception(caught.value))
    assert says in str(caught.value)
    assert caught.value.status == status
    assert "\n" not in str(caught.value)
    assert PERSON not in told + repr(caught.value.facts)
    assert len(server.seen) == 1


def test_neither_key_nor_query_nor_record_reaches_a_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [
        reply(500, {"message": PERSON}),
        raw(b"HTTP/9 " + PERSON.encode() + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + PERSON.encode() + b"\r\n\r\n"),
        cut_short(json.dumps([PERSON] * 9).encode()),
        reply(200, f'{{"cases":["{PERSON}"'.encode()),
        reset,
    ]
    with pytest.raises(TransientApiError) as caught:
        against(faults, first_page)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts) + caplog.text
    for secret in (KEY, PERSON, "Jane", "Query="):
        assert secret not in told
    assert caplog.text.count("Reading cases (by Query), page 1") == MAX_TRIES - 1


def test_a_body_beyond_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("debitura_pipeline.api.wire.MAX_BODY_BYTES", 1000)
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


def test_the_server_s_clock_is_that_of_its_first_dated_answer() -> None:
    dated = [reply(200, BODY, {"Date": f"Sun, 01 Mar 2026 0{hour}:00:00 GMT"}) for hour in (3, 4)]

    async def ask(client: ApiClient) -> None:
        assert client.server_time is None
        for _ in range(3):
            await first_page(client)

    _, _, client = against([GOOD, *dated], ask)
    assert client.server_time == datetime(2026, 3, 1, 3, tzinfo=UTC)


def test_a_document_keeps_its_decimals_and_is_sent_its_body() -> None:
    async def ask(client: ApiClient) -> Any:
        return await client.document("POST", "/oauth/token", body={"externalTenantId": "å"}, what="Minting a token")

    found, server, _ = against([reply(200, b'{"rate": 70.10, "n": 3, "small": 1E-05}')], ask)
    assert found == {"rate": Decimal("70.10"), "n": 3, "small": Decimal("0.00001")}
    assert isinstance(found["rate"], Decimal)
    seen = server.seen[0]
    assert (seen.method, seen.target) == ("POST", "/oauth/token")
    assert json.loads(seen.body) == {"externalTenantId": "å"}
    assert seen.headers["content-type"] == "application/json"


def test_a_document_without_a_body_is_none_and_one_that_is_no_json_is_tried_again() -> None:
    async def ask(client: ApiClient) -> Any:
        return await client.document("GET", "/me", params=[("a", "b c")], what="Asking who we are")

    assert against([reply(204)], ask)[0] is None
    found, server, _ = against([reply(200, b"<html>"), reply(200, b"{}")], ask)
    assert found == {}
    assert server.seen[0].target == "/me?a=b%20c"


def test_an_id_in_a_path_is_not_repeated_in_a_message() -> None:
    async def ask(client: ApiClient) -> Any:
        return await client.document("GET", path_to("clients", "jane@example.org"), what="Reading a client")

    with pytest.raises(RefusedError, match="Reading a client failed: HTTP 404 on GET /clients/…") as caught:
        against([reply(404)], ask)
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            reply(200, {"id": "0B9F4A52-6F0E-4C1E-8A55-3D1A7C2E9B77"}),
            Access(True, 200, "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"),
        ),
        (reply(200, []), Access(True, 200, None)),
        (reply(401), Access(False, 401, None)),
        (reply(404), Access(False, 404, None)),
    ],
)
def test_a_client_s_token_is_tried_and_its_refusal_is_an_answer(answer: Answer, expected: Access) -> None:
    async def run() -> FaultServer:
        clock = Clockwork()
        async with FaultServer([answer]) as server:
            budget = Budget.unlimited()
            found = await try_token(
                server.url, Secret("t0ken"), budget, clock=clock.now, sleep=clock.sleep, random=random.Random(1).random
            )
            assert found == expected
            return server

    seen = asyncio.run(run()).seen[0]
    assert (seen.method, seen.target) == ("GET", "/me")
    assert seen.headers["authorization"] == "Bearer t0ken"
    assert "xapikey" not in seen.headers


@pytest.mark.parametrize(
    "url", ["http://referral-api.debitura.com", "ftp://localhost", "referral-api.debitura.com", ""]
)
def test_the_key_never_travels_in_the_clear(url: str) -> None:
    clock = Clockwork()
    with pytest.raises(ApiError, match="https only"):
        ApiClient(url, Secret(KEY), Budget.unlimited(), 1, clock=clock.now, sleep=clock.sleep, random=random.random)


@pytest.mark.parametrize("key", ["two\r\nlines", "", "é"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    clock = Clockwork()
    with pytest.raises(ApiError, match="cannot carry") as caught:
        ApiClient(
            "https://localhost",
            Secret(key),
            Budget.unlimited(),
            1,
            clock=clock.now,
            sleep=clock.sleep,
            random=random.random,
        )
    assert not key or key not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate that nobody signed")
def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert)]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*made, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = FaultServer([GOOD], tls=context)

    async def run() -> None:
        async with server, client_of(server, Clockwork()) as client:
            await first_page(client)

    with pytest.raises(ApiError, match=r"the certificate of 127\.0\.0\.1 could not be verified"):
        asyncio.run(run())
    assert server.seen == []


def test_the_minute_s_budget_is_kept_over_real_requests() -> None:
    clock = Clockwork()

    async def run() -> ApiClient:
        async with FaultServer([reply(200, page_of("data", []))]) as server:
            budget = Budget(20, clock=clock.now, sleep=clock.sleep)
            client = ApiClient(
                server.url, Secret(KEY), budget, 8, clock=clock.now, sleep=clock.sleep, random=random.random
            )
            async with client:
                await asyncio.gather(*(client.page(Query(TRANSACTIONS), page) for page in range(1, 46)))
            return client

    client = asyncio.run(run())
    assert client.stats.requests == 45
    assert sum(clock.slept) == pytest.approx(2 * 61, abs=1)
    assert client.stats.waited_s == pytest.approx(sum(clock.slept))
