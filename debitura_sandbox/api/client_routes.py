"""Routes that change clients: register, withdraw, reset, KYC, and tokens.

Personal data in requests is kept in memory only. After a restart, the client has an invented name and invented people.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import client_document, office_email
from debitura_sandbox.api.http import Request, Response, answer, empty, failure, not_found
from debitura_sandbox.api.tokens import token
from debitura_sandbox.world import codes, people
from debitura_sandbox.world.addresses import COUNTRIES, CURRENCIES
from debitura_sandbox.world.change import UnknownChangeError
from debitura_sandbox.world.daily_changes import Event

TAKEN_DOMAIN = "taken-elsewhere.example"  # addresses there belong to another partner's client


def route(context: Context, request: Request) -> Response | None:
    """The response to one of this module's paths; None for other paths."""
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    if (request.method, request.path) == ("POST", "/clients"):
        return register(context, request.document())
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


def register(context: Context, wanted: dict[str, Any]) -> Response:
    """`POST /clients`: 201, 202, 400, 409 or 422. A repeated request returns the current state and creates nothing."""
    faults = _field_faults(wanted)
    if faults:
        return answer(faults, 400)
    tenant, cases = str(wanted["externalTenantId"]), list(wanted.get("cases") or [])
    row = context.world.find_tenant(tenant)
    if row is None:
        refusal = _conflict(context, wanted, tenant) or _broken_rule(wanted, cases)
        if refusal is not None:
            return refusal
        row = _create(context, wanted, tenant, cases)
        results = None
    else:
        results = {"successfulCases": [], "failedCases": [_repeated(number, case) for number, case in enumerate(cases)]}
    document = client_document(context.world, row, context.world.client_stats())
    status = 201 if context.world.clients["done"][row] else 202
    return answer(document | {"caseResults": results if cases else None}, status)


def _field_faults(wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Field name to list of messages, or None."""
    client, users = wanted.get("client"), wanted.get("users")
    faults: dict[str, Any] = {}
    if not wanted.get("externalTenantId"):
        faults["externalTenantId"] = ["The field is required."]
    for name in ("name", "country", "supportEmail"):
        if not isinstance(client, dict) or not client.get(name):
            faults[f"client.{name}"] = ["The field is required."]
    if not isinstance(users, list) or not users:
        faults["users"] = ["At least one user is needed."]
    elif any(not isinstance(user, dict) or not user.get("name") or "@" not in str(user.get("email")) for user in users):
        faults["users"] = ["Each user needs a name and an e-mail address."]
    sent = [case.get("creditorReference") for case in wanted.get("cases") or [] if case.get("creditorReference")]
    if len(sent) != len(set(sent)):
        faults["cases"] = ["A creditorReference is used twice."]
    return faults or None


def _conflict(context: Context, wanted: dict[str, Any], tenant: str) -> Response | None:
    """409 where an address is known already."""
    emails = {str(user["email"]).casefold() for user in wanted["users"]} | {wanted["client"]["supportEmail"].casefold()}
    if any(email.endswith("@" + TAKEN_DOMAIN) for email in emails):
        body = {
            "type": "ClientAlreadyLinkedToAnotherPartner",
            "message": "Linked to another partner.",
            "data": {"externalTenantId": tenant},
        }
        return answer(body, 409)
    for row in range(len(context.world.clients)):
        known = {office_email(context.world, row), *(user.email for user in context.world.users(row))}
        if emails & {email.casefold() for email in known} and context.world.clients["alive"][row]:
            context.announce([Event("client.link_requested", row, facts={"externalTenantId": tenant})])
            url = f"{people.SIGNING_HOST}/approve/{people.link_id(context.world.salts['links'], row + 1_000_000)}"
            data = {"externalTenantId": tenant, "onboardingLinks": {"url": url}}
            return answer(
                {"type": "ClientExistsNeedsLinking", "message": "The client has to approve.", "data": data}, 409
            )
    return None


def _broken_rule(wanted: dict[str, Any], cases: list[Any]) -> Response | None:
    """422 where a rule forbids it."""
    errors = []
    if sum(bool(user.get("isOnboardingUser")) for user in wanted["users"]) != 1 and len(wanted["users"]) > 1:
        errors.append(("ValidationError", "Exactly one user goes through onboarding."))
    if any(not case.get("allowPendingContracts") for case in cases):
        errors.append(("MissingDebtCollectionContract", "The client has not signed the collection agreement."))
    if not errors:
        return None
    listed = [{"type": kind, "message": message, "solutionUrl": None} for kind, message in errors]
    return answer({"businessErrors": listed, "signingHandoff": None}, 422)


def _create(context: Context, wanted: dict[str, Any], tenant: str, cases: list[Any]) -> int:
    """Register the client; only what is not about people goes into the journal."""
    client = wanted["client"]
    known = [
        n for n, c in enumerate(COUNTRIES) if client["country"].casefold() in (c.name.casefold(), c.alpha2.casefold())
    ]
    claims = [
        [str(case.get("amountToRecover") or 0), max(0, _currency(case)), bool(case.get("creditorReference"))]
        for case in cases
    ]
    entry = {"op": "register", "tenant": tenant, "country": known[0] if known else 0, "claims": claims}
    row = int(context.change(entry)["row"])
    users = []
    for nth, user in enumerate(sorted(wanted["users"], key=lambda u: not u.get("isOnboardingUser"))):
        first, _, last = str(user["name"]).rpartition(" ")
        users.append(people.User(90_000 + row * 8 + nth, user["email"], first or last, last if first else ""))
    context.world.registered[row] = {
        "name": client["name"], "email": client["supportEmail"], "address": client.get("address"), "users": users,
        "zip": client.get("zipCode"), "city": client.get("city"), "registration": client.get("registrationNumber"),
    }  # fmt: skip
    context.world.cache.pop("client texts", None)
    return row


def _currency(case: dict[str, Any]) -> int:
    code = str(case.get("currencyCode")).upper()
    return CURRENCIES.index(code) if code in CURRENCIES else 1


def _repeated(number: int, case: dict[str, Any]) -> dict[str, Any]:
    return {
        "caseIndex": number, "creditorReference": case.get("creditorReference"), "errorType": "IdempotencyViolation",
        "errorMessage": "The client exists; cases are not created again.", "validationErrors": None,
    }  # fmt: skip


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
