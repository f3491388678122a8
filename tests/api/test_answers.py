"""Answers that are odd and still HTTP: packings, byte order marks, waits and dates of every kind, documents of any value."""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.customer import check_token
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import ApiError, RateLimited, RateLimitExhausted, RefusedError, TransientApiError
from debitura_pipeline.settings import Secret
from debitura_pipeline.sync.partner import read_terms
from tests.api.asking import BODY, GOOD, against, first_page
from tests.api.clockwork import START, Clockwork
from tests.api.fault_server import FaultServer, reply

BOM = b"\xef\xbb\xbf"
HALVES = (BODY[:40], BODY[40:])


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"".join(map(gzip.compress, HALVES)), "gzip"),
        (gzip.compress(BODY) + b"\0" * 7, "gzip"),
        (gzip.compress(BODY), "x-gzip"),
        (gzip.compress(BODY), " GZIP "),
        (gzip.compress(BOM + BODY), "gzip"),
        (BODY, ""),
        (BODY, "identity"),
        (BOM + BODY, None),
    ],
)
def test_packings_that_the_standard_knows_are_read_by_both_readers(body: bytes, encoding: str | None) -> None:
    answer = reply(200, body, {"Content-Encoding": encoding} if encoding is not None else None)
    page, server, _ = against([answer], first_page)
    assert page.body == BODY
    document, _, _ = against([answer], lambda client: client.document("GET", "/me", what="Asking"))
    assert document == json.loads(BODY)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body", [gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])[:-6], gzip.compress(BODY) + b"more"]
)
def test_a_member_that_is_cut_off_or_none_is_no_whole_body(body: bytes) -> None:
    page, server, _ = against([reply(200, body, {"Content-Encoding": "gzip"}), GOOD], first_page)
    assert page.body == BODY
    assert len(server.seen) == 2


ODD_WAITS = [
    "soon", "", -1, "-1", True, None, [], [5], {}, {"seconds": 5}, "9" * 5_000, "nan", "inf", "Sun, 99 Mar 2026 12:00:30 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
]  # fmt: skip


@pytest.mark.parametrize("value", ODD_WAITS, ids=lambda value: repr(value)[:20])
def test_a_wait_that_is_none_counts_as_not_said(value: Any) -> None:
    clock = Clockwork()
    header = {"Retry-After": value} if isinstance(value, str) else None
    page, _, _ = against([reply(429, {"retryAfter": value}, header), GOOD], first_page, clock)
    assert page.body == BODY
    assert 60 <= sum(clock.slept) <= 61, "the minute's window is over then, whatever was asked before"


@pytest.mark.parametrize(
    "text", ["1e18", "1e308", "1" + "0" * 300, '"99999999999999"', "301", '"Fri, 31 Dec 9999 23:59:59 GMT"']
)
def test_a_wait_beyond_five_minutes_ends_it_cleanly_however_long(text: str) -> None:
    header = {"Retry-After": text.strip('"')}
    for answer in (reply(429, b'{"retryAfter":%b}' % text.encode()), reply(429, b"", header)):
        with pytest.raises(RateLimitExhausted, match=r"used up until 202[67]-") as caught:
            against([answer], first_page)
        assert caught.value.resume_at is not None
        assert START + timedelta(seconds=300) < caught.value.resume_at <= START + timedelta(days=366)


def test_a_429_that_says_nothing_can_still_succeed_when_its_minute_is_over() -> None:
    """Six tries within half a minute all fall into the window that was full."""
    clock = Clockwork()

    async def ask(client: ApiClient) -> None:
        await first_page(client)

    _, server, client = against([reply(429), reply(429, b"slow down"), GOOD], ask, clock)
    assert (len(server.seen), client.stats.retries) == (3, 2)
    assert 120 <= sum(clock.slept) <= 123
    with pytest.raises(RateLimited, match="Tried 6 times"):
        against([reply(429)], first_page, Clockwork())


def test_retry_after_counts_on_503_too() -> None:
    for value, expected in (("40", 40), ("Sun, 01 Mar 2026 12:00:50 GMT", 50)):
        clock = Clockwork()
        _, _, client = against([reply(503, b"", {"Retry-After": value}), GOOD], first_page, clock)
        assert sum(clock.slept) == pytest.approx(expected)
        assert client.stats.waited_s == pytest.approx(expected)
    with pytest.raises(
        TransientApiError, match=r"HTTP 503 on GET /cases\. The API asks to retry at 2026-03-01 14:00:00 UTC"
    ):
        against([reply(503, b"", {"Retry-After": "7200"}), GOOD], first_page)


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "soon",
        "",
        "Sun, 01 Mar 2026",
        "(",
        "0",
        "9" * 400,
    ],
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_an_odd_date_is_no_date(date: str, status: int) -> None:
    headers = {"Date": date, "Retry-After": "Sun, 01 Mar 2026 12:00:05 GMT"}
    page, _, client = against([reply(status, BODY, headers), GOOD], first_page)
    assert page.body == BODY
    assert client.server_time is None or client.server_time.year in (2000, 2026)


