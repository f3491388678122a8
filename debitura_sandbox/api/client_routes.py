"""Routes that change clients: register, withdraw, reset, KYC, and tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Request, Response, answer, empty, failure, not_found
from debitura_sandbox.api.registration import register
from debitura_sandbox.api.tokens import token
from debitura_sandbox.world import codes
from debitura_sandbox.world.change import UnknownChangeError


def route(context: Context, request: Request) -> Response | None:
    """The response to one of this module's paths; None for other paths."""
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    if (request.method, request.path) == ("POST", "/clients"):
        return register(context, request.exact_document())
    if (request.method, request.path) == ("POST", "/oauth/token"):
        return token(context, request.document())
    if parts[0] == "cases" and request.method == "POST" and parts[2:] == ["files"]:
        return empty(200) if context.find("cases", parts[1]) is not None else not_found("The case")
    if parts[0] != "clients" or len(parts) not in (2, 3):
        return None
    tenant, action = parts[1], (request.method, *parts[2:])
    if action in (("DELETE",), ("GET", "is-deletable")) and not context.world.options.is_test_environment:
        return failure(403, "Forbidden", "This operation works in the test environment only.")
    row = context.world.find_tenant(tenant)
    if row is None:
        return not_found("The client")
    if action == ("POST", "withdraw"):
        return _withdraw(context, tenant)
    if action == ("DELETE",):
        context.change({"op": "reset", "tenant": tenant})
        return empty(204)
    if action == ("GET", "is-deletable"):
        own = context.world.live("cases") & (context.world.cases["client"] == row)
        active = bool((own & (context.world.cases["lifecycle"] == codes.ACTIVE)).any())
        return answer({"isDeletable": not active, "blockers": ["ActiveCases"] if active else []})
    if action == ("POST", "kyc-verification"):
        return _kyc(context, row, request.document())
    return None


def _withdraw(context: Context, tenant: str) -> Response:
    try:
        context.change({"op": "withdraw", "tenant": tenant})
    except UnknownChangeError as fault:
        return failure(409, "Conflict", str(fault))
    return empty(204)


def _kyc(context: Context, row: int, wanted: dict[str, Any]) -> Response:
    context.change({"op": "kyc", "tenant": context.world.clients["tenant"][row]})
    now = context.clock.http_date()
    stated = {name: wanted.get(name) for name in ("directorFullName", "directorHomeAddress", "directorDateOfBirth")}
    return answer(stated | {"dateCreated": now, "verificationStatus": None, "verificationStatusUpdatedAt": None}, 201)
