"""How many requests may still be asked: the API's three windows (minute, hour, day), kept across restarts.

Belongs here: counting, waiting, the refusal when waiting makes no sense. Does not: requests themselves, and where the
counts are stored (`ledger.py`). Called by `client.py` right before each request. One state file per key, since the
API counts per key; several processes may spend from one file.

Bursts are let through and the window's edge waited for, rather than pacing every request: small syncs, the usual
case, then finish as fast as the API answers, and a long one takes the same time either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.api.error_body import MOST_ASKED_S
from debitura_pipeline.api.rate_limit_state import DAY_S, HOUR_S, Ledger, LedgerFile
from debitura_pipeline.errors import BudgetSpent
from debitura_pipeline.settings import API_PER_MINUTE

HOURS_WORTH, DAYS_WORTH = 10, 50
LONGEST_WAIT_S = 300.0  # a minute's window frees itself within this; an hour's or a day's mostly does not
LEAST_WAIT_S = 0.001  # a sleep may end a hair early; do not turn on the spot then
SAVE_EVERY_S = 1.0
LEAST_AHEAD = 32  # requests written down before they are sent; a crash loses at most so many of the allowance


@dataclass(frozen=True)
class Left:
    """Requests that may still be asked in the API's hour and day, and when there is room again where there is none."""

    hour: int
    day: int
    free_at: datetime | None


class Budget:
    """The allowance of one key. To be used from one event loop.

    `per_minute` above the API's 2,000 says that Debitura granted more: hour and day then grow in proportion.
    `clock` gives aware instants, `sleep` takes seconds. Without `state_file` nothing survives the process.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        state_file: Path | None = None,
    ) -> None:
        if per_minute < 1:
            raise ValueError("a budget grants at least one request a minute")
        self.per_minute = per_minute
        self.per_hour = HOURS_WORTH * max(per_minute, API_PER_MINUTE)
        self.per_day = DAYS_WORTH * max(per_minute, API_PER_MINUTE)
        self._clock, self._sleep = clock, sleep
        self._file = LedgerFile(state_file) if state_file is not None else None
        self._ledger = Ledger()
        self._turn = asyncio.Lock()  # those who must wait do so in the order they came
        self._held_until = 0.0
        self._ahead = self._since_save = 0
        self._saved_at = float("-inf")

    @classmethod
    def unlimited(cls) -> Budget:
        """A budget that never makes anyone wait: for benchmarks against a server without limits."""
        return cls(1_000_000_000, clock=lambda: datetime.now(UTC), sleep=asyncio.sleep)

    async def acquire(self) -> float:
        """Take one request, waiting for room; the seconds waited. Call it right before sending.

        Raises BudgetSpent, and takes nothing, where room comes only after more than five minutes.
        """
        if not self._turn.locked() and self._take(self._now()) is None:
            return 0.0
        waited = 0.0
        async with self._turn:
            while (free_at := self._take(now := self._now())) is not None:
                wait = max(free_at - now, LEAST_WAIT_S)
                if waited + wait > LONGEST_WAIT_S:
                    raise self._spent(free_at)
                await self._sleep(wait)
                waited += wait
        return waited

    def hold(self, wait_s: float) -> None:
        """Let nobody ask for `wait_s` seconds, at most a year: what the API said to one, it would say to the others too.

        Raises BudgetSpent where that is more than five minutes.
        """
        until = self._now() + min(wait_s, MOST_ASKED_S)
        self._held_until = max(self._held_until, until)
        if wait_s > LONGEST_WAIT_S:
            raise self._spent(until)

    def left(self) -> Left:
        """What the file says is left, others' spending included; nothing is taken or written."""
        now, ledger = self._now(), self._file.look() if self._file is not None else Ledger()
        ledger.roll(now)
        hour, day = self.per_hour - ledger.in_hour, self.per_day - ledger.in_day
        free_at = (ledger.day_start or now) + DAY_S if day <= 0 else ledger.hour_start + HOUR_S if hour <= 0 else None
        return Left(max(hour, 0), max(day, 0), None if free_at is None else datetime.fromtimestamp(free_at, UTC))

    def close(self) -> None:
        """Write down what was spent, and give back what was written ahead. The budget stays usable."""
        if self._file is not None and self._saved_at > float("-inf"):
            self._save(self._now(), ahead=0)
            self._saved_at = float("-inf")

    def _now(self) -> float:
        return self._clock().timestamp()

    def _take(self, now: float) -> float | None:
        """Count one request at `now`, or, where there is no room, the instant at which there may be."""
        is_fresh = 0 <= now - self._saved_at < SAVE_EVERY_S  # stale also when the clock was set back
        if self._file is not None and (self._since_save >= self._ahead or not is_fresh):
            self._save(now, ahead=max(LEAST_AHEAD, 2 * self._since_save))
        ledger = self._ledger
        ledger.roll(now)
        if self._held_until > now:
            return self._held_until
        if ledger.in_day >= self.per_day:
            return (ledger.day_start or now) + DAY_S
        if ledger.in_hour >= self.per_hour:
            return ledger.hour_start + HOUR_S
        if ledger.in_minute >= self.per_minute:
            return ledger.minute_frees_at()
        ledger.add(now)
        if self._file is not None:
            self._file.note(now)
        self._since_save += 1
        return None

    def _save(self, now: float, ahead: int) -> None:
        """Merge this process's spending into the file, and learn what others spent meanwhile.

        `ahead` requests are written down before they are sent, so that after a crash the file states too many
        rather than too few.
        """
        if self._file is not None:
            self._ledger = self._file.exchange(self._ledger, now, ahead)
        self._ahead, self._since_save, self._saved_at = ahead, 0, now

    def _spent(self, free_at: float) -> BudgetSpent:
        at = datetime.fromtimestamp(free_at, UTC)
        return BudgetSpent(
            f"The API's allowance is used up; there is room again at {at:%Y-%m-%d %H:%M:%S} UTC. "
            "What is landed is kept: start again then.",
            resume_at=at,
            in_hour=self._ledger.in_hour,
            in_day=self._ledger.in_day,
        )