def test_a_date_at_the_end_of_all_calendars_does_not_end_the_sync() -> None:
    clock = Clockwork()

    async def ask(client: ApiClient) -> None:
        await first_page(client)
        clock.advance(3 * 86_400)
        assert client.server_time is None

    against([reply(200, BODY, {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"})], ask, clock)


ODD_JSON = [
    b"null", b"[]", b'"text"', b"3", b'{"a":"\\ud800"}', b'{"a":NaN}', b"9" * 5_000,
    b'{"a":"\xff"}', b'{"a":"\x01"}', b"1e99999999999999999999",
]  # fmt: skip
BROKEN = [b"{", b"[" * 100_000, b"\xff\xfe{\0}\0", b"{'a':1}"]


@pytest.mark.parametrize("body", [*ODD_JSON, *BROKEN, b"[" * 9_000 + b"]" * 9_000], ids=lambda body: repr(body[:12]))
def test_the_partner_s_record_may_be_anything(body: bytes) -> None:
    """`GET /me` opens every sync: what is odd in it must not end one with a traceback."""
    try:
        assert against([reply(200, body)], read_terms)[0] == (None, None)
    except ApiError as error:
        assert str(error).startswith("Reading the partner's own record failed: GET /me ")
        assert str(error).endswith(" times.")
        assert body not in ODD_JSON


@pytest.mark.parametrize(
    ("stated", "read"),
    [(b"12.5", Decimal("12.5")), (b"50", Decimal(50)), (b"true", None), (b"NaN", None), (b"-Infinity", None),
     (b"1e30", None), (b'"5"', None), (b"9" * 5_000, None)],
)  # fmt: skip
def test_the_partner_s_percentage_is_a_number_or_unknown(stated: bytes, read: Decimal | None) -> None:
    body = b'{"invoicingTriggerMode":"Zelda \\ud800","referralFeePercentage":%b}' % stated
    assert against([reply(200, body)], read_terms)[0] == ("[withheld]", read)


@pytest.mark.parametrize("body", [*ODD_JSON, *BROKEN], ids=lambda body: repr(body[:12]))
def test_a_refusal_s_body_may_be_anything(body: bytes) -> None:
    with pytest.raises(RefusedError, match=r"HTTP 400 on GET /cases\. Not retried\."):
        against([reply(400, body)], first_page)
    against([reply(429, body), GOOD], first_page)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": "Zeldaone", "type": "Zelda-Hidtwo", "code": "ZELDA"}, "GET /cases. "),
        ({"businessErrors": [{"type": "Zeldafive"}, {"type": "CreditorBlocked"}]}, "(CreditorBlocked)"),
        ({"error": "rate_limit_exceeded"}, "(rate_limit_exceeded)"),
        (
            {"zelda.hidden": ["x"], "Zelda": ["y"], "client.contacts[0].email": ["z"]},
            "(fields client.contacts[0].email)",
        ),
        ({"errors": {"$.externalTenantId": ["x"], "zelda": ["y"]}}, "(fields $.externalTenantId)"),
    ],
)
def test_a_refusal_tells_codes_and_fields_of_ordinary_words_alone(body: Any, says: str) -> None:
    """An error body may repeat what was sent; one word of it may be a person's name."""
    with pytest.raises(RefusedError) as caught:
        against([reply(400, body)], first_page)
    assert says in str(caught.value)
    assert (
        "zelda"
        not in (
            str(caught.value) + repr(caught.value.facts) + "".join(traceback.format_exception(caught.value))
        ).lower()
    )


@pytest.mark.parametrize("body", [*ODD_JSON, b'{"id":"Zelda Hidden"}'], ids=lambda body: repr(body[:12]))
def test_a_token_s_owner_may_be_anything(body: bytes) -> None:
    async def run() -> Any:
        clock = Clockwork()
        async with FaultServer([reply(200, body)]) as server:
            return await check_token(
                server.url,
                Secret("t0ken"),
                RateLimiter.unlimited(),
                clock=clock.now,
                sleep=clock.sleep,
                random=lambda: 0.5,
            )

    assert asyncio.run(run()).creditor_id == ("[withheld]" if b"Zelda" in body else None)


@pytest.mark.parametrize("body", [*ODD_JSON, b"[" * 9_000 + b"]" * 9_000, b'{"a":}'], ids=lambda body: repr(body[:12]))
def test_a_row_read_alone_may_be_anything(body: bytes) -> None:
    found, server, _ = against([reply(200, body)], lambda client: client.body("/cases/x", what="Reading a case"))
    assert found == body
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", [b"", b"1,2", b"{}]", b'{"a":1', b"<html>"])
def test_a_row_read_alone_is_one_whole_value(body: bytes) -> None:
    with pytest.raises(TransientApiError, match=r"incomplete or invalid JSON|a web page \(HTML\), not JSON"):
        against([reply(200, body)], lambda client: client.body("/cases/x", what="Reading a case"))
