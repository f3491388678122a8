"""Writing requests take a fifth of the minute at most, and leave the last 500 of the day to reading."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from debitura_pipeline.api.rate_limit import RateLimiter, Remaining
from debitura_pipeline.api.write_budget import DAY_RESERVE, WriteBudget
from debitura_pipeline.errors import RateLimitExhausted


class Time:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def test_a_fifth_of_the_minute() -> None:
    time = Time()
    budget = WriteBudget(RateLimiter(100, clock=time.now, sleep=time.sleep), clock=time.now, sleep=time.sleep)

    async def take(count: int) -> None:
        for _ in range(count):
            await budget.acquire()

    asyncio.run(take(20))
    assert time.at == datetime(2026, 5, 1, tzinfo=UTC)
    asyncio.run(take(40))
    assert time.at == datetime(2026, 5, 1, 0, 2, tzinfo=UTC)


def test_the_last_requests_of_the_day_are_not_for_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    limiter = RateLimiter(100, clock=time.now, sleep=time.sleep)
    monkeypatch.setattr(limiter, "remaining", lambda: Remaining(0, DAY_RESERVE, None))
    with pytest.raises(RateLimitExhausted, match="kept for reading"):
        asyncio.run(WriteBudget(limiter, clock=time.now, sleep=time.sleep).acquire())
