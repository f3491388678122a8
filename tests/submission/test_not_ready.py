"""A claim's record outlives a client that is not ready, and only the API's own refusals are final."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.registration.listed import listed_client
from debitura_pipeline.submission.answers import NoAnswer, NoEffect, Refusal, answered
from debitura_pipeline.submission.apply import understood
from debitura_pipeline.submission.decision import Evidence, Send, Stop, Wanted, next_step
from debitura_pipeline.submission.lookups import Expected
from debitura_pipeline.submission.plan import PlannedClaim, previewed
from debitura_pipeline.submission.previews import Preview, refused_preview
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.states import DECISIVE, STATES, ClaimIdentity, Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.partner import Claims, claim
from tests.support.sandbox import RunningSandbox

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SOMEBODY = "6d5c1f9e-0000-4000-8000-000000000001"
KEPT = {"sent", "conflict", "refused", "submitted", "already_there", "changed_after"}


def recorded(tenant: str, creditor: str | None, state: str, reference: str) -> Record:
    sent: dict[str, Any] = {"attempts": 1, "unanswered": 1, "intent_at": NOW, "last_attempt_at": NOW}
    facts = {"sent": sent, "refused": {"attempts": 1, "http_status": 422, "error_types": "ValidationError"}}
    return Record(tenant, reference, creditor, claim_hash="as sent", state=state).having(**facts.get(state, {}))


@pytest.fixture
def partner(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> Claims:
    return Claims(tmp_path, sandbox_factory(clients=8, cases=8, transactions=1, no_rate_limit=True))


def test_client_that_is_not_ready_changes_no_record_that_decides(partner: Claims) -> None:
    listed = {bool(one["onboardingDone"]): one for one in _clients(partner)}
    assert set(listed) == {True, False}
    found = {
        "not signed": (listed[False]["externalTenantId"], _creditor(listed[False])),
        "not linked": ("nobody", SOMEBODY),
        "token refused": (listed[True]["externalTenantId"], _creditor(listed[True])),
    }
    rows, records = [], []
    for number, (tenant, creditor) in enumerate(found.values()):
        for place, state in enumerate(STATES):
            rows.append(claim(tenant, 100 * number + place))
            records.append(recorded(tenant, creditor, state, rows[-1]["creditor_reference"]))
    partner.wants(*rows)
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store(records)
    partner.sandbox.faults({"kind": "status", "status": 403, "path": "/oauth/token", "method": "POST", "times": 0})
    partner.apply()
    after = partner.records()
    for before in records:
        state = after[before.creditor_reference].state
        # With a case, the row that the record was made from differs from this one.
        expected = {before.state, "changed_after"} if before.state in KEPT else {"waiting_for_client"}
        assert state in expected, (before.state, state)
    assert partner.posts() == []
    reasons = {row.creditor_reference: row.reasons for row in partner.plan().document.rows}
    said = {before.state: reasons[before.creditor_reference] for before in records[: len(STATES)]}
    assert "the client has not signed everything" in said["conflict"] + said["refused"]
    assert "ValidationError" in said["refused"]
    # A claim in doubt whose row is gone, and whose client gets no token, holds up nobody.
    gone = next(one for one in records if one.state == "sent" and one.creditor_id == found["token refused"][1])
    partner.wants(*(row for row in rows if row["creditor_reference"] != gone.creditor_reference))
    (left,) = [row for row in partner.plan().document.rows if row.creditor_reference == gone.creditor_reference]
    assert (left.row, left.state) == (None, "sent") and "no token for this client" in left.reasons[-1]


def test_claim_that_was_invalid_is_planned_if_it_could_not_be_looked_up(partner: Claims) -> None:
    tenant = next(one["externalTenantId"] for one in _clients(partner) if one["onboardingDone"])
    rows = [claim(tenant, number) for number in range(2)]
    states = dict(zip((row["creditor_reference"] for row in rows), ("invalid", "conflict"), strict=True))
    creditor = next(_creditor(one) for one in _clients(partner) if one["externalTenantId"] == tenant)
    partner.wants(*rows)
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store(recorded(tenant, creditor, state, name) for name, state in states.items())
    path = "/customer/cases/by-creditor-reference/*"
    partner.sandbox.faults({"kind": "status", "status": 500, "path": path, "method": "GET", "times": 0})
    after = partner.apply()
    assert [row.state for row in after.document.rows] == ["planned", "conflict"]
    assert all(row.reasons[0].startswith("could not be looked up") for row in after.document.rows)


def _clients(partner: Claims) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = partner.sandbox.get("/clients", {"PageSize": 100})["clients"]
    return found


def _creditor(client: dict[str, Any]) -> str:
    found = listed_client(client)
    assert found is not None
    return found.creditor_id


def test_correction_that_the_preview_forbids_leaves_the_conflict() -> None:
    before = recorded("tenant", SOMEBODY, "conflict", "INV-1")
    planned = PlannedClaim(before.having(state="planned"))
    after = previewed(planned, Preview("waiting_for_client", ("MissingPowerOfAttorney",)), before)
    assert after.record == before and after.wanted is None and after.reasons == ("MissingPowerOfAttorney",)
    assert previewed(planned, Preview("planned"), before).state == "planned"
    assert set(DECISIVE) == KEPT


@pytest.mark.parametrize("status", [403, 404, 405, 408, 409, 413, 499])
def test_status_that_is_not_documented_is_no_refusal(status: int) -> None:
    answer = understood(WriteResponse(status, {}), Expected("INV-1"))
    assert answer == NoAnswer(status)
    doubtful = answered(recorded("tenant", SOMEBODY, "sent", "INV-1").having(body_hash="body"), answer, NOW)
    wanted = Wanted(ClaimIdentity("test", SOMEBODY, "INV-1"), "as sent", "body")
    quarter = NOW + timedelta(minutes=15)
    assert isinstance(next_step(doubtful, wanted, Evidence(NOW), NOW), Stop)
    assert next_step(doubtful, wanted, Evidence(quarter), quarter) == Send(0), "the same key again"


def test_refusals_that_the_preview_does_not_foresee_become_rarer() -> None:
    refused = recorded("tenant", SOMEBODY, "waiting_for_client", "INV-1").having(
        http_status=422, error_types="Missing_Power_Of_Attorney", body_hash="body", last_attempt_at=NOW
    )
    wanted = Wanted(ClaimIdentity("test", SOMEBODY, "INV-1"), "as sent", "body")

    def step(generation: int, after: timedelta, wanted: Wanted = wanted) -> object:
        return next_step(refused.having(generation=generation), wanted, Evidence(NOW + after), NOW + after)

    for generation in (0, 1):
        assert step(generation, timedelta(0)) == Send(generation + 1), "the client may just have signed"
    for generation, pause in ((2, timedelta(minutes=15)), (3, timedelta(minutes=30)), (40, timedelta(days=1))):
        assert isinstance(step(generation, pause - timedelta(seconds=1)), Stop)
        assert step(generation, pause) == Send(generation + 1)
    corrected = Wanted(wanted.identity, "corrected", "another body")
    assert step(5, timedelta(0), corrected) == Send(6)


def test_refusals_of_the_api_are_final() -> None:
    for status in (400, 422):
        answer = WriteResponse(status, {"title": "Bad"})
        assert understood(answer, Expected("INV-1")) == Refusal(status, (f"http_{status}",))
    unauthorized = understood(WriteResponse(401, {}), Expected("INV-1"))
    assert unauthorized == NoEffect("unauthorized")
    waits = answered(recorded("tenant", SOMEBODY, "sent", "INV-1"), unauthorized, NOW)
    assert (waits.state, waits.message) == ("waiting_for_client", "the client's token was refused (HTTP 401)")


@pytest.mark.parametrize(
    ("codes", "fields", "state", "types"),
    [
        (("NoPartnerAvailable",), (), "ineligible", ("NoPartnerAvailable",)),
        (("CURRENCY_NOT_SUPPORTED",), (), "ineligible", ("CURRENCY_NOT_SUPPORTED",)),
        (("unsupported-country",), (), "ineligible", ("unsupported-country",)),
        (("MissingPowerOfAttorney",), (), "waiting_for_client", ("MissingPowerOfAttorney",)),
        (("ValidationError",), ("currencyCode",), "invalid", ("currencyCode",)),
        (("InvalidCurrency",), ("currencyCode",), "invalid", ("currencyCode",)),
        (("TooOld",), (), "invalid", ("TooOld",)),
        (("InvalidCurrency",), (), "invalid", ("InvalidCurrency",)),
        (("CountryRequired",), (), "invalid", ("CountryRequired",)),
        (("NoPartnerAvailable",), ("debtorCountry",), "ineligible", ("NoPartnerAvailable",)),
        ((), (), "invalid", ("ValidationError",)),
    ],
)
def test_refused_preview_tells_a_faulty_row_from_one_that_nobody_serves(
    codes: tuple[str, ...], fields: tuple[str, ...], state: str, types: tuple[str, ...]
) -> None:
    preview = refused_preview(codes, fields)
    assert (preview.state, preview.types) == (state, types)
