"""Single documents over real HTTP: decimals, bodies, ids that stay unsaid, tokens of clients."""

from __future__ import annotations

import asyncio
import json
import random
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.customer import TokenCheck, check_token
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.contract.listings import path_to
from debitura_pipeline.errors import (
    RefusedError,
)
from debitura_pipeline.settings import Secret
from tests.api.asking import against
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, reply


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


@pytest.mark.parametrize("body", [{"error": "NotFound", "businessErrors": []}, b""])
def test_a_document_that_the_api_does_not_know_is_none(body: Any) -> None:
    async def ask(client: ApiClient) -> Any:
        return await client.body(path_to("cases", "1"), what="Looking up a case")

    assert against([reply(404, body)], ask)[0] is None


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\n<html><title>404 Not Found</title></html>", {}),
        (b"default backend - 404", {"Content-Type": "text/plain"}),
        (b"The resource you are looking for has been removed.", {"Content-Type": "text/html"}),
        (b"", {"Content-Type": "text/html"}),
        (b"\x1f\x8b\x08broken", {"Content-Encoding": "gzip"}),
        (b"\x0b\x02\x80", {"Content-Encoding": "br"}),
        ("<html>404</html>".encode("utf-16"), {"Content-Type": "text/html; charset=utf-16"}),
    ],
)
def test_a_gateway_s_404_says_nothing_about_a_document(body: bytes, headers: dict[str, str]) -> None:
    """A claim would be sent a second time, and a case marked deleted."""

    async def ask(client: ApiClient) -> Any:
        return await client.body(path_to("cases", "1"), what="Looking up a case")

    with pytest.raises(RefusedError, match=r"Looking up a case failed: HTTP 404 .* may be an intermediary's"):
        against([reply(404, body, headers)], ask)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            reply(200, {"id": "0B9F4A52-6F0E-4C1E-8A55-3D1A7C2E9B77"}),
            TokenCheck(True, 200, "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"),
        ),
        (reply(200, []), TokenCheck(True, 200, None)),
        (reply(401), TokenCheck(False, 401, None)),
        (reply(404), TokenCheck(False, 404, None)),
    ],
)
def test_a_client_s_token_is_tried_and_its_refusal_is_an_answer(answer: Answer, expected: TokenCheck) -> None:
    async def run() -> FaultServer:
        clock = Clockwork()
        async with FaultServer([answer]) as server:
            rate_limiter = RateLimiter.unlimited()
            found = await check_token(
                server.url,
                Secret("t0ken"),
                rate_limiter,
                clock=clock.now,
                sleep=clock.sleep,
                random=random.Random(1).random,
            )
            assert found == expected
            return server

    seen = asyncio.run(run()).seen[0]
    assert (seen.method, seen.target) == ("GET", "/me")
    assert seen.headers["authorization"] == "Bearer t0ken"
    assert "xapikey" not in seen.headers
