"""What an answer that is no page says: which error, and how long to wait. Only codes and field names are taken over.

Belongs here: the shapes of error bodies, `retryAfter`, the `Date` header. Does not: deciding what to do about it.
Called by `exchange.py`. A body may repeat what was sent, so no value and no sentence of it ever leaves this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

import msgspec

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")  # one word, as `ValidationError`: never a sentence, never an address
_FIELD = re.compile(r"[A-Za-z$][A-Za-z0-9_$.\[\]]{0,63}")
_CODE_KEYS = frozenset({"error", "type", "code"})
_NO_FIELDS = frozenset(
    {"error", "message", "businesserrors", "errors", "type", "title", "status", "detail", "instance", "traceid"}
    | {"code", "data", "solutionurl", "retryafter", "signinghandoff"}
)


def read_refusal(body: bytes) -> tuple[list[str], list[str]]:
    """Error codes and field names of an error body, in order, without repeats; both empty where it says nothing.

    Reads the structured object (`businessErrors`, `error`), the bare mapping of fields to messages, and ASP.NET's
    problem details (`errors`).
    """
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [], []
    if not isinstance(parsed, dict):
        return [], []
    return list(dict.fromkeys(_codes(parsed))), list(dict.fromkeys(_fields(parsed)))


def wait_asked(body: bytes, header: str | None, now: datetime) -> float | None:
    """Seconds that a 429 asks to wait: `retryAfter` of the body, else the `Retry-After` header, else None."""
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parsed = None
    stated = (
        next((v for k, v in parsed.items() if k.lower() == "retryafter"), None) if isinstance(parsed, dict) else None
    )
    for text in (stated, header):
        seconds = _seconds(text)
        if seconds is not None:
            return seconds
    at = read_date(header)
    return max((at - now).total_seconds(), 0.0) if at is not None else None


def read_date(text: str | None) -> datetime | None:
    """An HTTP date as aware UTC, None where it is missing or no date."""
    try:
        at = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC) if at is not None else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _codes(parsed: dict[str, Any]) -> Iterator[str]:
    errors = next((value for name, value in parsed.items() if name.lower() == "businesserrors"), None)
    for block in [*(errors if isinstance(errors, list) else []), parsed]:
        for name, value in block.items() if isinstance(block, dict) else ():
            if name.lower() in _CODE_KEYS and isinstance(value, str) and _CODE.fullmatch(value):
                yield value


def _fields(parsed: dict[str, Any]) -> Iterator[str]:
    nested = next((value for name, value in parsed.items() if name.lower() == "errors"), None)
    for name, value in (nested if isinstance(nested, dict) else parsed).items():
        if name.lower() not in _NO_FIELDS and isinstance(value, list) and _FIELD.fullmatch(name):
            yield name
