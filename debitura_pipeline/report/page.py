"""Render a `ReportPage` as HTML.

The template escapes everything except our own charts and style sheet.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import date
from decimal import Decimal
from typing import Any

from debitura_pipeline.formats import (
    EMPTY,
    format_amount,
    format_change,
    format_count,
    format_datetime,
    format_day,
    format_month,
    format_percent,
)
from debitura_pipeline.report.model import Badge, Link, ReportPage

_ISO_DAY = re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])")
_FOUR_DECIMALS = re.compile(r"(?<![\w.-])-?\d+\.\d{4}(?![\w.])")
LONGEST_NAME = 120


def sentence(text: str) -> str:
    """A report's text with a full stop at the end, its dates and amounts written as everywhere on the page."""
    text = _ISO_DAY.sub(lambda found: _spelled_out(found[0]), text)
    text = _FOUR_DECIMALS.sub(lambda found: format_amount(Decimal(found[0])), text)
    return text if text.endswith((".", "!", "?")) else f"{text}."


def plain_number(value: Decimal | int) -> str:
    """A number for machines: all decimals, no exponent."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _amount_or_count(value: Decimal | int) -> str:
    """A column of money can also hold counts, which are integers."""
    return format_count(value) if isinstance(value, int) else format_amount(value)


def client_name(name: str | None) -> str:
    """A client's name; `Unknown client` if there is none, or none with a visible character."""
    is_visible = any(character.isprintable() and not character.isspace() for character in name or "")
    return str(name) if is_visible else "Unknown client"


def cell(value: Any, kind: str) -> str:
    """The text of a table cell of `kind`. Names are shortened: one of ten thousand characters would hide all others."""
    if value is None:
        return EMPTY
    if kind == "text" and isinstance(value, str) and len(value) > LONGEST_NAME:
        return f"{value[:LONGEST_NAME].rstrip()}…"
    if isinstance(value, Badge | Link):
        return value.text
    writers: dict[str, Any] = {
        "money": _amount_or_count,
        "change": format_change,
        "percent": format_percent,
        "count": format_count,
        "days": format_count,
        "date": format_day,
        "month": format_month,
        "instant": format_datetime,
    }
    return str(writers.get(kind, str)(value))


def render(page: ReportPage, template: str = "partner-report.html.j2") -> str:
    """The page as one self-contained HTML string. `template`: of this package's folder `templates`."""
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
        "link": lambda value: isinstance(value, Link),
    }
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    return environment.get_template(template).render(
        page=page, style=style, script=script, script_hash=_script_hash(script)
    )


def _script_hash(script: str) -> str:
    """The script's hash as the page's Content-Security-Policy names it: no other script runs."""
    return f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _spelled_out(iso: str) -> str:
    try:
        return format_day(date.fromisoformat(iso))
    except ValueError:  # digits that are no date
        return iso
