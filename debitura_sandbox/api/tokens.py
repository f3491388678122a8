"""Tokens for the Customer API: JWTs (HS256, valid for 30 minutes). A token stops working when its client is unlinked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import numpy as np

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Response, answer, failure, not_found

TOKEN_LIFE_S = 1_800


def token(context: Context, wanted: dict[str, Any]) -> Response:
    """`POST /oauth/token`: 200, 400, or 404 if the client is not linked or has not signed everything."""
    tenant = wanted.get("externalTenantId")
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= 255:
        return failure(400, "ValidationError", "externalTenantId is needed, of 1 to 255 characters.")
    row = context.world.find_tenant(tenant)
    if row is None or not may_have_token(context, row):
        return not_found("An onboarded client")
    return answer(
        {
            "accessToken": mint(context, row),
            "expiresIn": TOKEN_LIFE_S,
            "creditorId": context.world.ids("clients", np.array([row]))[0],
            "externalTenantId": tenant,
            "tokenType": "Bearer",
        }
    )


def may_have_token(context: Context, row: int) -> bool:
    """Whether a client is linked and has signed; one that must sign again counts if `tokens_while_resigning` is set."""
    clients = context.world.clients
    is_resigning = bool(clients["is_upgrade"][row]) and context.undocumented.tokens_while_resigning
    return bool(clients["alive"][row]) and (bool(clients["done"][row]) or is_resigning)


def mint(context: Context, row: int) -> str:
    """A token for one client."""
    claims = {
        "sub": context.world.ids("clients", np.array([row]))[0],
        "row": row,
        "exp": context.clock.now_us() // 1_000_000 + TOKEN_LIFE_S,
    }
    head = _part({"alg": "HS256", "typ": "JWT"}) + "." + _part(claims)
    return head + "." + _sign(context, head)


def read_token(context: Context, text: str) -> int | None:
    """Row of the client that a token gives access to; None if it is forged, expired, or its link is gone."""
    head, _, signature = text.rpartition(".")
    if not hmac.compare_digest(_sign(context, head).encode(), signature.encode()):
        return None
    part = head.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    row = int(claims["row"])
    return row if may_have_token(context, row) and context.clock.now_us() < claims["exp"] * 1_000_000 else None


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _sign(context: Context, head: str) -> str:
    secret = f"sandbox-{context.world.options.seed}-{context.options.key}".encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, head.encode(), hashlib.sha256)).rstrip(b"=").decode()
