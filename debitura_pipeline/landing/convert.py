"""Convert one JSON value to its column's type (row path). Accepts what Arrow's reader accepts, with the same result.

Ids and instants stay text here; `validators.py` checks them in bulk.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

from debitura_pipeline.contract.tables import Kind
from debitura_pipeline.landing.unknown_fields import exact_decimal

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TEN_THOUSANDTH = Decimal("0.0001")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_LARGEST_MONEY = Decimal("99999999999999.9999")
_LARGEST_COUNT = 2**63 - 1
EMPTY_IS_NULL = frozenset({Kind.ID, Kind.INSTANT, Kind.BOOL, Kind.COUNT, Kind.MONEY})


class InvalidValue(Exception):
    """A value does not match its column's type. The message says why, never what the value is."""


def convert(kind: Kind, value: Any) -> Any:
    """A value as its column stores it; ids and instants stay text. Raises InvalidValue."""
    return _CONVERTERS[kind](value)


def _text(value: Any) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return str(value)
    if not isinstance(value, str):
        raise InvalidValue("is not a text")
    if "\0" in value or not _is_unicode(value):
        raise InvalidValue("is not valid text")
    return value


def _written(value: Any) -> str:
    """Ids and instants must be text; their content is validated in bulk."""
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        raise InvalidValue("is not a text")
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("is not true or false")
    return value


def _number(value: Any) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = exact_decimal(value)
    if not isinstance(value, Decimal) or value.is_nan():
        raise InvalidValue("is not a number")
    return value


def _money(value: Any) -> Decimal:
    number = _number(value)
    try:
        rounded = number.quantize(_TEN_THOUSANDTH, context=_EXACT)
    except InvalidOperation:
        raise InvalidValue("is out of range") from None
    if rounded.copy_abs() > _LARGEST_MONEY:
        raise InvalidValue("is out of range")
    return rounded


def _count(value: Any) -> int:
    number = _number(value)
    if number.copy_abs() > _LARGEST_COUNT:
        raise InvalidValue("is out of range")
    if number != number.to_integral_value():
        raise InvalidValue("is not a whole number")
    return int(number)


_CONVERTERS: dict[Kind, Callable[[Any], Any]] = {
    Kind.BOOL: _bool,
    Kind.COUNT: _count,
    Kind.MONEY: _money,
    Kind.ID: _written,
    Kind.INSTANT: _written,
    Kind.TEXT: _text,
    Kind.LABEL: _text,
    Kind.BUSINESS_KEY: _text,
    Kind.DEBTOR_NAME: _text,
    Kind.DEBTOR_KEY: _text,
}
