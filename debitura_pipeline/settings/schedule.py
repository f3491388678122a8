"""The schedule of the nightly run: a cron expression for every day, and when it is next due. All in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from debitura_pipeline.settings.declaration import Given, ValueReader

DEFAULT_SCHEDULE = "0 2 * * *"
FIELDS = 5
HOURS, MINUTES = 24, 60


def daily(given: Given) -> str:
    """A cron expression whose days, months and weekdays are all `*`, since data older than 26 hours is reported as stale."""
    fields = given.text.split()
    if len(fields) != FIELDS:
        raise given.wrong("is not a cron expression, which has five fields: minute, hour, day, month, weekday")
    if any(field != "*" for field in fields[2:]):
        raise given.wrong("does not run every day; day, month and weekday must be *")
    try:
        times_of(given.text)
    except ValueError as fault:
        raise given.wrong(f"is not a cron expression: {fault}") from None
    return " ".join(fields)


def times_of(schedule: str) -> list[time]:
    """The times of a day, in UTC, in order. Raises ValueError with a fault in words."""
    minute, hour = schedule.split()[:2]
    minutes, hours = _numbers(minute, MINUTES, "minute"), _numbers(hour, HOURS, "hour")
    return [time(hour, minute, tzinfo=UTC) for hour in hours for minute in minutes]


def next_due(schedule: str, now: datetime) -> datetime:
    """The first time after `now` (aware)."""
    today, times = now.astimezone(UTC).date(), times_of(schedule)
    tomorrow = datetime.combine(today + timedelta(days=1), times[0])
    return next((due for at in times if (due := datetime.combine(today, at)) > now), tomorrow)


def hours_later(schedule: str, hours: int) -> str:
    """The cron expression for `hours` after the day's first time."""
    first = times_of(schedule)[0]
    return f"{first.minute} {(first.hour + hours) % HOURS} * * *"


def _numbers(field: str, limit: int, what: str) -> list[int]:
    """`*`, numbers, ranges and steps, comma-separated, below `limit`."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = ("0", "-", str(limit - 1)) if span == "*" else span.partition("-")
        words = [first, *([last] if dash else []), *([step] if slash else [])]
        if not all(word.isascii() and word.isdecimal() for word in words) or (slash and int(step) == 0):
            raise ValueError(f"the {what} is not a number, a range, a step or *")
        low = int(first)
        high = int(last) if dash else limit - 1 if slash else low
        if not low <= high < limit:
            raise ValueError(f"the {what} is outside 0 to {limit - 1}")
        if (dash or slash) and low == high:  # Dagster's scheduler takes it for every value
            raise ValueError(f"the {what} has a range of one value")
        found.update(range(low, high + 1, int(step) if slash else 1))
    return sorted(found)


DAILY = ValueReader("a cron expression for every day", daily)
