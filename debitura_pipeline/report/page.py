"""Render a `ReportPage` as HTML, and format amounts, dates and shares.

The template escapes everything except our own charts and style sheet.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from debitura_pipeline.report.model import Badge, ReportPage

CENT = Decimal("0.01")
TENTH = Decimal("0.1")
EMPTY = "–"
UNKNOWN_MONTH = "unknown"


def format_amount(value: Decimal | int | None) -> str:
    """`-1234.5650` -> `−1,234.56`: two decimals, half to even, a true minus sign."""
    if value is None:
        return EMPTY
    return _signed(Decimal(value).quantize(CENT, ROUND_HALF_EVEN))


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


def format_month(label: str) -> str:
    """`2026-03` -> `Mar 2026`; `unknown` stands for a missing date."""
    return "Date not known" if label == UNKNOWN_MONTH else f"{date.fromisoformat(f'{label}-01'):%b %Y}"


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


def sentence(text: str) -> str:
    """A report's text with a full stop at the end."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def plain_number(value: Decimal | int) -> str:
    """A number for machines: all decimals, no exponent."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def cell(value: Any, kind: str) -> str:
    """The text of a table cell of `kind`."""
    if value is None:
        return EMPTY
    if isinstance(value, Badge):
        return value.text
    writers: dict[str, Any] = {
        "money": format_amount,
        "percent": format_percent,
        "count": format_count,
        "days": format_count,
        "date": format_day,
        "instant": format_datetime,
    }
    return str(writers.get(kind, str)(value))


def render(page: ReportPage) -> str:
    """The page as one self-contained HTML string."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - not needed to import the report
    from markupsafe import Markup  # noqa: PLC0415

    environment = Environment(
        loader=PackageLoader("debitura_pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": format_amount,
        "count": format_count,
        "exact": plain_number,
        "instant": format_datetime,
        "cell": cell,
    }
    environment.filters["own_markup"] = Markup  # pictures that charts.py drew and the style sheet, nothing else
    environment.tests["number"] = lambda value: isinstance(value, Decimal | int)
    environment.tests["verdict"] = lambda value: isinstance(value, Badge)
    style = environment.loader.get_source(environment, "page.css")[0] if environment.loader else ""
    return environment.get_template("partner-report.html.j2").render(page=page, style=style)


def _signed(value: Decimal) -> str:
    return f"{'−' if value < 0 else ''}{abs(value):,f}"
