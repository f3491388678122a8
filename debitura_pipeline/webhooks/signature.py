"""Verify the signature of a delivery. Pure.

Source: the API signs `<t>.<raw body>` with HMAC-SHA256 under the Base64-decoded secret, and sends `t=<unix>,v1=<hex>`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from enum import Enum

from debitura_pipeline.settings import Secret

MAX_AHEAD_S = 30  # a stamp from the future beyond this is refused
MAX_HEADER_BYTES = 1024
MAX_STAMP_DIGITS = 12
MAX_SIGNATURES = 4  # in one header


class Verdict(Enum):
    """`STALE`: signed with a configured secret, but its stamp is too old. `FORGED`: anything else that is refused."""

    GENUINE = "genuine"
    STALE = "stale"
    FORGED = "forged"


class SignatureVerifier:
    """Verifies deliveries with any of `secrets`. `tolerance_s`: seconds that a signed stamp may be old."""

    def __init__(self, secrets: Sequence[Secret], tolerance_s: int) -> None:
        self._keys = [base64.b64decode(secret.reveal()) for secret in secrets]
        self._tolerance_s = tolerance_s

    def verify(self, header: bytes | None, body: bytes | bytearray, now: float) -> Verdict:
        """Verify a raw body by its `X-Debitura-Signature` header. `now`: seconds since 1970."""
        stamp, signatures = parse_header(header)
        if stamp is None:
            return Verdict.FORGED
        message = stamp + b"." + body
        is_signed = False
        for key in self._keys:  # all of them, so that the time taken does not tell which one matched
            expected = hmac.digest(key, message, "sha256").hex().encode()
            for signature in signatures:
                is_signed |= hmac.compare_digest(expected, signature)
        if not is_signed:
            return Verdict.FORGED
        age_s = now - int(stamp)
        if age_s < -MAX_AHEAD_S:
            return Verdict.FORGED
        return Verdict.STALE if age_s > self._tolerance_s else Verdict.GENUINE


def parse_header(header: bytes | None) -> tuple[bytes | None, list[bytes]]:
    """The stamp as it was signed, and the `v1` signatures. The stamp is None if the header is missing or malformed."""
    if header is None or len(header) > MAX_HEADER_BYTES:
        return None, []
    stamps, signatures = [], []
    for part in header.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t":
            stamps.append(value)
        elif name == b"v1":
            signatures.append(value)
    is_valid = len(stamps) == 1 and stamps[0].isdigit() and len(stamps[0]) <= MAX_STAMP_DIGITS
    if not is_valid or not 1 <= len(signatures) <= MAX_SIGNATURES:
        return None, []
    return stamps[0], signatures
