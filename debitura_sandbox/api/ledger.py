"""A ledger of every writing request that was received, so that tests can prove what was sent how often.

Bodies are kept as keyed hashes only.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from debitura_sandbox.api.http import Request, Response
from debitura_sandbox.world.columns import from_us

KEPT_ENTRIES = 200_000
READING_POSTS = ("/oauth/token", "/cases/preview", "/customer/cases/preview")


@dataclass
class LedgerEntry:
    """One writing request. `status`: as sent, 0 where the connection was broken; `result`: the status that the request had by
    itself, 0 if it had no effect (yet); `effect`: created, replayed, repeated, refused or done; empty if it had none (yet).

    `at`: simulated, ISO 8601 UTC; `received_s`: real seconds since 1970.
    """

    number: int
    method: str
    path: str
    tenant: str | None
    reference: str | None
    key: str | None
    body_hash: str
    at: str
    received_s: float
    status: int = 0
    result: int = 0
    effect: str = ""
    subject: str | None = None
    error_types: tuple[str, ...] = ()
    fault: str | None = None

    def record(self, response: Response) -> None:
        """Note what the request did."""
        self.result, self.subject = response.status, response.subject
        self.effect = response.effect or ("done" if response.status < 300 else "refused")
        self.error_types = _error_types(response) if response.status >= 300 else ()

    def document(self) -> dict[str, Any]:
        """The entry as the admin API shows it."""
        return asdict(self)


class Ledger:
    """The entries, oldest first; beyond KEPT_ENTRIES, the oldest are forgotten."""

    def __init__(self, secret: str) -> None:
        self.entries: deque[LedgerEntry] = deque(maxlen=KEPT_ENTRIES)
        self._secret, self._count = secret.encode(), 0

    def open(self, request: Request, tenant: str | None, now_us: int, now_s: float) -> LedgerEntry:
        """A new entry for a request. `tenant`: whose token it carries."""
        self._count += 1
        body, at = _body(request), from_us(now_us).isoformat()
        entry = LedgerEntry(
            self._count, request.method, request.path, tenant or _tenant(request, body), _text(body, "creditorReference"),
            request.headers.get("idempotency-key"), self.digest(request.body), at, now_s,
        )  # fmt: skip
        self.entries.append(entry)
        return entry

    def digest(self, body: bytes) -> str:
        """A keyed hash of a body, by which bodies are compared without being kept."""
        return hmac.digest(self._secret, body, hashlib.sha256).hex()


def is_writing(request: Request) -> bool:
    """Whether a request is one that may change something."""
    return request.method not in ("GET", "HEAD") and request.path not in READING_POSTS


def _body(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _text(body: dict[str, Any], name: str) -> str | None:
    return str(body[name]) if body.get(name) is not None else None


def _tenant(request: Request, body: dict[str, Any]) -> str | None:
    parts = request.path.strip("/").split("/")
    return unquote(parts[1]) if parts[0] == "clients" and len(parts) > 1 else _text(body, "externalTenantId")


def _error_types(response: Response) -> tuple[str, ...]:
    body = _body(Request("", "", body=response.body))
    listed = body.get("businessErrors")
    if isinstance(listed, list):
        return tuple(str(error.get("type")) for error in listed)
    return (str(body["type"]),) if response.status == 409 and body.get("type") else ()
