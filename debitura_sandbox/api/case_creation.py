"""`POST /cases` of the Customer API: validation, idempotency keys, business rules, and the new case."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from debitura_sandbox.api.case_documents import invoice_document
from debitura_sandbox.api.case_lookup import by_creditor_reference
from debitura_sandbox.api.case_requests import CaseRequest, FieldErrors, read_case
from debitura_sandbox.api.case_rules import (
    SIGNING,
    BusinessError,
    claim_errors,
    client_errors,
    handoff,
    in_units,
    partner_of,
)
from debitura_sandbox.api.context import Context
from debitura_sandbox.api.http import Request, Response, answer, field_failure
from debitura_sandbox.world import codes, people
from debitura_sandbox.world.submitted import KeptOutcome

MAX_KEY = 255
SMALLEST = Decimal("0.0001")


def create(context: Context, client: int, request: Request) -> Response:
    """Answer `POST /cases`: 200, 400 or 422."""
    key, digest = request.headers.get("idempotency-key", ""), context.ledger.digest(request.body)
    if len(key) > MAX_KEY:
        return field_failure(
            {"Idempotency-Key": ["The key is longer than 255 characters."]}, context.undocumented.field_errors
        )
    body = request.exact_document()
    kept = _kept(context, client, key)
    if kept is not None and kept.digest != digest:
        conflict = BusinessError("IdempotencyConflict", "The key was used with another body.")
        return _refusal(context, client, [conflict], None)
    if kept is not None:
        return _replay(context, client, key, kept, body)
    try:
        wanted = read_case(body, context.latest_us())
    except FieldErrors as broken:
        return field_failure(broken.errors, context.undocumented.field_errors)
    errors = _errors(context, client, wanted)
    if errors:
        response = _refusal(context, client, errors, body.get("returnUrl"))
        if key:
            types = [error.type for error in errors]
            context.change(
                {
                    "op": "refuse_case",
                    "tenant": tenant_of(context, client),
                    "key": key,
                    "digest": digest,
                    "types": types,
                }
            )
    else:
        row = _submit(context, client, wanted, key, digest)
        document = invoice_document(context, row, body.get("returnUrl"))
        response = replace(answer(document), effect="created", subject=document["id"])
    if key:
        context.answers[client, key] = response
    return response


def _kept(context: Context, client: int, key: str) -> KeptOutcome | None:
    """The outcome under a key that is still honoured."""
    kept, life_s = (
        context.world.submissions.outcomes.get((client, key)) if key else None,
        context.undocumented.key_life_s,
    )
    if kept is None or (kept.row is None and not context.undocumented.replays_refusals):
        return None
    is_alive = life_s is None or context.clock.now_us() < kept.at_us + life_s * 1_000_000
    return kept if is_alive else None


def _replay(context: Context, client: int, key: str, kept: KeptOutcome, body: dict[str, Any]) -> Response:
    """The stored answer, or, after a restart, the same outcome as it is now."""
    stored = context.answers.get((client, key))
    if stored is None and kept.row is not None:
        document = invoice_document(context, kept.row, body.get("returnUrl"))
        stored = replace(answer(document), subject=document["id"])
    elif stored is None:
        stored = _refusal(context, client, [BusinessError(kind, "Refused before.") for kind in kept.error_types], None)
    return replace(stored, effect="replayed")


def _errors(context: Context, client: int, wanted: CaseRequest) -> list[BusinessError]:
    errors = claim_errors(wanted.claim)
    lacking = client_errors(context, client)
    if wanted.allows_pending:
        lacking = [error for error in lacking if error.type not in SIGNING]
    if context.undocumented.refuses_duplicates and _is_taken(context, client, wanted.reference):
        errors.append(BusinessError(context.undocumented.duplicate_type, "A case with this reference exists."))
    return [*lacking, *errors]


def _is_taken(context: Context, client: int, reference: str | None) -> bool:
    if reference is None:
        return False
    names = {reference}
    if context.undocumented.duplicates_ignore_case:
        submitted = {case.reference for case in context.world.submissions.cases.values()}
        names |= {other for other in submitted if other is not None and other.lower() == reference.lower()}
    with_hidden = not context.undocumented.duplicates_seen_late
    return any(by_creditor_reference(context, client, name, with_hidden=with_hidden) is not None for name in names)


def _refusal(context: Context, client: int, errors: list[BusinessError], return_url: Any) -> Response:
    """422, as BusinessErrorResponseApiDTO."""
    listed = [error.document() for error in errors]
    return answer({"businessErrors": listed, "signingHandoff": handoff(context, client, errors, return_url)}, 422)


def _submit(context: Context, client: int, wanted: CaseRequest, key: str, digest: str) -> int:
    """Create the case; what is about people stays out of the journal."""
    is_pending = not context.world.clients["done"][client] or bool(context.world.submissions.lacking.get(client))
    later = codes.VERIFYING if wanted.skips_verification else codes.INTERNAL
    facts = case_entry(wanted, codes.SIGNING if is_pending else later)
    entry = facts | {"op": "submit_case", "tenant": tenant_of(context, client)}
    row = int(context.change(entry | ({"key": key, "digest": digest} if key else {}))["row"])
    keep_people(context, row, wanted)
    hide_for_a_while(context, row)
    return row


def case_entry(wanted: CaseRequest, lifecycle: int) -> dict[str, Any]:
    """The facts of a case request for the journal. `lifecycle`: the code that the case begins with."""
    claim = wanted.claim
    return {
        "reference": wanted.reference,
        "amount": str(claim.amount.quantize(SMALLEST)),
        "currency": claim.currency,
        "country": claim.country,
        "debtor": people.find_debtor(claim.country, claim.is_person, str(wanted.people["debtor"]["name"])),
        "is_person": claim.is_person,
        "state": claim.state,
        "date": wanted.date_us,
        "due": wanted.date_us if claim.due_us is None else claim.due_us,
        "partner": partner_of(claim),
        "over_12": in_units(claim.over[1]),
        "over_24": in_units(claim.over[2]),
        "lifecycle": lifecycle,
        "is_test": wanted.is_test,
        "tag": wanted.tag,
    }


def keep_people(context: Context, row: int, wanted: CaseRequest) -> None:
    """Keep what a request says about people, in memory."""
    cases = context.world.submissions.cases
    cases[row] = replace(cases[row], people=wanted.people)


def hide_for_a_while(context: Context, row: int) -> None:
    """Keep a new case out of lookups and listings for `lookup_delay_s`."""
    delay_s = context.undocumented.lookup_delay_s
    if delay_s:
        context.hide(row, context.clock.now_us() + int(delay_s * 1_000_000))


def tenant_of(context: Context, client: int) -> str:
    """The partner's id of a client."""
    return str(context.world.clients["tenant"][client])
