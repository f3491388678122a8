"""What each answer to `POST /clients` means, in every documented shape; what is stored of it holds no sentence of the API's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from debitura_pipeline.api.error_body import parse_error_body
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.registration.outcome import RegistrationOutcome, registration_outcome

ID = "0B9F4A52-6f0e-4c1e-8a55-3d1a7c2e9b77"
URL = "https://onboarding.example/companydetails/1"


def outcome(status: int, document: Any) -> RegistrationOutcome:
    body = msgspec.json.encode(document) if document is not None else b""
    codes, fields = parse_error_body(body) if status >= 300 else ([], [])
    return registration_outcome(WriteResponse(status, document, tuple(codes), tuple(fields)), "t-1")


def client(**changes: Any) -> dict[str, Any]:
    return {"externalTenantId": "t-1", "onboardingDone": False, "client": {"id": ID}} | changes


@pytest.mark.parametrize(
    ("status", "document", "state", "creditor_id"),
    [
        (201, client(onboardingDone=True), "registered", ID.lower()),
        (201, None, "registered", None),
        (201, {}, "sent", None),
        (202, {"title": "Please wait"}, "sent", None),
        (202, client(onboardingLinks={"url": URL}), "pending_signature", ID.lower()),
        (202, {"ExternalTenantId": "t-1", "Client": {"Id": ID}}, "pending_signature", ID.lower()),
        (200, client(onboardingDone=True), "registered", ID.lower()),
        (200, client(), "pending_signature", ID.lower()),
        (200, None, "sent", None),
        (204, None, "sent", None),
        (201, client(externalTenantId="t-2"), "sent", None),
    ],
)
def test_accepted(status: int, document: Any, state: str, creditor_id: str | None) -> None:
    found = outcome(status, document)
    assert (found.state, found.creditor_id, found.ends_apply) == (state, creditor_id, None)


@pytest.mark.parametrize("wrap", [lambda conflict: conflict, lambda conflict: {"conflictResponse": conflict}])
@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("ClientExistsNeedsLinking", "needs_linking"),
        ("AlreadyLinkedToAnotherPartner", "linked_elsewhere"),
        ("ClientAlreadyLinkedToAnotherPartner", "linked_elsewhere"),
        ("client_exists_needs_linking", "needs_linking"),
        ("CLIENT_ALREADY_LINKED_TO_ANOTHER_PARTNER", "linked_elsewhere"),
        ("InvalidClientType", "refused"),
    ],
)
def test_conflict(kind: str, state: str, wrap: Any) -> None:
    found = outcome(409, wrap({"type": kind, "message": "Ask Ingrid", "data": {"onboardingLinks": {"url": URL}}}))
    assert (found.state, found.error_types) == (state, (kind,))
    assert found.link == (URL if state == "needs_linking" else None)
    assert URL not in repr(found) and "Ingrid" not in repr(found)


@pytest.mark.parametrize(
    ("status", "document", "types"),
    [
        (400, {"client.supportEmail": ["ingrid@x.example is bad"]}, ("client.supportEmail",)),
        (400, {"error": "ValidationError", "message": "no"}, ("ValidationError",)),
        (400, {"type": "https://tools.example/400", "title": "Bad", "errors": {"$.users": ["no"]}}, ("$.users",)),
        (422, {"businessErrors": [{"type": "CreditorBlocked", "message": "Ingrid"}]}, ("CreditorBlocked",)),
        (422, {"title": "Bad"}, ()),
    ],
)
def test_refused(status: int, document: Any, types: tuple[str, ...]) -> None:
    found = outcome(status, document)
    assert (found.state, found.error_types, found.ends_apply) == ("refused", types, None)
    assert found.is_bad and "Ingrid" not in repr(found)


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("document", [None, {}, "Conflict", {"message": "Bad Request"}])
def test_answer_that_is_no_documented_error_refuses_nobody(status: int, document: Any) -> None:
    found = outcome(status, document)
    assert found.state == "sent" and found.ends_if_repeated is not None


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_has_no_effect_and_ends_the_apply(status: int) -> None:
    found = outcome(status, None)
    assert found.state == "planned" and found.ends_apply is not None and not found.is_bad


@pytest.mark.parametrize("status", [301, 404, 405, 418])
def test_status_that_is_not_documented_ends_the_apply_if_it_is_repeated(status: int) -> None:
    found = outcome(status, None)
    assert found.state == "sent" and found.ends_if_repeated is not None, "a proxy may have said so behind the effect"
    assert found.ends_apply is None


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
def test_page_of_an_intermediary_refuses_nobody(status: int) -> None:
    found = registration_outcome(WriteResponse(status, None, is_unreadable=True), "t")
    assert found.state == "sent" and found.ends_if_repeated is not None and found.ends_apply is None
