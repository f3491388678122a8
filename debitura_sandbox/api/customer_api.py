"""The part of the Customer API, under `/customer`, that submitting and tracking cases needs.

Each request carries a token from `POST /oauth/token` and sees the cases of its client only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from debitura_sandbox.api import case_lookup, practice_cases
from debitura_sandbox.api.case_creation import create
from debitura_sandbox.api.case_documents import agreement, contract_status, creditor_document, invoice_document
from debitura_sandbox.api.case_preview import preview
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.customer_listing import BadFieldError, listing, read_case_query
from debitura_sandbox.api.http import Request, Response, answer, failure, not_found
from debitura_sandbox.api.tokens import read_token

PREFIX = "/customer"
LOOKUPS: dict[str, Callable[[Context, int, str], int | None]] = {
    "by-creditor-reference": case_lookup.by_creditor_reference,
    "case-reference": case_lookup.by_case_reference,
}


def client_of(context: Context, request: Request) -> int | None:
    """Row of the client whose token the request carries; None without a valid token."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return read_token(context, token) if kind.lower() == "bearer" else None


def route(context: Context, request: Request) -> Response:
    """Answer a Customer API call."""
    client = client_of(context, request)
    if client is None:
        return failure(401, "Unauthorized", "The token is missing, expired, or no longer valid.")
    match (request.method, *map(unquote, request.path.removeprefix(PREFIX).strip("/").split("/"))):
        case ("GET", "me"):
            return answer(_me(context, client))
        case ("GET", "cases"):
            return _list(context, client, request)
        case ("POST", "cases"):
            return create(context, client, request)
        case ("POST", "cases", "preview"):
            return preview(context, client, request)
        case ("GET", "cases", ("by-creditor-reference" | "case-reference") as name, reference):
            return _found(context, LOOKUPS[name](context, client, reference), invoice_document)
        case ("GET", "cases", id_):
            return _found(context, case_lookup.by_id(context, client, id_), invoice_document)
        case ("GET", "cases", id_, "contract-status"):
            return _found(context, case_lookup.by_id(context, client, id_), contract_status)
        case ("GET", "contracts", "debt-collection", "status"):
            return answer(_agreement(context, client))
        case (_, "test", "cases", *_):
            return practice_cases.route(context, client, request)
    return not_found("The path")


def _found(context: Context, row: int | None, document: Callable[[Context, int], dict[str, Any]]) -> Response:
    return not_found("The case") if row is None else answer(document(context, row))


def _list(context: Context, client: int, request: Request) -> Response:
    try:
        query = read_case_query(request.query)
    except BadFieldError as bad:
        return failure(400, "ValidationError", f"The field {bad.name} is not valid.")
    return answer(listing(context, client, query))


def _me(context: Context, client: int) -> dict[str, Any]:
    """CreditorMeApiDTO."""
    return {name: value for name, value in creditor_document(context.world, client).items() if name != "division"}


def _agreement(context: Context, client: int) -> dict[str, Any]:
    """CollectionContractStatusApiDTO."""
    status = agreement(context, client)
    reason = "NewVersion" if status["requiresResigning"] else "None"
    return {**status, "invalidationReason": reason, "termsUrl": None}
