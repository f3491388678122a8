"""Adaptive limit on concurrent requests: starts low, rises with latency, falls on errors. Does no I/O but waiting.

By Little's law, a request rate needs rate x latency requests in flight: 8 sustain 2,000 a minute up to a latency of 240 ms.
Above that the limit rises until the rate limit can be used up. If latency rises with the limit itself, requests are queueing
at the API, and the limit falls again.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from types import TracebackType

HEADROOM = 1.25  # responses arrive unevenly
QUEUEING_RATIO = 1.5  # times the baseline latency; above it, requests queue
STEP_DIVISOR = 4  # a round changes the limit by a quarter
BASELINE_DECAY = 1.1  # per round, so that an old or untypically low baseline fades
MIN_ERRORS = 2  # per round
MIN_ROUND = 8  # responses per round; their median is the round's latency


class ConcurrencyLimit:
    """`async with` takes a slot. The limit moves between `start` and `maximum` with latency; only errors reduce it below
    `start`, by half. `per_minute` is the request rate to be used up."""

    def __init__(self, start: int, maximum: int, per_minute: int) -> None:
        if not 1 <= start <= maximum:
            raise ValueError("the concurrency limit needs 1 <= start <= maximum")
        self.limit, self._start, self._maximum, self._per_s = start, start, maximum, per_minute / 60
        self._slots = asyncio.Semaphore(start)
        self._excess = 0  # slots to be removed as soon as they are free
        self._latencies: list[float] = []
        self._baseline_s = math.inf
        self._errors = 0

    @property
    def is_adaptive(self) -> bool:
        """Whether the limit may rise."""
        return self._start < self._maximum

    async def __aenter__(self) -> None:
        await self._slots.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._excess:
            self._excess -= 1
        else:
            self._slots.release()

    def on_success(self, latency_s: float) -> None:
        """Record a response and its latency in seconds, without rate limiting waits."""
        self._latencies.append(latency_s)
        if len(self._latencies) >= max(self.limit, MIN_ROUND):
            self._adapt(statistics.median(self._latencies))

    def on_error(self) -> None:
        """Record a server error or timeout. The limit is halved if half of a round's requests fail; isolated errors do not
        depend on concurrency."""
        self._errors += 1
        if self._errors >= max(MIN_ERRORS, self.limit // 2):
            self._begin_round()
            self._set(max(1, self.limit // 2))

    def _adapt(self, latency_s: float) -> None:
        self._begin_round()
        if self.limit <= self._start:  # above it, growing latency may be due to queueing
            self._baseline_s *= BASELINE_DECAY
        self._baseline_s = min(self._baseline_s, latency_s)
        wanted = max(self._start, min(self._maximum, math.ceil(self._per_s * latency_s * HEADROOM)))
        step = max(1, self.limit // STEP_DIVISOR)
        if self.limit < self._start:
            self._set(self.limit + 1)
        elif latency_s > QUEUEING_RATIO * self._baseline_s:
            self._set(max(self._start, self.limit - step))
        else:
            self._set(min(wanted, self.limit + step) if self.limit < wanted else max(wanted, self.limit - step))

    def _begin_round(self) -> None:
        self._latencies.clear()
        self._errors = 0

    def _set(self, limit: int) -> None:
        change, self.limit = limit - self.limit, limit
        for _ in range(change):
            if self._excess:
                self._excess -= 1
            else:
                self._slots.release()
        self._excess += max(-change, 0)
