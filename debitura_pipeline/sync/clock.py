"""The clock of a sync: the API's, as long as it can be believed. Pure but for the monotonic clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

SKEW_REPORTED = timedelta(minutes=5)
DATE_STEP = timedelta(
    seconds=2
)  # a Date header has whole seconds; what is closer together may seem to be in the other order
SKEW_BELIEVED = timedelta(days=1)  # more is a wrong clock and no time zone: nobody's answers are dated like that


@dataclass(frozen=True)
class SyncClock:
    """`at` when `monotonic` gave `since`. `ahead`: how far the API's own clock, believed or not, is beyond it."""

    at: datetime
    ahead: timedelta
    message: str | None
    since: float
    monotonic: Callable[[], float]

    def now(self) -> datetime:
        """The instant, aware UTC."""
        return self.at + timedelta(seconds=self.monotonic() - self.since)

    def latest(self) -> datetime:
        """Up to where listings are asked for: by the later of both clocks, so that no row is left out for its date."""
        return self.now() + self.ahead


def sync_clock(
    stated: datetime | None, machine: datetime, monotonic: Callable[[], float], *, is_simulated: bool
) -> SyncClock:
    """The clock to go by. `stated` is the API's, None where no answer was dated; a simulated API's is its own affair."""
    skew = (stated or machine) - machine
    if stated is not None and (is_simulated or abs(skew) <= SKEW_BELIEVED):
        told = f"the API's clock is {skew.total_seconds():.0f} s off this machine's; the API's counts"
        is_told = abs(skew) > SKEW_REPORTED and not is_simulated
        return SyncClock(stated, timedelta(0), told if is_told else None, monotonic(), monotonic)
    told = f"the API's clock is {skew.total_seconds():.0f} s off this machine's, more than a day; this machine's counts"
    return SyncClock(machine, max(skew, timedelta(0)), told if stated else None, monotonic(), monotonic)


def after(now: datetime, newest: datetime | None) -> tuple[datetime, str | None]:
    """The instant of a sync that begins `now` and whose predecessor was at `newest`, and what to say of it.

    Instants go up from sync to sync whatever the clocks did, or versions in the history would end before they began.
    """
    if newest is None or newest < now:
        return now, None
    ahead = (newest - now).total_seconds()
    told = (
        f"the sync before it was dated {ahead:.0f} s ahead of now ({newest:%Y-%m-%d %H:%M} UTC); dated right after it"
    )
    return newest + timedelta(microseconds=1), told if newest - now > SKEW_REPORTED else None


def in_order(at: datetime, others: datetime | None) -> datetime:
    """The instant of a sync that begins after the newest sync of any resource, at `others`, was merged.

    Two syncs of one night each know the API's clock to a second, so the later one could be dated before the earlier one.
    """
    return others + timedelta(microseconds=1) if others is not None and at <= others <= at + DATE_STEP else at
