"""Bytes on their way in and out: a bounded body, unpacked, and what of an address may be shown.

Belongs here: what needs no HTTP library. Does not: statuses and retries. Called by `client.py` and `exchange.py`.
"""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from debitura_pipeline.errors import ApiError, ShapeError, TransientApiError
from debitura_pipeline.settings import LOOPBACK

MAX_BODY_BYTES = 32 * 1024 * 1024  # a page of 100 rows is about 90 kB; more than this is no page
_GZIP = 16 + zlib.MAX_WBITS
# The words of the API's own paths. Any other segment is an id, which a partner may have made from an e-mail address.
_WORDS = frozenset(
    {"cases", "clients", "reporting", "transactions", "me", "oauth", "token", "coverage", "v1", "Webhooks"}
)


def check_address(base_url: str) -> tuple[str, str, str]:
    """Scheme, host with port, and path of an API's address. Outside this machine it must be https."""
    parts = urlsplit(base_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ApiError("The API is spoken to over https only, except on this machine")
    if parts.username is not None or parts.query:
        raise ApiError("The API's address holds more than a host and a path")
    return parts.scheme, parts.netloc, parts.path.rstrip("/")


def unpack(body: bytes, encoding: str | None, name: str) -> bytes:
    """The body of an answer, at most 32 MiB of it.

    Raises ApiError for a larger one, which would be no better next time, and TransientApiError for a broken packing.
    """
    if encoding is None or encoding.lower() == "identity":
        return body
    if encoding.lower() != "gzip":
        raise TransientApiError(f"{name} came in a packing that was not asked for.")
    body = _unpacked(body, name)
    if len(body) > MAX_BODY_BYTES:
        raise too_large(name)
    return body


def too_large(name: str) -> ApiError:
    return ApiError(f"{name} failed: the answer is larger than {MAX_BODY_BYTES // 1024**2} MiB. Not retried.")


def _unpacked(packed: bytes, name: str) -> bytes:
    """Never more than one byte over the limit, however much a small body would swell to."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(packed, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise TransientApiError(f"{name}: the body is packed wrongly.") from None
    if not unpacker.eof and len(body) <= MAX_BODY_BYTES:
        raise TransientApiError(f"{name}: the body was cut off.")
    return body


def parse_document(body: bytes, name: str) -> Any:
    """JSON as Python values, numbers with a fraction or an exponent as Decimal; None where there is no body."""
    if not body:
        return None
    try:
        return json.loads(body, parse_float=Decimal)
    except ValueError:
        raise TransientApiError(f"{name} brought no whole JSON ({len(body)} bytes).") from None
    except RecursionError:
        raise ShapeError(f"{name} brought JSON nested beyond reason.") from None


def shown(path: str) -> str:
    """A path for messages: the API's own words stay, ids become an ellipsis."""
    return "/".join(part if part in _WORDS or not part else "…" for part in path.split("/"))
