"""An API that goes down and comes back, on a clock that only waits move: how long it is waited for, by whom, and when it is not."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from debitura_pipeline.api.client import MAX_TRIES, ApiClient
from debitura_pipeline.api.outage import MAX_PAUSE_S, MIN_PAUSE_S, OutagePolicy
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.contract.listings import CASES, Query
from debitura_pipeline.errors import ApiError, ApiOutage, RefusedError, ShapeError, TransientApiError
from debitura_pipeline.settings import Secret
from tests.api.asking import BODY, GOOD, KEY, PATIENT, first_page
from tests.api.clockwork import Clockwork
from tests.api.fault_server import Answer, FaultServer, reply, reset

HALF_AN_HOUR = 1800.0
LINE = re.compile(
    r"The API has not answered since 12:\d\d:\d\d UTC \(.+\); trying again in \d+ s, until 1[23]:\d\d:\d\d UTC"
)


class Told(list[str]):
    """What the policy has told, but for the words at the end of an outage."""

    @property
    def waits(self) -> list[str]:
        return [line for line in self if line.startswith("The API has not answered")]


def client_at(port: int, clock: Clockwork, told: Told, *, known: bool = True, **more: Any) -> ApiClient:
    policy = OutagePolicy(more.pop("max_wait_s", HALF_AN_HOUR), told.append, known)
    rate_limiter = RateLimiter(1_000_000, clock=clock.now, sleep=clock.sleep)
    return ApiClient(
        f"http://127.0.0.1:{port}", Secret(KEY), rate_limiter, 8,
        clock=clock.now, sleep=clock.sleep, random=random.Random(1).random, timeouts=PATIENT, outages=policy, **more,
    )  # fmt: skip


def until(clock: Clockwork, seconds: float, bad: Answer) -> Answer:
    """A server that is `bad` for so many seconds of the clock's, and then well."""
    began = clock.at

    async def answer(writer: asyncio.StreamWriter) -> bool:
        is_back = (clock.at - began).total_seconds() >= seconds
        return await (GOOD if is_back else bad)(writer)

    return answer


async def many(client: ApiClient, pages: int = 8) -> list[Page]:
    return await asyncio.gather(*(client.page(Query(CASES), page) for page in range(1, pages + 1)))


LIMITED = reply(429, {"retryAfter": 45})


@pytest.mark.parametrize(
    "bad",
    [reply(503), reply(429), LIMITED, reply(500, b"<html>"), reset],
    ids=["503", "429", "429 that asks for a wait", "500", "reset"],
)
def test_an_outage_of_ten_minutes_is_waited_for_by_all_and_asked_about_by_one(bad: Answer) -> None:
    """Eight requests that each went on by themselves would spend the budget, and fall upon an API that comes up."""
    clock, told = Clockwork(), Told()

    async def run() -> tuple[FaultServer, int]:
        async with FaultServer([until(clock, 600, bad)]) as server, client_at(server.port, clock, told) as client:
            pages = await many(client)
            assert [page.body for page in pages] == [BODY] * 8
            return server, client.stats.requests

    server, requests = asyncio.run(run())
    assert len(server.seen) == requests
    assert len(told.waits) <= 12
    assert requests <= 8 * MAX_TRIES + len(told.waits) + 8
    assert all(LINE.fullmatch(line) for line in told.waits), told
    assert told[-1].startswith("The API answers again")


def test_at_most_one_asks_while_the_api_is_down_with_growing_pauses() -> None:
    clock, told, in_flight = Clockwork(), Told(), list[int]()
    server = FaultServer([GOOD])

    async def bad(writer: asyncio.StreamWriter) -> bool:
        if told:
            in_flight.append(server._in_flight)
        return await reply(503)(writer)

    async def run() -> None:
        nonlocal server
        server = FaultServer([until(clock, 900, bad)], pause_s=0.002)
        async with server, client_at(server.port, clock, told) as client:
            await many(client, 24)

    asyncio.run(run())
    assert in_flight
    assert set(in_flight[8:]) == {1}, "those that were under way when it began have ended"
    pauses = [float(line.partition("again in ")[2].partition(" s")[0]) for line in told.waits]
    assert pauses[:6] == [5, 10, 20, 40, 80, 120]
    assert set(pauses[6:]) == {MAX_PAUSE_S}
    assert pauses[0] == MIN_PAUSE_S


@asynccontextmanager
async def comes_back(clock: Clockwork, after_s: float, port: int) -> AsyncIterator[None]:
    """Nobody listens at `port`; a server does, once the clock is `after_s` further on."""
    began, sleep = clock.at, clock.sleep
    server = FaultServer([GOOD], port=port)
    is_up = False

    async def sleeping(seconds: float) -> None:
        nonlocal is_up
        await sleep(seconds)
        if not is_up and (clock.at - began).total_seconds() >= after_s:
            is_up = True
            await server.__aenter__()

    clock.sleep = sleeping  # type: ignore[method-assign]
    try:
        yield
    finally:
        if is_up:
            await server.__aexit__()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_gone_and_comes_back_is_found_again() -> None:
    clock, told, port = Clockwork(), Told(), free_port()

    async def run() -> list[Page]:
        async with comes_back(clock, 300, port), client_at(port, clock, told) as client:
            return await many(client)

    assert [page.body for page in asyncio.run(run())] == [BODY] * 8
    assert f"(GET /cases: nothing is listening at 127.0.0.1:{port}: the connection was refused);" in told[0]
    assert "Check" not in told[0]


