"""`POST /clients`: register a client, or ask one that Debitura knows already to approve a link.

Personal data in requests is kept in memory only. After a restart, the client has invented people. Addresses of some domains
choose an outcome: see TAKEN_DOMAIN, KNOWN_DOMAIN and BLOCKED_DOMAIN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from debitura_sandbox.api.case_creation import case_entry, keep_people
from debitura_sandbox.api.case_documents import invoice_document
from debitura_sandbox.api.case_requests import CaseRequest, FieldErrors, read_case
from debitura_sandbox.api.case_rules import MESSAGES, claim_errors
from debitura_sandbox.api.client_requests import email_addresses, read_country, registration_errors
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.documents import client_document
from debitura_sandbox.api.http import Response, answer, field_failure
from debitura_sandbox.api.links import approval_url, renew_expired_link
from debitura_sandbox.world import codes, people

TAKEN_DOMAIN = "taken-elsewhere.example"  # of clients that are linked to another partner
KNOWN_DOMAIN = "known-to-debitura.example"  # of clients that Debitura knows, and that have to approve a link
BLOCKED_DOMAIN = "blocked.example"  # of clients that Debitura does not accept
Failures = list[dict[str, Any]]


def register(context: Context, wanted: dict[str, Any]) -> Response:
    """Answer `POST /clients`: 201, 202, 400, 409 or 422. A repeated request returns the current state and creates nothing."""
    errors = registration_errors(wanted)
    if errors:
        return field_failure(errors, context.undocumented.field_errors)
    tenant, cases = str(wanted["externalTenantId"]), list(wanted.get("cases") or [])
    row = context.world.find_tenant(tenant)
    if row is not None:
        return _repeated(context, row, cases)
    refusal = _broken_rule(wanted, cases)
    if refusal is not None and tenant not in context.world.link_requests:
        return refusal
    return _conflict(context, wanted, tenant, cases) or _created(context, wanted, tenant, cases)


def _repeated(context: Context, row: int, cases: list[Any]) -> Response:
    renew_expired_link(context, row)
    failed = [
        _failed(number, case, "IdempotencyViolation", "The client exists; cases are not created again.")
        for number, case in enumerate(cases)
    ]
    results = {"successfulCases": [], "failedCases": failed} if cases else None
    return replace(_answer(context, row, results), effect="repeated")


def _answer(context: Context, row: int, results: dict[str, Any] | None) -> Response:
    document = client_document(context.world, row, context.world.client_stats())
    status = 201 if context.world.clients["done"][row] else 202
    return replace(answer(document | {"caseResults": results}, status), subject=document["client"]["id"])


def _broken_rule(wanted: dict[str, Any], cases: list[Any]) -> Response | None:
    """422 where a rule forbids it."""
    errors = []
    if sum(bool(user.get("isOnboardingUser")) for user in wanted["users"]) != 1 and len(wanted["users"]) > 1:
        errors.append(("ValidationError", "Exactly one user goes through onboarding."))
    if any(not case.get("allowPendingContracts") for case in cases):
        errors.append(("MissingDebtCollectionContract", MESSAGES["MissingDebtCollectionContract"]))
    if _is_of(email_addresses(wanted), BLOCKED_DOMAIN):
        errors.append(("CreditorBlocked", MESSAGES["CreditorBlocked"]))
    listed = [{"type": kind, "message": message, "solutionUrl": None} for kind, message in errors]
    return answer({"businessErrors": listed, "signingHandoff": None}, 422) if listed else None


def _conflict(context: Context, wanted: dict[str, Any], tenant: str, cases: list[Any]) -> Response | None:
    """409 if an address is known already, or a request to link the client is open."""
    emails = email_addresses(wanted)
    if _is_of(emails, TAKEN_DOMAIN):
        kind = context.undocumented.linked_elsewhere_type
        return _conflict_answer(context, kind, "Linked to another partner.", {"externalTenantId": tenant})
    request = context.world.link_requests.get(tenant)
    if request is None and not _is_of(emails, KNOWN_DOMAIN) and not context.emails.is_known(emails):
        return None
    if request is None or request.is_over:
        entry = _company(context, wanted, tenant) | {"op": "ask_link", "claims": []}
        if request is None:
            entry["claims"] = [entry for _, _, entry in _valid(context, cases, [])]
        row = int(context.change(entry)["row"])
        _keep_users(context, row, wanted)
        request = context.world.link_requests[tenant]
    data = {"externalTenantId": tenant, "onboardingLinks": {"url": approval_url(context, request)}}
    return _conflict_answer(context, "ClientExistsNeedsLinking", "The client has to approve.", data)


def _conflict_answer(context: Context, kind: str, message: str, data: dict[str, Any]) -> Response:
    body: dict[str, Any] = {"type": kind, "message": message, "data": data}
    return answer({"conflictResponse": body} if context.undocumented.wraps_conflicts else body, 409)


def _created(context: Context, wanted: dict[str, Any], tenant: str, cases: list[Any]) -> Response:
    """Register the client; only what is not about people goes into the journal."""
    failed: Failures = []
    valid = _valid(context, cases, failed)
    claims = [entry for _, _, entry in valid]
    facts = context.change(_company(context, wanted, tenant) | {"op": "register", "claims": claims})
    row = int(facts["row"])
    _keep_users(context, row, wanted)
    for case, (_, request, _) in zip(facts["cases"], valid, strict=True):
        keep_people(context, case, request)
    context.world.invalidate("cases")
    made = [invoice_document(context, case) for case in facts["cases"]]
    results = {"successfulCases": made, "failedCases": failed} if cases else None
    return replace(_answer(context, row, results), effect="created")


def _valid(context: Context, cases: list[Any], failed: Failures) -> list[tuple[int, CaseRequest, dict[str, Any]]]:
    """Number, request and journal entry of each case that can be created; the others are added to `failed`."""
    valid = []
    for number, case in enumerate(cases):
        try:
            request = read_case(case, context.latest_us())
        except FieldErrors as broken:
            failed.append(_failed(number, case, "ValidationError", "The case is not valid.", broken.errors))
            continue
        errors = claim_errors(request.claim)
        if errors:
            failed.append(_failed(number, case, errors[0].type, errors[0].message))
        else:
            valid.append((number, request, case_entry(request, codes.SIGNING)))
    return valid


def _failed(number: int, case: Any, kind: str, message: str, fields: Any = None) -> dict[str, Any]:
    return {
        "caseIndex": number, "creditorReference": case.get("creditorReference"), "errorType": kind, "errorMessage": message,
        "validationErrors": fields, "signingHandoff": None,
    }  # fmt: skip


def _company(context: Context, wanted: dict[str, Any], tenant: str) -> dict[str, Any]:
    client = wanted["client"]
    number, name = read_country(str(client["country"]))
    company = {
        "name": client["name"], "city": client.get("city"), "registration": client.get("registrationNumber"), "country": name,
    }  # fmt: skip
    return {"tenant": tenant, "country": number, "company": company}


def _keep_users(context: Context, row: int, wanted: dict[str, Any]) -> None:
    """Keep what a request says about people, in memory."""
    client, users = wanted["client"], []
    for nth, user in enumerate(sorted(wanted["users"], key=lambda each: not each.get("isOnboardingUser"))):
        first, _, last = str(user["name"]).rpartition(" ")
        users.append(people.User(90_000 + row * 8 + nth, user["email"], first or last, last if first else ""))
    context.world.registered[row] = context.world.registered.get(row, {}) | {
        "email": client["supportEmail"], "address": client.get("address"), "zip": client.get("zipCode"), "users": users,
    }  # fmt: skip
    context.world.cache.pop("client texts", None)
    context.world.invalidate("clients")


def _is_of(emails: Iterable[str], domain: str) -> bool:
    return any(email.endswith("@" + domain) for email in emails)
