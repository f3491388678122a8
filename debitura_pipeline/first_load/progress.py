"""What is known of one part while a first load is read, and whether its worker is lost. Pure; instants are a monotonic clock's."""

from __future__ import annotations

from dataclasses import dataclass, field

from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.first_load.plan import Beat, LoadPart

BEAT_S = 4.0
SILENT_S = 20.0  # a worker says something every four seconds
ADVANCES_WITHIN_S = 420.0  # between two requests; one may wait five minutes for the rate limit
BEGINS_WITHIN_S = 20.0  # once the message is taken; the process starts in two seconds
ASK_S = 5.0


@dataclass
class Heard:
    """An attempt's last beat, since when it is known, and since when that number of requests is."""

    beat: Beat
    at: float
    advanced_at: float


@dataclass
class PartProgress:
    """One part. `sent_at`: when it was put on the queue, or first heard of; `is_own`: this process reads or has read it;
    `is_lost`: no worker will finish it. `failed`: attempts that were given up."""

    part: LoadPart
    windows: list[VerifiedWindow] | None = None
    sent_at: float | None = None
    is_own: bool = False
    is_lost: bool = False
    failed: set[str] = field(default_factory=set)
    _heard: dict[str, Heard] = field(default_factory=dict)
    _asked_at: float = 0.0
    _gone_since: float | None = None
    _has_failed: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it is read."""
        return self.windows is not None

    @property
    def is_over(self) -> bool:
        """Whether no worker is to read it any more."""
        return self.is_done or self.is_own or self.is_lost

    @property
    def is_begun(self) -> bool:
        """Whether a worker has been heard of."""
        return bool(self._heard)

    def heard(self, attempt: str, beat: Beat, now: float) -> None:
        """Note an attempt's last beat, which may be a known one."""
        before = self._heard.get(attempt)
        if before is None:
            self._heard[attempt] = Heard(beat, now, now)
        elif beat != before.beat:
            advanced_at = now if beat.requests != before.beat.requests else before.advanced_at
            self._heard[attempt] = Heard(beat, now, advanced_at)
        self.sent_at = now if self.sent_at is None else self.sent_at

    def given_up(self, attempt: str) -> None:
        """Note that an attempt was given up. One from before this process sent the part means nothing."""
        self.failed.add(attempt)
        self._heard.pop(attempt, None)
        self._has_failed |= self.sent_at is not None

    def is_to_be_asked_for(self, now: float) -> bool:
        """Whether the queue is to be asked if the part is still there."""
        return self.sent_at is not None and not self._heard and now - max(self.sent_at, self._asked_at) >= ASK_S

    def asked_for(self, now: float, *, is_waiting: bool) -> None:
        """Note whether the part is still on the queue."""
        self._asked_at = now
        self._gone_since = None if is_waiting else now if self._gone_since is None else self._gone_since

    def is_lost_at(self, now: float) -> bool:
        """Whether no worker reads the part and none will: the run must."""
        if any(
            now - heard.at < SILENT_S and now - heard.advanced_at < ADVANCES_WITHIN_S for heard in self._heard.values()
        ):
            return False
        is_gone = self._gone_since is not None and now - self._gone_since >= BEGINS_WITHIN_S
        return bool(self._heard) or self._has_failed or is_gone
