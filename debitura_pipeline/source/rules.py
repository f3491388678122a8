"""Rules for single values of a source: each returns the value as it is compared and hashed, or raises BrokenRule.

A rule's text never contains the value, which may be personal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias

from debitura_pipeline.source.places import COUNTRIES, CURRENCIES, country_code

Rule: TypeAlias = Callable[[str], str]

_AMOUNT = re.compile(r"(?:0|[1-9]\d*)(?:\.(\d+))?", re.ASCII)
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]00(?::?00)?)?)?", re.ASCII)
_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\]\\]+@[^\s@\"(),:;<>\[\]\\]+\.[^\s@.\"(),:;<>\[\]\\]{2,}")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNDECODED = re.compile("[\ud800-\udfff]")
MAX_DIGITS_AFTER_POINT = 18  # zeros at the end included, as in columns of a fixed scale
MAX_DECIMALS, MAX_INTEGER_DIGITS = 4, 14  # DECIMAL(18,4)
MAX_EMAIL = 320


class BrokenRule(ValueError):
    """A value breaks a rule; the message is the rule."""


def free_text(longest: int | None = None) -> Rule:
    """Any text that is not blank, of at most `longest` characters."""

    def rule(value: str) -> str:
        if not value.isprintable():  # rarely: neither pattern needs to be looked for in other texts
            if _UNDECODED.search(value):
                raise BrokenRule("is not valid UTF-8")
            if _CONTROL.search(value):
                raise BrokenRule("contains a control character")
        if not value or value.isspace():
            raise BrokenRule("consists of blanks only")
        if longest is not None and len(value) > longest:
            raise BrokenRule(f"is longer than {longest} characters")
        return value

    return rule


def key(longest: int) -> Rule:
    """An id on one line, without blanks at its ends, of at most `longest` characters."""
    is_text = free_text(longest)

    def rule(value: str) -> str:
        if is_text(value) != value.strip():
            raise BrokenRule("begins or ends with a blank")
        if not value.isprintable():
            raise BrokenRule("contains a line break or another character that cannot be printed")
        if value in (".", ".."):
            raise BrokenRule("consists of dots only")
        return value

    return rule


def email(value: str) -> str:
    """One e-mail address. Raises BrokenRule."""
    if len(value) > MAX_EMAIL or free_text()(value) != value.strip() or _EMAIL.fullmatch(value) is None:
        raise BrokenRule("is not an e-mail address")
    return value


def amount(value: str) -> str:
    """A decimal in plain notation, not negative, of at most four decimals (zeros at their end aside) and 14 digits before them.
    Raises BrokenRule."""
    found = _AMOUNT.fullmatch(value)
    if found is None:
        raise BrokenRule("is not an amount in plain decimal notation, such as 1250.50")
    if len(found[1] or "") > MAX_DIGITS_AFTER_POINT:
        raise BrokenRule(f"has more than {MAX_DIGITS_AFTER_POINT} digits after the decimal point")
    if len((found[1] or "").rstrip("0")) > MAX_DECIMALS:
        raise BrokenRule(f"has more than {MAX_DECIMALS} decimals")
    if len(value.partition(".")[0]) > MAX_INTEGER_DIGITS:
        raise BrokenRule(f"has more than {MAX_INTEGER_DIGITS} digits before the decimal point")
    return f"{Decimal(value).normalize():f}"


def positive_amount(value: str) -> str:
    """An amount above 0. Raises BrokenRule."""
    found = amount(value)
    if Decimal(found) <= 0:
        raise BrokenRule("is not above 0")
    return found


def currency(value: str) -> str:
    """ISO 4217, in upper case. Raises BrokenRule."""
    if value not in CURRENCIES:
        raise BrokenRule("is not a currency code of ISO 4217 in upper case")
    return value


def alpha2(value: str) -> str:
    """ISO 3166-1 alpha-2, in upper case. Raises BrokenRule."""
    if value not in COUNTRIES:
        raise BrokenRule("is not a country code of ISO 3166-1 alpha-2 in upper case")
    return value


def country(value: str) -> str:
    """An alpha-2 code or a country's name. Raises BrokenRule."""
    if len(free_text()(value).strip()) == 2 and country_code(value) is None:
        raise BrokenRule("is not a country code of ISO 3166-1 alpha-2")
    return value


def one_of(*words: str) -> Rule:
    """One of `words`, in any letter case."""

    def rule(value: str) -> str:
        if value.lower() not in words:
            raise BrokenRule(f"is none of {', '.join(words)}")
        return value.lower()

    return rule


@lru_cache(maxsize=4096)
def day(value: str) -> str:
    """A date, `2026-01-31`; a time of day is accepted if it is midnight."""
    found = _DAY.fullmatch(value)
    try:
        return date.fromisoformat(found[1]).isoformat() if found else _no_day()
    except ValueError:
        return _no_day()


def _no_day() -> str:
    raise BrokenRule("is not a date of the form 2026-01-31") from None
