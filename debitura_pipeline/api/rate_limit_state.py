"""Request counts of the last minute, the current hour and the current day, and the file that stores them.

On Postgres they are in the warehouse instead (`rate_limit_table.py`). Both hold counts and instants only, nothing of the key or of
the requests.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

import msgspec
from filelock import FileLock

from debitura_pipeline.files import write_private_atomically

log = logging.getLogger(__name__)

HOUR_S, DAY_S = 3600.0, 86_400.0
TICKS = 4  # buckets per second: fine enough for a smooth window, few enough to be saved every second
# 61 s: a request delayed in transit (a new TLS connection) must not share the API's minute with one sent 60 s later.
MINUTE_TICKS = 61 * TICKS
EDGE_S = 1.0  # the API may count a request of an hour's or day's last second in the next one, so count it in both
# Others hold the lock for well under a millisecond; one that is stopped, in a debugger say, is not waited for.
LOCK_WAIT_S, LOCK_PAUSE_S = 0.1, 0.005


class RateLimitState(msgspec.Struct):
    """Requests per quarter second (`minute`), and counts since `hour_start` and `day_start` (seconds since 1970).

    The hour is the clock's; the day starts with the key's first request and lasts 24 hours.
    """

    minute: dict[int, int] = msgspec.field(default_factory=dict)
    in_minute: int = 0
    hour_start: float = 0.0
    in_hour: int = 0
    day_start: float | None = None
    in_day: int = 0

    def add(self, at: float, count: int = 1) -> None:
        """Count `count` requests at `at` in each window that includes it; a negative count takes them back."""
        tick = int(at * TICKS)
        at = tick / TICKS  # so that requests are taken back from the windows in which they were counted
        if count > 0 or tick in self.minute:
            self.minute[tick] = self.minute.get(tick, 0) + count
            self.in_minute += count
        if at >= self.hour_start - EDGE_S:
            self.in_hour += count
        if at >= (self.day_start or 0.0) - EDGE_S:
            self.in_day += count

    def roll(self, now: float) -> None:
        """Drop expired counts. If the clock was set back, nothing is dropped: counts in the future are treated as just sent."""
        if self.day_start is None:
            self.day_start = now
        if now < max(self.hour_start, self.day_start) or next(reversed(self.minute), 0) > now * TICKS:
            self._move_back(now)
        if now >= self.hour_start + HOUR_S:
            self.hour_start = now // HOUR_S * HOUR_S
            self.in_hour = self._since(self.hour_start - EDGE_S)
        if now >= self.day_start + DAY_S:
            self.day_start += (now - self.day_start) // DAY_S * DAY_S
            self.in_day = self._since(self.day_start - EDGE_S)
        gone = now * TICKS - MINUTE_TICKS
        while self.minute and (oldest := next(iter(self.minute))) <= gone:
            self.in_minute -= self.minute.pop(oldest)

    def minute_frees_at(self) -> float:
        """When the oldest requests leave the minute's window."""
        return (next(iter(self.minute)) + MINUTE_TICKS) / TICKS

    def sort(self) -> None:
        """Sort by time, after counts of several processes were merged."""
        self.minute = {tick: count for tick, count in sorted(self.minute.items()) if count > 0}
        self.in_minute = sum(self.minute.values())

    def _since(self, at: float) -> int:
        return sum(count for tick, count in self.minute.items() if tick >= int(at * TICKS))

    def _move_back(self, now: float) -> None:
        here = int(now * TICKS)
        reserve = sum(self.minute.pop(tick) for tick in [tick for tick in self.minute if tick > here])
        if reserve:
            self.minute[here] = self.minute.get(here, 0) + reserve
        self.hour_start = min(self.hour_start, now // HOUR_S * HOUR_S)
        self.day_start = min(self.day_start or now, now)


def read_rate_limit_state(path: Path, now: float) -> RateLimitState | None:
    """The file's counts as of `now`; writes nothing. None if the file is missing or unreadable."""
    try:
        state = msgspec.json.decode(path.read_bytes(), type=RateLimitState)
    except (OSError, msgspec.DecodeError):
        return None
    state.roll(now)
    return state


class RateLimitStore(Protocol):
    """Where the processes that use one key share their counts."""

    def record(self, at: float) -> None:
        """Record one request for the next merge."""

    def read(self) -> RateLimitState:
        """The stored counts; empty if unreadable."""

    def merge(self, view: RateLimitState, now: float, reserve: int) -> RateLimitState:
        """Add the requests sent since the last merge, and `reserve` future ones.

        Returns the counts of all processes, without the own reservation. If the store is not accessible, returns `view`; the
        next merge makes up for it.
        """

    def close(self) -> None:
        """Release what a merge has opened."""


class Unmerged:
    """One process's requests that are not in the store yet, and its reservation there."""

    def __init__(self) -> None:
        self._sent: dict[int, int] = {}
        self._reserved = (0, 0)

    def record(self, at: float) -> None:
        tick = int(at * TICKS)
        self._sent[tick] = self._sent.get(tick, 0) + 1

    def added_to(self, shared: RateLimitState, now: float, reserve: int) -> RateLimitState:
        """Add them to the stored counts `shared`, with a new reservation; returns the counts without that."""
        shared.roll(now)
        here = int(now * TICKS)  # if the clock was set back, past requests are counted here too
        tick, count = self._reserved
        shared.add(min(tick, here) / TICKS, -count)
        for tick, count in self._sent.items():
            shared.add(min(tick, here) / TICKS, count)
        shared.sort()
        shared.roll(now)
        view = msgspec.structs.replace(shared, minute=dict(shared.minute))
        if reserve:
            shared.add(now, reserve)
        return view

    def are_stored(self, now: float, reserve: int) -> None:
        """What `added_to` has added is stored."""
        self._sent, self._reserved = {}, (int(now * TICKS), reserve)


class RateLimitFile:
    """The state on disk (JSON, mode 0600), shared by the processes of this machine that use one key.

    Survives the death of a process at any moment, but not a power failure; at worst, a 429 is then waited out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = Unmerged()
        self._has_warned = False

    def record(self, at: float) -> None:
        """Record one request for the next merge."""
        self._own.record(at)

    def close(self) -> None:
        """Nothing is kept open."""

    def read(self) -> RateLimitState:
        """The file's state; empty if unreadable."""
        try:
            return self._read()
        except OSError:
            return RateLimitState()

    def merge(self, view: RateLimitState, now: float, reserve: int) -> RateLimitState:
        """Add the requests sent since the last merge, and `reserve` future ones, to the file.

        Returns the counts of all processes, without the own reservation. If the file is not accessible, returns `view`; the
        next merge makes up for it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._path.with_name(self._path.name + ".lock")
            with FileLock(lock, timeout=LOCK_WAIT_S, poll_interval=LOCK_PAUSE_S, mode=0o600):
                return self._merge(now, reserve)
        except OSError as error:
            if not self._has_warned:
                log.warning(
                    "The request budget cannot be kept in %s (%s); counting goes on in memory", self._path, error
                )
            self._has_warned = True
            return view

    def _merge(self, now: float, reserve: int) -> RateLimitState:
        shared = self._read()
        view = self._own.added_to(shared, now, reserve)
        write_private_atomically(self._path, msgspec.json.encode(shared), fsync=False)
        self._own.are_stored(now, reserve)
        return view

    def _read(self) -> RateLimitState:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=RateLimitState)
        except FileNotFoundError:
            return RateLimitState()
        except msgspec.DecodeError:
            log.warning("The request budget in %s is unreadable and starts from zero", self._path)
            return RateLimitState()
