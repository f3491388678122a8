"""Parse error responses: error codes, field names, `retryAfter` and HTTP dates.

A body may repeat what was sent, so no sentence of it is kept, and a word only if it consists of ordinary words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from debitura_pipeline.api.encoding import parse_lenient
from debitura_pipeline.api.label_words import is_label

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")  # one word like `ValidationError`, never a sentence or an address
_TYPE_URL = re.compile(r"https?://[^\s?#]*/([A-Za-z][A-Za-z0-9_-]{0,63})")  # as problem details may give it
_FIELD = re.compile(r"[A-Za-z$][A-Za-z0-9_$.\[\]]{0,63}")
_PLACES = re.compile(r"[$.\[\]\d]+")  # separators in `$.client.contacts[0].email`
MAX_RETRY_AFTER_S = 366 * 86_400.0  # longer values are nonsense, and overflow dates
_CODE_KEYS = frozenset({"error", "type", "code"})
_NO_FIELDS = frozenset(
    {"error", "message", "businesserrors", "errors", "type", "title", "status", "detail", "instance", "traceid"}
    | {"code", "data", "solutionurl", "retryafter", "signinghandoff"}
)
_OWN_KEYS = frozenset({"businesserrors", "businessrule", "conflictresponse", "signinghandoff"})  # of no other API


def parse_error_body(body: bytes) -> tuple[list[str], list[str]]:
    """Error codes and field names in an error body, in order, without repeats; empty if there are none.

    Reads the structured object (`businessErrors`, `error`), a plain mapping of fields to messages, and ASP.NET's problem
    details (`errors`).
    """
    parsed = _parsed(body)
    return list(dict.fromkeys(_codes(parsed))), list(dict.fromkeys(_fields(parsed)))


def has_error_shape(document: Any) -> bool:
    """Whether a JSON value is shaped like one of the documented errors; what a gateway makes up mostly is not.

    These are the structured object, problem details, and names of fields or rules, each with a list of messages.
    """
    if not isinstance(document, dict):
        return False
    fields = {name.lower(): value for name, value in document.items()}
    return (
        not _OWN_KEYS.isdisjoint(fields)
        or any(isinstance(fields.get(name), str) for name in ("error", "type", "title"))
        or (isinstance(fields.get("detail"), str) and isinstance(fields.get("status"), int))
        or _are_messages(fields.get("errors"))
        or _are_messages(fields)
    )


def _are_messages(value: Any) -> bool:
    """Whether it is an object whose members are lists of texts, and none of them empty."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(each, list) and each and all(isinstance(one, str) for one in each) for each in value.values()
        )
    )


def is_documented_error(body: bytes) -> bool:
    """Whether the body of a response has that shape."""
    return has_error_shape(_object(body))


def is_json_object(body: bytes) -> bool:
    """Whether a body is a JSON object, as every documented error is."""
    return _object(body) is not None


def retry_after(body: bytes, header: str | None, clocks: Sequence[datetime]) -> float | None:
    """Seconds to wait as stated by a response, at most a year: `retryAfter` in the body, else the `Retry-After` header; None
    if it states neither.

    `clocks`: the response's and this machine's. A date is compared with the nearer one, since either may be wrong.
    """
    stated = next((value for name, value in _parsed(body).items() if name.lower() == "retryafter"), None)
    for value in (stated, header):
        seconds = _seconds(value)
        if seconds is None and isinstance(value, str) and (at := parse_http_date(value)) is not None:
            seconds = max(min((at - now).total_seconds() for now in clocks), 0.0)
        if seconds is not None:
            return min(seconds, MAX_RETRY_AFTER_S)
    return None


def parse_http_date(text: str | None) -> datetime | None:
    """An HTTP date as aware UTC; None if missing or invalid."""
    try:
        at = parsedate_to_datetime(text) if text else None
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC) if at is not None else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _parsed(body: bytes) -> dict[str, Any]:
    return _object(body) or {}


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = parse_lenient(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
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
            if name.lower() in _CODE_KEYS and isinstance(value, str):
                named = _TYPE_URL.fullmatch(value)
                code = named[1] if named else value
                if _CODE.fullmatch(code) and is_label(code):
                    yield code


def _fields(parsed: dict[str, Any]) -> Iterator[str]:
    nested = next((value for name, value in parsed.items() if name.lower() == "errors"), None)
    for name, value in (nested if isinstance(nested, dict) else parsed).items():
        if name.lower() not in _NO_FIELDS and isinstance(value, list) and _is_field(name):
            yield name


def _is_field(name: str) -> bool:
    """Whether a name consists of ordinary words, as the API's parameters do; a key may also be something that was sent."""
    return _FIELD.fullmatch(name) is not None and is_label(_PLACES.sub(" ", name).strip())
