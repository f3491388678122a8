"""Format instants and durations: `02:00 UTC, 6 h ago`. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def format_age(at: datetime, now: datetime) -> str:
    """`02:00 UTC, 6 h ago`, with the date unless it is today's."""
    return f"{format_clock_time(at, now)}, {format_ago(at, now)}"


def format_clock_time(at: datetime, now: datetime) -> str:
    """`02:00 UTC`, with the date unless it is today's."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def format_ago(at: datetime, now: datetime) -> str:
    """`just now`, `6 h ago`, or `in 5 min` if the clocks disagree."""
    if now < at:
        return f"in {format_duration(at - now)}" if at - now >= timedelta(minutes=1) else "just now"
    return f"{format_duration(now - at)} ago" if now - at >= timedelta(minutes=1) else "just now"


def format_duration(span: timedelta) -> str:
    """In the unit that people would use: `40 s`, `12 min`, `6 h`, `30 h`, `3 days`. Rounded down."""
    seconds = int(span.total_seconds())
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 90 * 60:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} days"
