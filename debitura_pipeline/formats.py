"""How amounts, counts, shares, dates and names are written for readers: on the page, in statements and in the dashboards."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")
TENTH = Decimal("0.1")
EMPTY = "–"
UNKNOWN_MONTH = "unknown"


def format_amount(value: Decimal | int | None) -> str:
    """`-1234.5650` -> `−1,234.56`: two decimals, half to even, a true minus sign."""
    if value is None:
        return EMPTY
    return _signed(in_cents(value))


def in_cents(value: Decimal | int) -> Decimal:
    """As it is printed: two decimals, half to even."""
    return Decimal(value).quantize(CENT, ROUND_HALF_EVEN)


def format_change(value: Decimal | int | None) -> str:
    """`12.5` -> `+12.50`: an amount whose sign matters."""
    return f"+{format_amount(value)}" if value is not None and value > 0 else format_amount(value)


def format_percent(value: Decimal | None) -> str:
    """A number in percent (70 is 70 %), one decimal."""
    return EMPTY if value is None else f"{_signed(Decimal(value).quantize(TENTH, ROUND_HALF_EVEN))} %"


def format_count(value: Decimal | int | None) -> str:
    """An integer with thousands separators; a fraction (average days) keeps one decimal."""
    if value is None:
        return EMPTY
    number = Decimal(value)
    return _signed(number.quantize(Decimal(1)) if number == number.to_integral() else number.quantize(TENTH))


def format_day(value: date | None) -> str:
    return EMPTY if value is None else f"{value.day} {value:%b %Y}"


def unbroken_day(value: date | None) -> str:
    """`format_day`, which no line break parts."""
    return format_day(value).replace(" ", "\N{NO-BREAK SPACE}")


def format_month(label: str | date | None) -> str:
    """`2026-03`, or a day of it, -> `Mar 2026`; `unknown` stands for a missing date."""
    if label is None or label == UNKNOWN_MONTH:
        return "Date not known"
    return f"{label if isinstance(label, date) else date.fromisoformat(f'{label}-01'):%b %Y}"


def format_datetime(value: datetime | None) -> str:
    """`22 Nov 2026, 02:14 UTC`."""
    if value is None:
        return EMPTY
    moment = value.astimezone(UTC)
    return f"{format_day(moment)}, {moment:%H:%M} UTC"


def title_case(name: str) -> str:
    """`onboarding_pending` -> `Onboarding pending`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _signed(value: Decimal) -> str:
    return f"{'−' if value < 0 else ''}{abs(value):,f}"
