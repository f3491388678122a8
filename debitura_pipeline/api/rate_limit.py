"""Client-side rate limiter for the API's three windows (minute, hour, day), kept across restarts.

One state per key, since the API counts per key; processes share it. The counts themselves are in `rate_limit_state.py`.

Requests are sent in bursts, then wait for the window to move on, instead of being paced: small syncs, the usual case, finish as
fast as the API answers, and long ones take the same time either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.api.error_body import MAX_RETRY_AFTER_S
from debitura_pipeline.api.rate_limit_state import DAY_S, HOUR_S, RateLimitFile, RateLimitState, RateLimitStore
from debitura_pipeline.errors import RateLimitExhausted
from debitura_pipeline.settings import API_PER_MINUTE

HOURS_WORTH, DAYS_WORTH = 10, 50
MAX_WAIT_S = 300.0  # enough for the minute's window; rarely for an hour's or a day's
MIN_WAIT_S = 0.001  # a sleep may end slightly early; do not spin then
SAVE_EVERY_S = 1.0
MIN_RESERVED = 32  # requests counted before they are sent; at most these are lost in a crash


@dataclass(frozen=True)
class Remaining:
    """Requests left in the API's hour and day. `free_at`: when requests are possible again, None if they are now."""

    hour: int
    day: int
    free_at: datetime | None


class RateLimiter:
    """The rate limits of one key. Use from one event loop.

    `per_minute` above the API's 2,000 means that Debitura granted more; hour and day then grow in proportion. `clock` returns
    aware instants, `sleep` takes seconds. Without `state_file` or `store` nothing survives the process.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        state_file: Path | None = None,
        store: RateLimitStore | None = None,
    ) -> None:
        if per_minute < 1:
            raise ValueError("a budget grants at least one request a minute")
        self.per_minute = per_minute
        self.share = 1  # processes among which the minute is divided, where their counts are not kept together
        self.per_hour = HOURS_WORTH * max(per_minute, API_PER_MINUTE)
        self.per_day = DAYS_WORTH * max(per_minute, API_PER_MINUTE)
        self._clock, self._sleep = clock, sleep
        self._file = RateLimitFile(state_file) if state_file is not None else store
        self._state = RateLimitState()
        self._queue = asyncio.Lock()  # waiting requests proceed in order
        self._paused_until = 0.0
        self._reserved = self._since_save = 0
        self._saved_at = float("-inf")

    @classmethod
    def unlimited(cls) -> RateLimiter:
        """A limiter that never waits, for benchmarks against a server without limits."""
        return cls(1_000_000_000, clock=lambda: datetime.now(UTC), sleep=asyncio.sleep)

    async def acquire(self) -> float:
        """Take one request, waiting if necessary; returns the seconds waited. Call it right before sending.

        Raises RateLimitExhausted, and takes nothing, if the wait would exceed five minutes.
        """
        if not self._queue.locked() and self._try_acquire(self._now()) is None:
            return 0.0
        waited = 0.0
        async with self._queue:
            while (free_at := self._try_acquire(now := self._now())) is not None:
                wait = max(free_at - now, MIN_WAIT_S)
                if waited + wait > MAX_WAIT_S:
                    raise self._exhausted(free_at)
                await self._sleep(wait)
                waited += wait
        return waited

    def pause(self, wait_s: float) -> None:
        """Stop all requests for `wait_s` seconds, at most a year, as the API asked one of them to.

        Raises RateLimitExhausted if that is more than five minutes.
        """
        until = self._now() + min(wait_s, MAX_RETRY_AFTER_S)
        self._paused_until = max(self._paused_until, until)
        if wait_s > MAX_WAIT_S:
            raise self._exhausted(until)

    def remaining(self) -> Remaining:
        """Requests left according to the state file, other processes included; takes and writes nothing."""
        now, state = self._now(), self._file.read() if self._file is not None else RateLimitState()
        state.roll(now)
        hour, day = self.per_hour - state.in_hour, self.per_day - state.in_day
        free_at = (state.day_start or now) + DAY_S if day <= 0 else state.hour_start + HOUR_S if hour <= 0 else None
        return Remaining(max(hour, 0), max(day, 0), None if free_at is None else datetime.fromtimestamp(free_at, UTC))

    def close(self) -> None:
        """Save the counts and give back unused reservations. The limiter can still be used."""
        if self._file is not None and self._saved_at > float("-inf"):
            self._save(self._now(), reserve=0)
            self._saved_at = float("-inf")
            self._file.close()

    def _now(self) -> float:
        return self._clock().timestamp()

    def _try_acquire(self, now: float) -> float | None:
        """Count one request at `now`, or return when one may be possible."""
        is_fresh = 0 <= now - self._saved_at < SAVE_EVERY_S  # also stale if the clock was set back
        if self._file is not None and (self._since_save >= self._reserved or not is_fresh):
            self._save(now, reserve=max(MIN_RESERVED, 2 * self._since_save))
        state = self._state
        state.roll(now)
        if self._paused_until > now:
            return self._paused_until
        if state.in_day >= self.per_day:
            return (state.day_start or now) + DAY_S
        if state.in_hour >= self.per_hour:
            return state.hour_start + HOUR_S
        if state.in_minute >= max(1, self.per_minute // self.share):
            return state.minute_frees_at()
        state.add(now)
        if self._file is not None:
            self._file.record(now)
        self._since_save += 1
        return None

    def _save(self, now: float, reserve: int) -> None:
        """Merge this process's counts into the file, and read those of others.

        `reserve` requests are counted before they are sent, so that after a crash the file counts too many rather than too
        few.
        """
        if self._file is not None:
            self._state = self._file.merge(self._state, now, reserve)
        self._reserved, self._since_save, self._saved_at = reserve, 0, now

    def _exhausted(self, free_at: float) -> RateLimitExhausted:
        at = datetime.fromtimestamp(free_at, UTC)
        return RateLimitExhausted(
            f"The API's rate limit is used up until {at:%Y-%m-%d %H:%M:%S} UTC.",
            cure="What was done is kept: run again then.",
            resume_at=at,
            in_hour=self._state.in_hour,
            in_day=self._state.in_day,
        )
