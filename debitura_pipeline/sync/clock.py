"""The clock of a sync: the API's if it is plausible, otherwise this machine's. Pure except for the monotonic clock passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

SKEW_REPORTED = timedelta(minutes=5)
DATE_STEP = timedelta(seconds=2)  # a Date header has whole seconds, so closer instants may appear in the wrong order
SKEW_BELIEVED = timedelta(days=1)  # a larger skew is a wrong clock, not a wrong time zone


@dataclass(frozen=True)
class SyncClock:
    """A clock that was at `at` when `monotonic()` returned `since`. `ahead`: how far the API's own clock is ahead of it.
    `message`: about a skew that should be reported, else None."""

    at: datetime
    ahead: timedelta
    message: str | None
    since: float
    monotonic: Callable[[], float]

    def now(self) -> datetime:
        """The current instant, aware UTC."""
        return self.at + timedelta(seconds=self.monotonic() - self.since)

    def latest(self) -> datetime:
        """The upper bound of listings, by the later of both clocks, so that no row is excluded because of its date."""
        return self.now() + self.ahead


def sync_clock(
    stated: datetime | None, machine: datetime, monotonic: Callable[[], float], *, is_simulated: bool
) -> SyncClock:
    """Choose the clock. `stated`: the API's `Date`, None if there was none. A simulated API's clock is always used."""
    skew = (stated or machine) - machine
    if stated is not None and (is_simulated or abs(skew) <= SKEW_BELIEVED):
        message = f"the API's clock is {skew.total_seconds():.0f} s off this machine's; the API's is used"
        is_reported = abs(skew) > SKEW_REPORTED and not is_simulated
        return SyncClock(stated, timedelta(0), message if is_reported else None, monotonic(), monotonic)
    message = (
        f"the API's clock is {skew.total_seconds():.0f} s off this machine's, more than a day; this machine's is used"
    )
    return SyncClock(machine, max(skew, timedelta(0)), message if stated else None, monotonic(), monotonic)


def after(now: datetime, newest: datetime | None) -> tuple[datetime, str | None]:
    """The instant of a sync that begins `now` after one at `newest`, and a message if it differs much from `now`.

    Instants must increase from sync to sync whatever the clocks do; otherwise versions in the history would end before they began.
    """
    if newest is None or newest < now:
        return now, None
    ahead = (newest - now).total_seconds()
    message = (
        f"the sync before it was dated {ahead:.0f} s ahead of now ({newest:%Y-%m-%d %H:%M} UTC); dated right after it"
    )
    return newest + timedelta(microseconds=1), message if newest - now > SKEW_REPORTED else None


def after_all_syncs(at: datetime, others: datetime | None) -> datetime:
    """The instant of a sync that begins after the newest sync of any resource, at `others`, was merged.

    The API's clock has a resolution of one second, so without this a later sync could be dated before an earlier one.
    """
    return others + timedelta(microseconds=1) if others is not None and at <= others <= at + DATE_STEP else at
