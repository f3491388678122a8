"""Decode response bodies (size limit, gzip, JSON) and redact paths for messages. No HTTP library is needed."""

from __future__ import annotations

import codecs
import json
import zlib
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from debitura_pipeline.api.json_scan import OutlineError, check_one_value
from debitura_pipeline.errors import ApiError, ShapeError, TransientApiError
from debitura_pipeline.settings import LOOPBACK

MAX_BODY_BYTES = 32 * 1024 * 1024  # a page of 100 rows is about 90 kB; more than this is no page
MAX_INT_DIGITS = 100  # more are no count of anything, and Python refuses to print thousands of them
_GZIP = 16 + zlib.MAX_WBITS
# The words of the API's own paths. Any other segment is an id, which a partner may have made from an e-mail address.
_WORDS = frozenset(
    {"cases", "clients", "reporting", "transactions", "me", "oauth", "token", "coverage", "v1", "Webhooks"}
)


def parse_base_url(base_url: str) -> tuple[str, str, str]:
    """Split an API's address into scheme, host with port, and path. Raises ApiError if it is not https (except on this
    machine) or holds user, password or query."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ApiError("The API's address must use https, except on this machine.")
    if parts.username is not None or parts.query:
        raise ApiError("The API's address holds more than a host and a path.")
    return parts.scheme, parts.netloc, parts.path.rstrip("/")


def decompress(body: bytes, encoding: str | None, name: str) -> bytes:
    """A response body without gzip and byte order mark, at most 32 MiB.

    Raises ApiError for a larger one, since a retry would not help, and TransientApiError for invalid compression.
    """
    packing = (encoding or "").strip().lower()
    if packing in ("gzip", "x-gzip"):
        body = _gunzip(body, name)
        if len(body) > MAX_BODY_BYTES:
            raise body_too_large(name)
    elif packing not in ("", "identity"):
        raise TransientApiError(f"{name} has a content encoding that was not requested.")
    return body.removeprefix(codecs.BOM_UTF8)


def body_too_large(name: str) -> ApiError:
    """The error for a response larger than MAX_BODY_BYTES."""
    return ApiError(f"{name} failed: the answer is larger than {MAX_BODY_BYTES // 1024**2} MiB. Not retried.")


def _gunzip(packed: bytes, name: str) -> bytes:
    """All members of a gzip body, at most one byte over the limit, so that a small body cannot fill the memory."""
    parts, room = [], MAX_BODY_BYTES + 1
    while packed and room > 0:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            parts.append(unpacker.decompress(packed, room))
        except zlib.error:
            raise TransientApiError(f"{name}: the body's gzip encoding is invalid.") from None
        room -= len(parts[-1])
        if not unpacker.eof and room > 0:
            raise TransientApiError(f"{name}: the body was cut off.")
        packed = unpacker.unused_data.lstrip(b"\0")  # a member may be padded
    return b"".join(parts)


def parse_document(body: bytes, name: str) -> Any:
    """Parse JSON; fractions and exponents as Decimal, None for an empty body.

    Invalid UTF-8 becomes lone surrogates; `NaN` and integers of over 100 digits become Decimals. Raises TransientApiError if
    it is not JSON, ShapeError if it is nested too deeply.
    """
    try:
        return parse_lenient(body) if body else None
    except ValueError:
        raise _not_json(body, name) from None
    except RecursionError:
        raise ShapeError(f"{name} returned JSON that is nested too deeply.") from None


def parse_lenient(body: bytes) -> Any:
    """Parse any JSON, however unusual its values. Raises ValueError, or RecursionError if it is nested too deeply."""
    text = body.decode("utf-8", "surrogateescape")
    return json.loads(text, parse_float=_decimal, parse_int=_whole, parse_constant=Decimal, strict=False)


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) <= MAX_INT_DIGITS else Decimal(text)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all reason
        return Decimal("Infinity")


def check_json(body: bytes, name: str) -> bytes:
    """Return the body if it is one JSON value by its structure; values are not checked. Raises TransientApiError."""
    try:
        check_one_value(body)
    except OutlineError:
        raise _not_json(body, name) from None
    return body


def _not_json(body: bytes, name: str) -> TransientApiError:
    if body.lstrip()[:1] == b"<":
        return TransientApiError(
            f"{name} returned a web page (HTML), not JSON: from another server, a proxy or a login page."
        )
    return TransientApiError(f"{name} returned incomplete or invalid JSON ({len(body)} bytes).")


def redact_path(path: str) -> str:
    """A path for messages: the API's own words stay, ids become an ellipsis."""
    return "/".join(part if part in _WORDS or not part else "…" for part in path.split("/"))
