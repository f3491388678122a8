"""The API's three rate limits per key: a sliding minute in segments, a fixed hour, and a day from the first request.

Rejected requests are not counted. Time is passed in.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

PER_MINUTE, PER_HOUR, PER_DAY = 2_000, 20_000, 100_000
SEGMENT_S, SEGMENTS = 10, 6
HOUR_S, DAY_S = 3_600, 86_400


@dataclass
class _Counts:
    """What one key has used. `segments`: (number of the ten-second segment, requests in it), oldest first."""

    segments: deque[tuple[int, int]] = field(default_factory=deque)
    hour: int = -1
    in_hour: int = 0
    day_began: float = 0.0
    in_day: int = 0


class RateLimits:
    """Counts requests by key."""

    def __init__(self, per_minute: int = PER_MINUTE, per_hour: int = PER_HOUR, per_day: int = PER_DAY) -> None:
        self._limits = (per_minute, per_hour, per_day)
        self._keys: dict[str, _Counts] = {}

    def take(self, key: str, now_s: float) -> float | None:
        """Count a request at `now_s` (seconds since 1970); None if it is allowed, else the seconds to wait."""
        counts = self._keys.setdefault(key, _Counts(day_began=now_s))
        segment, hour = int(now_s // SEGMENT_S), int(now_s // HOUR_S)
        while counts.segments and counts.segments[0][0] <= segment - SEGMENTS:
            counts.segments.popleft()
        if counts.hour != hour:
            counts.hour, counts.in_hour = hour, 0
        if now_s >= counts.day_began + DAY_S:
            counts.day_began += (now_s - counts.day_began) // DAY_S * DAY_S
            counts.in_day = 0
        wait = self._wait(counts, now_s)
        if wait is not None:
            return wait
        in_segment = counts.segments.pop()[1] if counts.segments and counts.segments[-1][0] == segment else 0
        counts.segments.append((segment, in_segment + 1))
        counts.in_hour += 1
        counts.in_day += 1
        return None

    def _wait(self, counts: _Counts, now_s: float) -> float | None:
        per_minute, per_hour, per_day = self._limits
        waits = []
        if sum(used for _, used in counts.segments) >= per_minute:
            waits.append((counts.segments[0][0] + SEGMENTS) * SEGMENT_S - now_s)
        if counts.in_hour >= per_hour:
            waits.append((counts.hour + 1) * HOUR_S - now_s)
        if counts.in_day >= per_day:
            waits.append(counts.day_began + DAY_S - now_s)
        return max(waits) if waits else None
