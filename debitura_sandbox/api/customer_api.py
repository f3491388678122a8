"""A small part of the Customer API, under `/customer`, enough to try a token issued by `POST /oauth/token`.

Tokens are JWTs (HS256, valid for 30 minutes). A token stops working when its client is unlinked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import numpy as np

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import case_document, client_document
from debitura_sandbox.api.http import Request, Response, answer, failure, not_found

TOKEN_LIFE_S = 1_800
MAX_CASES = 100


def mint(context: Context, row: int) -> str:
    """A token for one client."""
    claims = {
        "sub": context.world.ids("clients", np.array([row]))[0],
        "row": row,
        "exp": context.clock.now_us() // 1_000_000 + TOKEN_LIFE_S,
    }
    head = _part({"alg": "HS256", "typ": "JWT"}) + "." + _part(claims)
    return head + "." + _sign(context, head)


def read_token(context: Context, token: str) -> int | None:
    """Row of the client that a token gives access to; None if it is forged, expired, or its link is gone."""
    head, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_sign(context, head), signature):
        return None
    text = head.partition(".")[2]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    row = int(claims["row"])
    is_live = context.world.clients["alive"][row] and context.world.clients["done"][row]
    return row if is_live and context.clock.now_us() < claims["exp"] * 1_000_000 else None


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _sign(context: Context, head: str) -> str:
    secret = f"sandbox-{context.world.options.seed}-{context.options.key}".encode()
    return base64.urlsafe_b64encode(hmac.digest(secret, head.encode(), hashlib.sha256)).rstrip(b"=").decode()


def route(context: Context, request: Request) -> Response:
    """Answer a Customer API call."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    context.log[f"{request.method} {request.path}"] += 1
    row = read_token(context, token) if kind.lower() == "bearer" else None
    if row is None:
        return failure(401, "Unauthorized", "The token is missing, expired, or no longer valid.")
    if (request.method, request.path) == ("GET", "/customer/me"):
        client = client_document(context.world, row, context.world.client_stats())["client"]
        keys = (
            "id",
            "companyName",
            "companyRegistrationNumber",
            "address",
            "zipCode",
            "city",
            "country",
            "officeEmail",
        )
        return answer({key: client[key] for key in keys} | {"state": None, "officePhone": None})
    if (request.method, request.path) == ("GET", "/customer/cases"):
        live = np.flatnonzero(context.world.live("cases"))
        own = live[context.world.cases["client"][live] == row]
        shown = own[:MAX_CASES].tolist()
        page = {
            "totalResults": len(own), "pageSize": MAX_CASES, "currentPage": 1, "responseCount": len(shown),
            "totalPages": -(-len(own) // MAX_CASES),
        }  # fmt: skip
        return answer({"page": page, "cases": [_case(context, case) for case in shown]})
    return not_found("The path")


def _case(context: Context, row: int) -> dict[str, Any]:
    document = case_document(context.world, row)
    keys = (
        "id", "reference", "creditorReference", "grossAmount", "remainder", "currency", "lifecycle", "closeCode",
        "dateCreated", "dueDate", "dateCollectionStarted", "dateFinished",
    )  # fmt: skip
    return {key: document[key] for key in keys}
