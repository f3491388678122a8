"""Render a `ReportPage` as HTML, and format amounts, dates and shares.

The template escapes everything except our own charts and style sheet.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from debitura_pipeline.report.model import Badge, ReportPage

CENT = Decimal("0.01")
TENTH = Decimal("0.1")
EMPTY = "–"
UNKNOWN_MONTH = "unknown"
_ISO_DAY = re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])")
_FOUR_DECIMALS = re.compile(r"(?<![\w.-])-?\d+\.\d{4}(?![\w.])")


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


def sentence(text: str) -> str:
    """A report's text with a full stop at the end, its dates and amounts written as everywhere on the page."""
    text = _ISO_DAY.sub(lambda found: _spelled_out(found[0]), text)
    text = _FOUR_DECIMALS.sub(lambda found: format_amount(Decimal(found[0])), text)
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
        "change": format_change,
        "percent": format_percent,
        "count": format_count,
        "days": format_count,
        "date": format_day,
        "month": format_month,
        "instant": format_datetime,
    }
    return str(writers.get(kind, str)(value))


def render(page: ReportPage) -> str:
    """The page as one self-contained HTML string."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - not needed to import the report
    from markupsafe import Markup  # noqa: PLC0415

    loader = PackageLoader("debitura_pipeline.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "amount": format_amount, "change": format_change, "count": format_count, "exact": plain_number,
        "instant": format_datetime, "cell": cell,
    }  # fmt: skip
    environment.filters["own_markup"] = Markup  # pictures, the style sheet and the script, nothing else
    environment.tests |= {
        "number": lambda value: isinstance(value, Decimal | int),
        "day": lambda value: isinstance(value, date),
        "verdict": lambda value: isinstance(value, Badge),
    }
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    template = environment.get_template("partner-report.html.j2")
    return template.render(page=page, style=style, script=script, script_hash=_script_hash(script))


def _script_hash(script: str) -> str:
    """The script's hash as the page's Content-Security-Policy names it: no other script runs."""
    return f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _spelled_out(iso: str) -> str:
    try:
        return format_day(date.fromisoformat(iso))
    except ValueError:  # digits that are no date
        return iso


def _signed(value: Decimal) -> str:
    return f"{'−' if value < 0 else ''}{abs(value):,f}"
