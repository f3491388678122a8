"""The part of the rate limit that writing requests may use, so that they never hold up the nightly run."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime

from debitura_pipeline.api.rate_limit import RateLimiter, Remaining
from debitura_pipeline.errors import RateLimitExhausted

SHARE = 5  # writes take at most a fifth of the minute's requests
DAY_RESERVE = 500  # requests of the day that are left to reading
MINUTE_S = 60.0


def check_reserve(rate_limiter: RateLimiter) -> Remaining:
    """The requests that are left. Raises RateLimitExhausted if those are 500 of the day or fewer."""
    left = rate_limiter.remaining()
    if left.day <= DAY_RESERVE:
        raise RateLimitExhausted(
            f"{left.day:,} requests are left of the day, and the last {DAY_RESERVE} are kept for reading. What was not sent "
            "can be sent once the day's limit is renewed."
        )
    return left


class WriteBudget:
    """A rate limiter for writing requests on top of that of all requests. One process writes at a time."""

    def __init__(
        self, rate_limiter: RateLimiter, *, clock: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._rate_limiter, self._clock, self._sleep = rate_limiter, clock, sleep
        self.per_minute = max(rate_limiter.per_minute // SHARE, 1)
        self._sent: deque[float] = deque(maxlen=self.per_minute)

    async def acquire(self) -> float:
        """Take one request, waiting if necessary; returns the seconds waited.

        Raises RateLimitExhausted, and takes nothing, if 500 requests or fewer are left of the day, or if the wait would exceed
        five minutes.
        """
        check_reserve(self._rate_limiter)
        waited = 0.0
        if len(self._sent) == self.per_minute:
            waited = max(self._sent[0] + MINUTE_S - self._clock().timestamp(), 0.0)
            if waited:
                await self._sleep(min(waited, MINUTE_S))
        waited += await self._rate_limiter.acquire()
        self._sent.append(self._clock().timestamp())
        return waited

    def pause(self, wait_s: float) -> None:
        """Stop all requests for `wait_s` seconds. Raises RateLimitExhausted if that is more than five minutes."""
        self._rate_limiter.pause(wait_s)
