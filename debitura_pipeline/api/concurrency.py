"""How many requests are under way at once: a few at first, more where answers take long, fewer where the API struggles.

Belongs here: the places, and how many of them the latency calls for. Pure but for waiting. Does not: clocks, requests or the
budget. Used by `client.py`.

By Little's law a rate takes as many requests in flight as it has in the time of one answer: for 2,000 a minute, 8 do up to
a latency of 240 ms. Beyond, places are added until the minute's allowance can be used up, and no more. Latency that grows
with the places themselves means that requests queue at the API: those places are given back.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from types import TracebackType

ROOM = 1.25  # answers do not come evenly
SAME = 1.5  # times the best latency: up to there nothing queues
STEP = 4  # a quarter of the places more or fewer in a round
FORGETTING = 1.1  # a round: a best latency of long ago, or of requests that are cheap, fades
LEAST_TROUBLES = 2  # in a round
LEAST_ROUND = 8  # answers whose median is taken as the latency


class InFlight:
    """`async with` takes a place. Between `start` and `most` places are added as latency wants; only trouble takes more than
    that away, half at a time. `per_minute`: the allowance that is to be used up."""

    def __init__(self, start: int, most: int, per_minute: int) -> None:
        if not 1 <= start <= most:
            raise ValueError("places in flight: at least one, and at most as many as may be")
        self.limit, self._start, self._most, self._per_s = start, start, most, per_minute / 60
        self._places = asyncio.Semaphore(start)
        self._surplus = 0  # places that are given up as soon as they are free
        self._latencies: list[float] = []
        self._best_s = math.inf
        self._troubles = 0

    async def __aenter__(self) -> None:
        await self._places.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._surplus:
            self._surplus -= 1
        else:
            self._places.release()

    def answered(self, latency_s: float) -> None:
        """One request was answered after so many seconds, waits for the budget not included."""
        self._latencies.append(latency_s)
        if len(self._latencies) >= max(self.limit, LEAST_ROUND):
            self._adapt(statistics.median(self._latencies))

    def struggled(self) -> None:
        """The API did not answer, or with an error of its own. Half the places go when so many do in one round: errors that come
        one by one have nothing to do with how many ask."""
        self._troubles += 1
        if self._troubles >= max(LEAST_TROUBLES, self.limit // 2):
            self._begin_round()
            self._set(max(1, self.limit // 2))

    def _adapt(self, latency_s: float) -> None:
        self._begin_round()
        if self.limit <= self._start:  # only then a latency that grows is the API's own, not that of what queues there
            self._best_s *= FORGETTING
        self._best_s = min(self._best_s, latency_s)
        wanted = max(self._start, min(self._most, math.ceil(self._per_s * latency_s * ROOM)))
        step = max(1, self.limit // STEP)
        if self.limit < self._start:
            self._set(self.limit + 1)
        elif latency_s > SAME * self._best_s:
            self._set(max(self._start, self.limit - step))
        else:
            self._set(min(wanted, self.limit + step) if self.limit < wanted else max(wanted, self.limit - step))

    def _begin_round(self) -> None:
        self._latencies.clear()
        self._troubles = 0

    def _set(self, limit: int) -> None:
        change, self.limit = limit - self.limit, limit
        for _ in range(change):
            if self._surplus:
                self._surplus -= 1
            else:
                self._places.release()
        self._surplus += max(-change, 0)
