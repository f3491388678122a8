"""Wait for the API to come back: one request probes at growing intervals while all others wait.

Ordinary retries come first; see `client.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from debitura_pipeline.errors import ApiOutage, RateLimited, RefusedError, TransientApiError

MIN_PAUSE_S, MAX_PAUSE_S = 5.0, 120.0  # doubling: a restart costs seconds, a long outage 20 requests in all
SILENT_429_PAUSE_S = 60.0  # the shortest of the API's windows is over then
SETTLE_TIME = timedelta(
    minutes=1
)  # an API that fails again sooner has not come back: the bound counts from the first failure

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class OutagePolicy:
    """How long to wait for the API to come back, and who is notified. `has_answered_before`: in an earlier run. Otherwise an
    address that never answered is assumed to be wrong."""

    max_wait_s: float
    report: Callable[[str], None]
    has_answered_before: bool = False


@dataclass
class _Outage:
    """`since`: the first failed request. `error`: the last one's error."""

    since: datetime
    error: TransientApiError
    paused_s: float = 0.0
    pauses: int = 0


class Outages:
    """Outages of one API, in one event loop. Without a policy, none is waited for."""

    def __init__(self, policy: OutagePolicy | None, clock: Callable[[], datetime], sleep: Sleep) -> None:
        self._policy, self._clock, self._sleep = policy, clock, sleep
        self._has_answered = policy is not None and policy.has_answered_before
        self._failing_since: datetime | None = None
        self._now: _Outage | None = None
        self._last: tuple[_Outage, datetime] | None = None  # and when it ended
        self._probing = asyncio.Lock()  # held by the request that asks

    def record_success(self) -> None:
        """Record that the API answered."""
        self._has_answered, self._failing_since = True, None

    def record_failure(self) -> None:
        """Record a failure that may be the start of an outage."""
        self._failing_since = self._failing_since or self._clock()

    def should_wait(self, error: TransientApiError) -> bool:
        """Whether a request that has used up its attempts should wait for the end of an outage, through `wait_out`."""
        if self._policy is None or not (error.is_outage and self._has_answered):
            return False
        began = self._now is None
        outage = self._now or self._begun(error)
        outage.error = error
        if self._pause_s(outage, self._policy.max_wait_s) is None:
            return False
        if began:
            self._now = outage
        return True

    async def wait_out(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `ask`; during an outage, once the API answers again. `what` starts error messages.

        Raises what `ask` raises, and ApiOutage when the maximum wait is over.
        """
        if not self._is_active():
            return await ask()
        async with self._probing:
            while self._now is not None:
                await self._pause(what, self._now)
                try:
                    answer = await ask()
                except TransientApiError as error:
                    if not error.is_outage:
                        self._end()
                        raise
                    self._now.error = error
                except RefusedError:  # that is an answer
                    self._end()
                    raise
                else:
                    self._end()
                    return answer
        return await ask()  # it ended while this one waited for its turn

    def _is_active(self) -> bool:
        return self._now is not None

    async def _pause(self, what: str, outage: _Outage) -> None:
        assert self._policy is not None
        max_wait_s = self._policy.max_wait_s
        wait_s = self._pause_s(outage, max_wait_s)
        if wait_s is None:
            raise ApiOutage(
                f"{what} failed: {outage.error} The API has not answered since {_at(outage.since)}; gave up after "
                f"{max_wait_s / 60:.0f} min (DEBITURA_OUTAGE_MINUTES). Landed data is kept: run again when it answers."
            )
        until = outage.since + timedelta(seconds=max_wait_s)
        self._policy.report(
            f"The API has not answered since {_at(outage.since)} ({_cause(outage.error)}); trying again in {wait_s:.0f} s, "
            f"until {_at(until)}"
        )
        outage.pauses += 1
        outage.paused_s += wait_s
        await self._sleep(wait_s)

    def _pause_s(self, outage: _Outage, max_wait_s: float) -> float | None:
        """Seconds until the next probe; None when the maximum wait is over. Not by the clock alone, since it may be set back."""
        left_s = max_wait_s - max((self._clock() - outage.since).total_seconds(), outage.paused_s)
        error = outage.error
        asked_s = error.wait_s or (SILENT_429_PAUSE_S if isinstance(error, RateLimited) else 0.0)
        if left_s <= 0 or asked_s > left_s:
            return None
        return min(max(MIN_PAUSE_S * 2.0**outage.pauses, asked_s), max(MAX_PAUSE_S, asked_s), left_s)

    def _begun(self, error: TransientApiError) -> _Outage:
        now = self._clock()
        if self._last is not None and now - self._last[1] < SETTLE_TIME:
            return self._last[0]
        return _Outage(self._failing_since or now, error)

    def _end(self) -> None:
        if self._now is not None and self._policy is not None:
            self._policy.report(f"The API answers again; it had not since {_at(self._now.since)}.")
            self._last = self._now, self._clock()
        self._now = None


def _at(instant: datetime) -> str:
    return f"{instant:%H:%M:%S} UTC"


def _cause(error: TransientApiError) -> str:
    """The error without its advice, which is meant for an address that never answered."""
    return str(error).partition(". Check ")[0].rstrip(".")
