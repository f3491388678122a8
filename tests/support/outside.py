"""The world outside a sync, for tests: a clock that jumps ahead instead of sleeping, and short timeouts.

Belongs here: `Tools` whose waits cost nothing. Does not: faults, which the sandbox makes.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.http import Timeouts


class JumpingClock:
    """Real time plus what was slept: a wait is over at once, and everybody's clock agrees that it took place."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=sum(self.slept))

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def runtime(self, timeouts: Timeouts | None = None) -> Runtime:
        return Runtime(
            now=self.now,
            monotonic=self.monotonic,
            sleep=self.sleep,
            random=lambda: 0.5,
            timeouts=timeouts or Timeouts(),
        )
