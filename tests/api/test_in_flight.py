"""Places in flight: as many as latency wants, given back when they only queue, halved when the API struggles."""

from __future__ import annotations

import asyncio
import random

import pytest

from debitura_pipeline.api.concurrency import ConcurrencyLimit
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.contract.listings import CASES, Query
from tests.api.asking import GOOD, client_of
from tests.api.clockwork import Clockwork
from tests.api.fault_server import FaultServer, reply

PER_MINUTE = 2_000


def after(slots: ConcurrencyLimit, latency_s: float, answers: int = 500) -> int:
    for _ in range(answers):
        slots.on_success(latency_s)
    return slots.limit


def test_a_quick_api_is_asked_by_eight_at_a_time() -> None:
    assert after(ConcurrencyLimit(8, 32, PER_MINUTE), 0.05) == 8
    assert after(ConcurrencyLimit(8, 32, PER_MINUTE), 0.19) == 8


@pytest.mark.parametrize(("latency_s", "wanted"), [(0.3, 13), (0.5, 21), (2.0, 32)])
def test_a_slow_api_is_asked_by_as_many_as_use_up_the_minute(latency_s: float, wanted: int) -> None:
    """2,000 a minute times the latency, a quarter more, and never above the most."""
    assert after(ConcurrencyLimit(8, 32, PER_MINUTE), latency_s) == wanted


def test_a_number_that_was_set_is_kept() -> None:
    assert after(ConcurrencyLimit(4, 4, PER_MINUTE), 2.0) == 4


def test_places_that_only_queue_are_given_back() -> None:
    """An API that answers eight in 0.5 s and no more a second, however many ask: latency grows with the places."""
    slots, most = ConcurrencyLimit(8, 32, PER_MINUTE), 0
    for _ in range(2_000):
        slots.on_success(0.5 * max(1.0, slots.limit / 8))
        most = max(most, slots.limit)
    assert most < 20
    assert after(slots, 3.0, 80) == 8


def test_an_api_that_has_become_slower_is_asked_by_more_after_a_while() -> None:
    slots = ConcurrencyLimit(8, 32, PER_MINUTE)
    assert after(slots, 0.1) == 8
    assert after(slots, 0.4, 50) == 8
    assert after(slots, 0.4, 1_000) == 17


def test_places_are_given_back_when_the_api_is_quick_again() -> None:
    slots = ConcurrencyLimit(8, 32, PER_MINUTE)
    assert after(slots, 2.0) == 32
    assert after(slots, 0.05) == 8
    assert after(slots, 0.05 * 5.5) == 12  # asked for by the new latency, and no more


def test_a_cold_start_is_not_taken_for_the_api_s_own_latency() -> None:
    slots = ConcurrencyLimit(8, 32, PER_MINUTE)
    after(slots, 0.4, 8)
    after(slots, 0.1, 500)
    assert after(slots, 0.55, 50) == 8  # queues: five times its own latency


def test_trouble_halves_and_is_forgotten_one_by_one() -> None:
    slots = ConcurrencyLimit(8, 32, PER_MINUTE)
    for _ in range(4):
        slots.on_error()
    assert slots.limit == 4
    assert after(slots, 0.05, 8) == 5
    assert after(slots, 0.05, 80) == 8


def test_trouble_without_end_leaves_one() -> None:
    slots = ConcurrencyLimit(8, 32, PER_MINUTE)
    for _ in range(20):
        slots.on_error()
    assert slots.limit == 1


@pytest.mark.parametrize("every", [10, 20, 50])
def test_errors_now_and_then_cost_no_place(every: int) -> None:
    """A gateway that fails one request in so many does so however many ask."""
    slots, dice = ConcurrencyLimit(8, 32, PER_MINUTE), random.Random(every)
    limits = []
    for _ in range(4_000):
        slots.on_error() if dice.randrange(every) == 0 else slots.on_success(0.1)
        limits.append(slots.limit)
    assert sum(limits) / len(limits) > 7.5


def test_over_real_connections_the_server_sees_as_many_as_are_wanted() -> None:
    async def run() -> FaultServer:
        clock = Clockwork()
        async with FaultServer([GOOD], pause_s=0.1) as server:
            rate_limiter = RateLimiter(6_000, clock=clock.now, sleep=clock.sleep)
            async with client_of(server, clock, 8, most=32, rate_limiter=rate_limiter) as client:
                await asyncio.gather(*(client.page(Query(CASES), page) for page in range(1, 81)))
            return server

    server = asyncio.run(run())
    assert 13 <= server.most_in_flight <= 20  # 100 a second for 0.1 s and a little, a quarter more


def test_after_errors_the_server_sees_fewer() -> None:
    async def run() -> FaultServer:
        server = FaultServer([*[reply(503)] * 8, GOOD], pause_s=0.02)
        async with server, client_of(server, Clockwork(), 8) as client:
            await asyncio.gather(*(client.page(Query(CASES), page) for page in range(1, 5)))
            server.most_in_flight = 0
            await asyncio.gather(*(client.page(Query(CASES), page) for page in range(1, 9)))
        return server

    assert asyncio.run(run()).most_in_flight < 8