def test_an_address_that_never_answered_is_a_wrong_one_and_has_its_ordinary_tries() -> None:
    clock, told, port = Clockwork(), Told(), free_port()

    async def run() -> None:
        async with client_at(port, clock, told, known=False) as client:
            await first_page(client)

    with pytest.raises(
        TransientApiError, match=r"nothing is listening at .* Check the address and its port. Tried 6 times\."
    ):
        asyncio.run(run())
    assert told == []


def test_one_that_has_answered_this_run_is_known() -> None:
    clock, told = Clockwork(), Told()

    async def run() -> None:
        answers = [GOOD, *[reply(502)] * (MAX_TRIES + 2), GOOD]
        async with FaultServer(answers) as server, client_at(server.port, clock, told, known=False) as client:
            await first_page(client)
            await first_page(client)

    asyncio.run(run())
    assert len(told.waits) == 3


def failing(answer: Answer, kind: type[ApiError], clock: Clockwork, told: Told, **more: Any) -> ApiError:
    async def run() -> list[BaseException]:
        async with FaultServer([answer]) as server, client_at(server.port, clock, told, **more) as client:
            pages = (client.page(Query(CASES), page) for page in range(1, 9))
            return [error for error in await asyncio.gather(*pages, return_exceptions=True) if error]  # type: ignore[misc]

    errors = asyncio.run(run())
    assert len(errors) == 8
    assert {type(error) for error in errors} == {kind}
    return errors[0]  # type: ignore[return-value]


def test_the_longest_wait_ends_it_for_all_of_them_at_once() -> None:
    clock, told = Clockwork(), Told()
    began = clock.at
    error = failing(reply(503), ApiOutage, clock, told)
    assert 1800 <= (clock.at - began).total_seconds() < 1800 + 60, "the ordinary tries of those under way count, too"
    assert "HTTP 503 on GET /cases. The API has not answered since 12:00:00 UTC; gave up after 30 min" in str(error)
    assert "DEBITURA_OUTAGE_MINUTES" in str(error)
    assert "until 12:30:00 UTC" in told[-1]
    assert error.is_retryable


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(401), RefusedError),
        (reply(403), RefusedError),
        (reply(404), RefusedError),
        (reply(302, b"", {"Location": "/"}), RefusedError),
        (reply(200, {"cases": []}), ShapeError),
        (reply(200, b"<html>Please wait</html>"), TransientApiError),
        (reply(200, gzip.compress(BODY)[:-9], {"Content-Encoding": "gzip"}), TransientApiError),
    ],
)
def test_an_answer_is_no_outage_whatever_is_wrong_with_it(answer: Answer, kind: type[ApiError]) -> None:
    clock, told = Clockwork(), Told()
    failing(answer, kind, clock, told)
    assert told == []


def test_none_is_waited_for_where_the_setting_says_so() -> None:
    clock, told = Clockwork(), Told()
    failing(reply(503), TransientApiError, clock, told, max_wait_s=0.0)
    assert told == []


def test_a_wait_that_the_api_asks_for_is_kept_to_within_the_bound() -> None:
    """An announced maintenance of ten minutes; and one of two hours, which is no reason to sit there for thirty minutes."""
    clock, told = Clockwork(), Told()
    began = clock.at

    async def run() -> None:
        asked = reply(503, b"", {"Retry-After": "600"})
        async with FaultServer([asked, GOOD]) as server, client_at(server.port, clock, told) as client:
            await first_page(client)
            assert len(server.seen) == 2

    asyncio.run(run())
    assert (clock.at - began).total_seconds() == 600
    error = failing(reply(503, b"", {"Retry-After": "7200"}), TransientApiError, clock, told)
    assert "The API asks to retry at 2026-03-01 14:10:00 UTC" in str(error)
    assert len(told.waits) == 1


def test_when_the_one_that_asks_is_called_off_another_takes_its_place() -> None:
    told, clock = Told(), Clockwork()

    async def run() -> None:
        async with (
            FaultServer([until(clock, 100, reply(503))]) as server,
            client_at(server.port, clock, told) as client,
        ):
            waiting = asyncio.Event()
            sleep = client._outages._sleep

            async def stuck(seconds: float) -> None:
                waiting.set()
                await asyncio.Event().wait()

            client._outages._sleep = stuck
            tasks = [asyncio.create_task(client.page(Query(CASES), page)) for page in range(1, 4)]
            await waiting.wait()
            await asyncio.sleep(0.1)
            client._outages._sleep = sleep
            (asking,) = [task for task in tasks if "stuck" in str(_innermost(task))]
            asking.cancel()
            pages = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(page, Page) for page in pages) == 2

    asyncio.run(run())


def _innermost(task: asyncio.Task[Page]) -> Any:
    found: Any = task.get_coro()
    while getattr(found, "cr_await", None) is not None:
        found = found.cr_await
        if getattr(found, "__qualname__", "").endswith("stuck"):
            return found.__qualname__
    return found


def test_an_api_that_comes_back_for_a_moment_does_not_begin_a_new_outage_each_time() -> None:
    """Else a flapping one would be waited for all night."""
    clock, told = Clockwork(), Told()
    began = clock.at
    count = 0

    async def flapping(writer: asyncio.StreamWriter) -> bool:
        nonlocal count
        count += 1
        return await (GOOD if count % 8 == 0 else reply(503))(writer)

    async def run() -> None:
        async with FaultServer([flapping]) as server, client_at(server.port, clock, told) as client:
            for _ in range(1_000):
                await first_page(client)

    with pytest.raises(TransientApiError):
        asyncio.run(run())
    assert (clock.at - began).total_seconds() < 1800 + 120
