"""Plan and apply where the API fails, refuses or has no requests left: no claim holds up the others."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from debitura_pipeline.api.rate_limit import RateLimiter, Remaining
from debitura_pipeline.api.write_budget import DAY_RESERVE
from debitura_pipeline.errors import ApiError
from debitura_pipeline.outbound.plan_document import PlanMoved
from debitura_pipeline.submission import lookups
from debitura_pipeline.submission.lookup_failures import NOT_REACHED, REQUESTS_TO_SEND, RESERVE, LookupFailures
from debitura_pipeline.submission.lookups import TooManyCases
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.sessions import Account
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.partner import CASES, Claims, claim, claims, fault, new_number
from tests.support.prepared import lay_warehouse


def test_claim_that_cannot_be_looked_up_holds_up_nobody_else(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 2)
    partner.wants(*wanted)
    partner.sandbox.faults({"kind": "status", "status": 404, "path": f"{CASES}/preview", "method": "POST"})
    applied = partner.apply()
    assert applied.document.summary == {"planned": 1, "submitted": 1} and applied.is_open
    assert applied.planned.sums == {"EUR": Decimal(wanted[1]["amount"])}
    assert "could not be looked up or previewed" in applied.document.rows[0].reasons[0]
    assert partner.apply().document.summary == {"submitted": 2}


def test_plan_leaves_the_reserve_of_the_day(partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    partner.wants(*claims(tenant))
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: Remaining(9_000, DAY_RESERVE, None))
    found = partner.plan()
    assert found.stopped is not None and "500 requests are left of the day" in found.stopped
    assert found.document.rows[0].reasons == (NOT_REACHED,)


def test_apply_keeps_requests_for_what_it_has_planned(
    partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more claims than the hour has requests for, none would be sent if all were looked up first."""
    wanted = claims(tenant, 5)
    partner.wants(*wanted)
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: Remaining(RESERVE + 3 * REQUESTS_TO_SEND, 90_000, None))
    assert partner.plan().stopped is None
    applied = partner.apply()
    assert applied.document.summary == {"planned": 3, "submitted": 2} and applied.is_open
    assert applied.stopped is not None and "submitting the 2 claims" in applied.stopped
    assert [row.reasons[0] for row in applied.document.rows if row.state == "planned"] == [NOT_REACHED] * 3
    for _ in range(2):
        applied = partner.apply()
    assert applied.document.summary == {"submitted": 5} and not applied.is_open


def test_claim_in_doubt_is_looked_up_whatever_is_kept(
    partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = claims(tenant, 2)
    partner.wants(wanted[1])
    partner.sandbox.faults(fault("status", status=500, effect="now"))
    partner.apply(tries=1)
    partner.wants(*wanted)
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: Remaining(RESERVE, 90_000, None))
    assert partner.apply().document.summary == {"planned": 1, "submitted": 1}


def test_client_whose_previews_fail_holds_up_nobody_else(partner: Claims, tenant: str) -> None:
    """Each claim costs six tries, so a client with a thousand of them would hold the run for hours."""
    partner.wants(*claims(tenant, 6), claim("nobody", 0))
    partner.sandbox.faults({"kind": "status", "status": 500, "path": f"{CASES}/preview", "method": "POST", "times": 0})
    found = partner.plan()
    assert [one.state for one in found.claims] == ["planned"] * 6 + ["waiting_for_client"]
    assert not any(one.is_due for one in found.claims)
    reasons = [row.reasons[0] for row in found.document.rows[:6]]
    assert all("HTTP 500" in reason for reason in reasons[:3])
    assert all(reason.endswith("other lookups or previews of this client failed") for reason in reasons[3:])


def test_nine_previews_or_lookups_in_a_row_without_an_answer_are_an_outage() -> None:
    error = ApiError("down")
    failures = LookupFailures(None, is_applied=False)  # type: ignore[arg-type]  # no request is made

    def of(creditor: str) -> Record:
        return Record("t", "r", creditor)

    for number in range(8):
        failures.after_preview(of("c"), None, Account("t", f"c{number // 2}"), error)
    assert not failures.is_given_up(Account("t", "c0"))
    failures.was_previewed(Account("t", "c0"))
    for number in range(8):
        failures.after_preview(of("c"), None, Account("t", f"c{number}"), error)
    assert failures.is_given_up(Account("t", "c1"))
    failures.after_preview(of("c"), None, Account("t", "d"), TooManyCases("many"))
    with pytest.raises(ApiError, match="down"):
        failures.after_preview(of("c"), None, Account("t", "d"), error)
    for _ in range(3):
        failures.after_lookup(of("e"), None, error)
    assert failures.is_given_up(Account("t", "e")) and not failures.is_given_up(Account("t", "f"))
    failures.was_looked_up()
    for number in range(8):
        failures.after_lookup(of(f"g{number}"), None, error)
    with pytest.raises(ApiError, match="down"):
        failures.after_lookup(of("h"), None, error)


