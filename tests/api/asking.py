"""A client against the fault server: what the tests of the client share."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.http import Timeouts
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.contract.listings import CASES, Query
from debitura_pipeline.settings import Secret
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, reply
from tests.api.pages import page_of

KEY = "k3y-that-must-not-be-seen"
PERSON = "Jane Doe"
T = TypeVar("T")
BODY = json.dumps(page_of("cases", [{"id": "a", "dateCreated": "2026-03-01T00:00:00Z"}])).encode()
GOOD = reply(200, BODY)
# For what is given up only; an answer on a busy machine may take longer.
QUICK = Timeouts(connect=2, read=0.5, whole=1.5)
PATIENT = Timeouts(connect=10, read=20, whole=60)


def client_of(server: FaultServer, clock: Clockwork, concurrency: int = 8, **more: Any) -> ApiClient:
    rate_limiter = more.pop("rate_limiter", None) or RateLimiter(1_000_000, clock=clock.now, sleep=clock.sleep)
    timeouts = QUICK if server.is_unending else PATIENT
    more = {"timeouts": timeouts, "random": random.Random(1).random, **more}
    return ApiClient(server.url, Secret(KEY), rate_limiter, concurrency, clock=clock.now, sleep=clock.sleep, **more)


def against(
    answers: list[Answer], ask: Callable[[ApiClient], Awaitable[T]], clock: Clockwork | None = None, **more: Any
) -> tuple[T, FaultServer, ApiClient]:
    async def run() -> tuple[T, FaultServer, ApiClient]:
        async with FaultServer(answers) as server, client_of(server, clock or Clockwork(), **more) as client:
            return await ask(client), server, client

    return asyncio.run(run())


async def first_page(client: ApiClient) -> Page:
    return await client.page(Query(CASES, filters=(("Query", PERSON),)), 1)
