"""The client over real HTTP against a server that misbehaves: what is survived, what is refused, what is never said."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from debitura_pipeline.api.client import MAX_TRIES, ApiClient
from debitura_pipeline.api.rate_limit import MIN_WAIT_S, RateLimiter
from debitura_pipeline.contract.listings import CASES, TRANSACTIONS, Query
from debitura_pipeline.errors import (
    ApiError,
    RateLimited,
    RateLimitExhausted,
    RefusedError,
    ShapeError,
    TransientApiError,
)
from debitura_pipeline.settings import Secret
from tests.api.asking import BODY, GOOD, KEY, PERSON, against, client_of, first_page
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, cut_short, ends_early, raw, reply, reset, stall, trickle
from tests.api.pages import page_of


def test_a_page_arrives_byte_for_byte_with_its_envelope() -> None:
    page, server, client = against([GOOD], first_page)
    assert page.body == BODY
    assert page.metadata.total_results == 1
    assert server.seen[0].method == "GET"
    assert server.seen[0].target == "/cases?Query=Jane%20Doe&Sort=DateCreated%3Aasc&PageSize=100&Page=1"
    assert server.seen[0].headers["xapikey"] == KEY
    assert (client.stats.requests, client.stats.retries) == (1, 0)


def test_a_base_path_is_kept() -> None:
    async def run() -> str:
        clock = Clockwork()
        async with FaultServer([GOOD]) as server:
            rate_limiter = RateLimiter.unlimited()
            url = f"{server.url}/api/v2/"
            async with ApiClient(
                url, Secret(KEY), rate_limiter, 1, clock=clock.now, sleep=clock.sleep, random=random.Random(1).random
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
        (reset, TransientApiError, r"the connection to 127\.0\.0\.1:\d+ was lost before the response was complete"),
        (stall, TransientApiError, "did not answer in time"),
        (reply(200, b"<html></html>"), TransientApiError, "not whole JSON"),
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
    assert len([wait_s for wait_s in clock.slept if wait_s > MIN_WAIT_S]) == MAX_TRIES - 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "has no paging block."),
        (
            {"cases": [], "page": {"totalResults": "two", "responseCount": 0}},
            "states counts or sums that are not numbers.",
        ),
        ({"cases": {}, "page": {"totalResults": 0, "responseCount": 0}}, "not of the shape that the contract gives."),
        ({"cases": [], "page": {"totalResults": 5, "responseCount": 5}}, "announces 5 rows and holds 0."),
    ],
)
def test_another_shape_is_asked_for_once_more_and_told_in_whole_sentences(body: Any, says: str) -> None:
    """It will be the same the sixth time, half a minute later, for each of the three lists."""
    clock = Clockwork()
    server = FaultServer([reply(200, body)])

    async def run() -> None:
        async with server, client_of(server, clock) as client:
            await first_page(client)

    with pytest.raises(ShapeError) as caught:
        asyncio.run(run())
    assert str(caught.value).endswith(f"{says} Tried 2 times.")
    assert len(server.seen) == 2
    assert sum(clock.slept) <= 1


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
    with pytest.raises(RateLimitExhausted, match="13:30:00 UTC") as caught:
        against([reply(429, {"error": "rate_limit_exceeded", "retryAfter": 5400.0}), GOOD], first_page, clock)
    assert caught.value.resume_at == clock.at + timedelta(minutes=90)
    assert clock.slept == []


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"", "HTTP 401 on GET /cases. The key is refused; check DEBITURA_API_KEY. Not retried."),
        (403, b"", "HTTP 403 on GET /cases. This credential is not allowed to do that."),
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


def test_the_server_s_clock_is_the_median_of_its_dates_beside_ours() -> None:
    """One answer of a machine with a wrong clock must not date a whole sync."""
    hours = [reply(200, BODY, {"Date": f"Sun, 01 Mar 2026 {hour}:00:00 GMT"}) for hour in (14, 15, 15)]
    wrong = [reply(200, BODY, {"Date": "Fri, 23 Nov 2046 12:00:00 GMT"})]
    clock = Clockwork()
    told: list[Any] = []

    async def ask(client: ApiClient) -> None:
        assert client.server_time is None
        for _ in range(5):
            await first_page(client)
            told.append(client.server_time)
        clock.advance(60)
        told.append(client.server_time)

    against([GOOD, *wrong, *hours], ask, clock)
    assert told[0] is None
    assert told[2:] == [
        datetime(2026, 3, 1, hour, minute, tzinfo=UTC) for hour, minute in ((14, 0), (15, 0), (15, 0), (15, 1))
    ]


def test_the_minute_s_budget_is_kept_over_real_requests() -> None:
    clock = Clockwork()

    async def run() -> ApiClient:
        async with FaultServer([reply(200, page_of("data", []))]) as server:
            rate_limiter = RateLimiter(20, clock=clock.now, sleep=clock.sleep)
            client = ApiClient(
                server.url, Secret(KEY), rate_limiter, 8, clock=clock.now, sleep=clock.sleep, random=random.random
            )
            async with client:
                await asyncio.gather(*(client.page(Query(TRANSACTIONS), page) for page in range(1, 46)))
            return client

    client = asyncio.run(run())
    assert client.stats.requests == 45
    assert sum(clock.slept) == pytest.approx(2 * 61, abs=1)
    assert client.stats.waited_s == pytest.approx(sum(clock.slept))