def test_client_whose_lookups_fail_holds_up_nobody_else(partner: Claims) -> None:
    """Three references that a gateway cannot pass on ended every run before the other clients' claims."""
    signed = partner.sandbox.get("/clients", {"PageSize": 100, "OnboardingDone": "true"})["clients"]
    one, other = (client["externalTenantId"] for client in signed[:2])
    bad = [claim(one, new_number(), creditor_reference=f"RAD-{number}") for number in range(5)]
    partner.wants(*bad, *claims(other, 2))
    path = f"{CASES}/by-creditor-reference/RAD-*"
    partner.sandbox.faults({"kind": "status", "method": "GET", "status": 500, "path": path, "times": 0})
    applied = partner.apply(tries=1)
    assert applied.document.summary == {"planned": 5, "submitted": 2}
    assert applied.stopped is None


def test_claims_that_cannot_be_sent_let_the_others_have_their_turn(
    partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, new = claims(tenant, 3), claims(tenant, 2)
    partner.wants(*held)
    partner.apply()
    fresh = {"state": "ineligible", "case_id": None, "attempts": 0, "intent_at": None, "last_attempt_at": None}
    ineligible = [one.having(creditor_reference=f"{one.creditor_reference}x", **fresh) for one in partner.all_records()]
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store(ineligible)
    for row in held:
        row["creditor_reference"] += "x"
    partner.wants(*held, *new)
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: Remaining(RESERVE + 3 * REQUESTS_TO_SEND, 90_000, None))
    partner.apply()
    states = partner.states()
    assert [states[row["creditor_reference"]] for row in new] == ["submitted"] * 2
    assert [states[row["creditor_reference"]] for row in held] == ["planned"] * 3


def test_lost_clients_whose_cases_are_too_many_hold_up_nobody(
    partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_warehouse(partner.settings)
    at = partner.now()
    lost = [Record("gone", f"{number}", "6d5c1f9e-0000-4000-8000-000000000001", state="sent", unanswered=1, intent_at=at,
                   last_attempt_at=at) for number in range(4)]  # fmt: skip
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store(lost)
    monkeypatch.setattr(lookups, "MAX_PAGES", 0)
    partner.wants(*claims(tenant, creditor_reference=f"{new_number()}"))
    for _ in range(2):
        applied = partner.apply()
        assert applied.document.summary == {"sent": 4, "submitted": 1}
        assert all("`debitura cases settle" in row.reasons[0] for row in applied.document.rows if row.state == "sent")


def test_saved_plan_is_applied_as_far_as_there_are_requests(
    partner: Claims, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = claims(tenant, 4)
    partner.wants(*wanted)
    partner.plan().document.keep(tmp_path / "plan.json")
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: Remaining(RESERVE + 3 * REQUESTS_TO_SEND, 90_000, None))
    partner.wants(*wanted[:3], {**wanted[3], "amount": "7"})
    with pytest.raises(PlanMoved, match="1 row changed"):
        partner.apply(tmp_path / "plan.json")
    partner.wants(*wanted)
    assert partner.apply(tmp_path / "plan.json").document.summary == {"planned": 2, "submitted": 2}


def test_requests_of_the_day_are_kept_too(partner: Claims, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    partner.wants(*claims(tenant, 3))
    left = Remaining(9_000, DAY_RESERVE + RESERVE + 2 * REQUESTS_TO_SEND, None)
    monkeypatch.setattr(RateLimiter, "remaining", lambda _: left)
    applied = partner.apply()
    assert applied.document.summary == {"planned": 2, "submitted": 1}
    assert applied.stopped is not None and "The rest of the day's requests" in applied.stopped


def test_claims_whose_lookup_is_refused_hold_up_no_other(partner: Claims, tenant: str) -> None:
    *refused, good = claims(tenant, 5)
    partner.wants(*refused, good)
    lookup = "/customer/cases/by-creditor-reference/"
    rules = ({"path": lookup + row["creditor_reference"], "status": 400, "times": 0} for row in refused)
    partner.sandbox.faults(*({"kind": "status", **rule} for rule in rules))
    assert partner.apply().document.summary == {"planned": 4, "submitted": 1}
