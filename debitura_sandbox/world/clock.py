"""The simulated clock: advances in real time and jumps with `advance`. It never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate


class SimulatedClock:
    """Microseconds since 1970, simulated. `real` gives real seconds and may be replaced in tests."""

    def __init__(self, start_us: int, real: Callable[[], float] = time.monotonic) -> None:
        self._real = real
        self._start_us, self._since = start_us, real()

    def now_us(self) -> int:
        """The simulated instant."""
        return self._start_us + int((self._real() - self._since) * 1_000_000)

    def move_to(self, instant_us: int) -> None:
        """Go forward to an instant; an instant that has passed changes nothing."""
        if instant_us > self.now_us():
            self._start_us, self._since = instant_us, self._real()

    def http_date(self) -> str:
        """The simulated instant as a `Date` header."""
        return formatdate(self.now_us() // 1_000_000, usegmt=True)
