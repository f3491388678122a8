"""`cases apply` against the sandbox over HTTP: each claim once, whatever gets lost."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.rate_limit import RateLimiter, Remaining
from debitura_pipeline.api.write_budget import DAY_RESERVE
from debitura_pipeline.errors import ApiError, SettingsError
from debitura_pipeline.outbound.plan_document import PlanMoved
from debitura_pipeline.submission import claims_status, lookups
from debitura_pipeline.submission.facts import WriteFacts, keep_facts, keys_honoured
from debitura_pipeline.submission.lookup_failures import NOT_REACHED, REQUESTS_TO_SEND, RESERVE, LookupFailures
from debitura_pipeline.submission.lookups import Expected, TooManyCases, found_case
from debitura_pipeline.submission.probe import probe_writes
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.sessions import Account
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.identity import api_name
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.source.rows import put
from tests.submission.partner import CASES, Claims, claim, fault
from tests.support.leaks import find
from tests.support.prepared import lay_warehouse
from tests.support.sandbox import RunningSandbox

_next = iter(range(1, 10_000))


@pytest.fixture
def tenant(sandbox: RunningSandbox) -> str:
    """A client that has signed everything."""
    clients = sandbox.get("/clients", {"PageSize": 100, "OnboardingDone": "true"})["clients"]
    return str(clients[0]["externalTenantId"])


def claims(tenant: str, count: int = 1, **changes: str) -> list[dict[str, str]]:
    """Claims that no other test has."""
    return [claim(tenant, next(_next), **changes) for _ in range(count)]


@pytest.mark.usefixtures("warehouse_env")
def test_each_claim_is_sent_once_and_a_second_apply_sends_nothing(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 3)
    partner.wants(*wanted, claim(tenant, 0, amount="none"), claim("nobody", 0))
    planned = partner.plan()
    assert [one.state for one in planned.claims] == ["planned"] * 3 + ["invalid", "waiting_for_client"]
    assert partner.posts() == []
    first = partner.apply()
    assert first.document.summary == {"invalid": 1, "submitted": 3, "waiting_for_client": 1} and not first.is_open
    second = partner.apply()
    assert (second.sent, second.document.summary) == (0, first.document.summary)
    assert len(partner.posts()) == 3
    assert all(partner.cases(row["creditor_reference"]) == 1 for row in wanted)
    partner.wants(*wanted, *claims(tenant))
    (like,) = (one for one in partner.plan().claims if one.state == "planned")
    assert f"looks like claim {wanted[0]['creditor_reference']}: same client, amount and currency" in like.warnings


@pytest.mark.parametrize(
    ("rule", "posts"),
    [
        (fault("status", status=500), 2),
        (fault("status", status=503, effect="now"), 1),
        (fault("reset"), 1),
        (fault("html", effect="now"), 1),
        (fault("status", status=504, effect="late", effect_delay_s=300), 2),
    ],
    ids=["no effect", "effect and 503", "effect and reset", "effect and nonsense", "late effect"],
)
@pytest.mark.parametrize("switches", [{}, {"key_life_s": 0}, {"lookup_delay_s": 600.0, "refuses_duplicates": False}])
def test_request_without_an_answer_is_resolved_by_asking(
    partner: Claims, tenant: str, rule: dict[str, Any], posts: int, switches: dict[str, Any]
) -> None:
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    partner.sandbox.undocumented(**switches)
    partner.sandbox.faults(rule)
    partner.apply()
    partner.apply()
    assert len(partner.posts()) == 1, "less than a quarter of an hour later, nothing is sent again"
    partner.later(minutes=15, seconds=10)
    after = partner.apply()
    assert after.document.summary == {"submitted": 1} and not after.is_open
    partner.later(minutes=15)
    assert (len(partner.posts()) <= posts, partner.cases(reference)) == (True, 1)
    assert len(set(partner.keys()[reference])) == 1 and len({entry["body_hash"] for entry in partner.posts()}) == 1


def test_case_filed_by_hand_is_adopted_or_a_conflict_and_nothing_is_sent(
    partner: Claims, tenant: str, tmp_path: Path
) -> None:
    same, other = claims(tenant, 2)
    partner.wants(same, other)
    partner.apply()
    fresh = Claims(tmp_path / "elsewhere", partner.sandbox)
    fresh.wants(same, {**other, "amount": "77"})
    found = fresh.apply()
    assert (found.sent, found.document.summary) == (0, {"already_there": 1, "conflict": 1})
    assert "differs in amount" in (fresh.records()[other["creditor_reference"]].message or "")
    fresh.wants(same, other)
    assert fresh.apply().document.summary == {"already_there": 2}
    fresh.wants({**same, "debtor_name": "Renamed"}, other)
    assert fresh.apply().document.summary == {"already_there": 1, "changed_after": 1}
    assert len(partner.posts()) == 2


def test_refusal_is_final_until_its_cause_is_gone(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    partner.sandbox.faults(fault("status", status=422))
    assert partner.apply().is_open and partner.states() == {reference: "refused"}
    partner.apply()
    assert len(partner.posts()) == 1
    partner.wants({**wanted, "amount": "1251"})
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(set(partner.keys()[reference])) == 2


def test_client_that_has_papers_to_sign_waits_and_is_sent_when_it_has(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    lacking = {"op": "lack", "tenant": tenant, "types": ["MissingPowerOfAttorney"]}
    partner.sandbox.faults(fault("change", when="before", change=lacking))
    partner.apply()
    assert partner.states() == {reference: "waiting_for_client"}
    assert partner.apply().document.rows[0].reasons == ("MissingPowerOfAttorney",)
    partner.sandbox.admin("change", {**lacking, "types": []})
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(partner.posts()) == 2 and len(set(partner.keys()[reference])) == 2


def test_row_that_changed_while_in_doubt_needs_a_human(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    partner.wants(wanted)
    partner.sandbox.faults(fault("status"))
    partner.apply()
    partner.wants({**wanted, "amount": "3"})
    partner.later(hours=1)
    assert partner.apply().is_open
    assert "needs a human: the row changed" in partner.plan().document.rows[0].reasons[0]
    put(partner.source, "")
    partner.wants(claim("nobody", 0))
    partner.apply()
    assert len(partner.posts()) == 1
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(partner.posts()) == 2 and partner.cases(wanted["creditor_reference"]) == 1


def test_new_key_after_twelve_hours_only_when_nothing_is_there(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    partner.sandbox.faults(fault("status"))
    partner.apply()
    partner.later(hours=12, minutes=1)
    for _ in range(2):
        assert partner.apply().is_open
        partner.later(minutes=16)
    assert "waits for a complete reading" in (partner.records()[reference].message or "")
    partner.sync()
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(set(partner.keys()[reference])) == 2 and partner.cases(reference) == 1


def test_refused_token_is_issued_again_once(partner: Claims, tenant: str) -> None:
    once, twice = claims(tenant, 2)
    partner.wants(once)
    partner.sandbox.faults(fault("status", status=401))
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(once, twice)
    partner.sandbox.faults(fault("status", status=401, times=2))
    assert partner.apply().document.summary == {"submitted": 1, "waiting_for_client": 1}
    assert all(len(set(keys)) == 1 for keys in partner.keys().values())


def test_rate_limit_is_waited_out_with_the_same_key(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    partner.wants(wanted)
    partner.sandbox.faults(fault("rate_limited", retry_after=0.1))
    assert partner.apply().document.summary == {"submitted": 1}
    assert len(partner.posts()) == 2 and len(set(partner.keys()[wanted["creditor_reference"]])) == 1


def test_apply_stops_when_most_is_refused(partner: Claims, tenant: str) -> None:
    partner.wants(*claims(tenant, 30))
    partner.sandbox.faults(fault("status", status=422, times=0))
    applied = partner.apply()
    assert applied.stopped is not None and "of the last 20 claims" in applied.stopped
    assert len(partner.posts()) == 20 and applied.document.summary == {"planned": 10, "refused": 20}


def test_kept_plan_binds(partner: Claims, tenant: str, tmp_path: Path) -> None:
    first, second = claims(tenant, 2)
    partner.wants(first)
    kept = tmp_path / "plan.json"
    document = partner.plan().document
    document.keep(kept)
    assert document.sums == {"EUR": 1250.5}
    row = json.loads(kept.read_text())["rows"][0]
    assert float(row["expected_fee"]) == pytest.approx(1250.5 * float(row["success_fee_pct"]) / 100, abs=0.01)
    partner.wants(first, second)
    with pytest.raises(PlanMoved):
        partner.apply(kept)
    assert partner.posts() == []
    partner.wants(first)
    assert partner.apply(kept).document.summary == {"submitted": 1}


def test_bad_row_of_a_csv_is_named_with_its_line(partner: Claims, tenant: str) -> None:
    partner.wants({**claims(tenant)[0], "comments": "two\nlines"}, claim(tenant, next(_next), amount="much"))
    partner.apply()
    for document in (partner.plan().document, claims_status(partner.settings, partner.now())):
        assert document.rows[1].reasons[0].startswith("line 4: amount is not")


def test_repeated_row_is_invalid_and_recorded_once(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    partner.wants(wanted, {**wanted, "amount": "2"}, claim(tenant, next(_next)))
    for _ in range(2):
        assert partner.apply().document.summary == {"invalid": 2, "submitted": 1}
        assert len(partner.rows("SELECT 1 FROM ops.submissions")) == 2
    assert claims_status(partner.settings, partner.now()).summary == {"invalid": 2, "submitted": 1}


def test_claim_of_the_tenants_former_client_is_not_sent_again_without_a_word(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 2)
    partner.wants(*wanted)
    hashes = {one.row.key[1]: one.row.row_hash for one in partner.plan().claims if one.row}
    former, first = "6d5c1f9e-0000-4000-8000-000000000001", wanted[0]["creditor_reference"]
    with open_warehouse(partner.settings) as warehouse:
        sent = Record(tenant, first, former, claim_hash=hashes[first], state="submitted", reference="DC-1")
        Records(warehouse).store([sent])
    found = {row.creditor_reference: (row.state, row.reasons) for row in partner.plan().document.rows}
    assert found[first][0] == "planned"
    assert "this very row was submitted for the tenant's former client, as case DC-1" in found[first][1]
    assert not any("former client" in reason for reason in found[wanted[1]["creditor_reference"]][1])


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
    assert all(reason.endswith("other previews of this client failed") for reason in reasons[3:])


def test_nine_previews_or_three_lookups_in_a_row_without_an_answer_are_an_outage() -> None:
    error, record = ApiError("down"), Record("t", "r")
    failures = LookupFailures(None, is_applied=False)  # type: ignore[arg-type]  # no request is made
    for number in range(8):
        failures.after_preview(record, None, Account("t", f"c{number // 2}"), error)
    assert not failures.is_given_up(Account("t", "c0"))
    failures.was_previewed(Account("t", "c0"))
    for number in range(8):
        failures.after_preview(record, None, Account("t", f"c{number}"), error)
    assert failures.is_given_up(Account("t", "c1"))
    failures.after_preview(record, None, Account("t", "d"), TooManyCases("many"))
    with pytest.raises(ApiError, match="down"):
        failures.after_preview(record, None, Account("t", "d"), error)
    for _ in range(2):
        failures.after_lookup(record, None, error)
    failures.was_looked_up()
    for _ in range(2):
        failures.after_lookup(record, None, error)
    with pytest.raises(ApiError, match="down"):
        failures.after_lookup(record, None, error)


@pytest.mark.parametrize(
    ("state", "values"),
    [("conflict", {"attempts": 1}), ("refused", {"http_status": 422, "error_types": "x", "attempts": 1}), ("planned", {})],
)  # fmt: skip
def test_claim_that_is_put_off_keeps_what_its_next_decision_rests_on(
    partner: Claims, tenant: str, state: str, values: dict[str, Any]
) -> None:
    """A claim that waited for a person was sent once something else had put it off."""
    (wanted,) = claims(tenant, creditor_reference=f"INV-{next(_next)}")
    partner.wants(wanted)
    (planned,) = partner.plan().claims
    assert planned.row is not None
    record = planned.record.having(state=state, claim_hash=planned.row.row_hash, **values)
    at = partner.now()
    doubt = Record(record.external_tenant_id, record.creditor_reference.lower(), record.creditor_id, state="sent",
                   unanswered=1, intent_at=at, last_attempt_at=at)  # fmt: skip
    lay_warehouse(partner.settings)
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store([record, doubt])
    for _ in range(2):
        partner.wants({**wanted, "amount": "9"} if state == "refused" else wanted)
        partner.apply()
        assert partner.states()[record.creditor_reference] == state
    assert partner.posts() == []


def test_two_spellings_in_one_apply_wait_for_each_other(partner: Claims, tenant: str) -> None:
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"INV-{next(_next)}"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper, lower)
    partner.sandbox.faults(fault("status", status=500))
    assert partner.apply().document.summary == {"planned": 1, "sent": 1}
    assert len(partner.keys()) == 1
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"planned": 1, "submitted": 1}
    assert partner.apply().document.summary == {"submitted": 2}


def test_pseudonym_of_a_reference_protects_its_case_too(partner: Claims, tenant: str) -> None:
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"] = f"KIM.{next(_next)}@EXAMPLE.COM"
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(upper, lower)
    partner.sandbox.faults(fault("status", status=500))
    assert partner.apply().document.summary == {"sent": 1, "submitted": 1}
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"submitted": 2}


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
    partner.wants(*claims(tenant))
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


@pytest.mark.usefixtures("warehouse_env")
def test_zeros_of_one_amount_hold_up_nobody(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 3)
    wanted[0]["amount"], wanted[1]["amount"] = "1250.5" + "0" * 35, "12345678901234.5" + "0" * 17
    partner.wants(*wanted)
    assert partner.apply().document.summary == {"invalid": 1, "submitted": 2}


@pytest.mark.parametrize("has_row", [True, False])
def test_case_of_another_spelling_of_the_reference_is_another_claims(
    partner: Claims, tenant: str, *, has_row: bool
) -> None:
    """The listing's search ignores letter case, and showed the case of one claim for the other."""
    upper, lower = claims(tenant, 2)
    upper["creditor_reference"], lower["creditor_reference"] = (f"{letters}-{next(_next)}" for letters in ("INV", "x"))
    lower["creditor_reference"] = upper["creditor_reference"].lower()
    partner.wants(upper)
    assert partner.apply().document.summary == {"submitted": 1}
    partner.wants(*([upper] if has_row else []), lower)
    partner.sandbox.faults(fault("status", status=500))
    partner.apply()
    assert partner.states()[lower["creditor_reference"]] == "sent"
    partner.sandbox.faults()
    partner.later(minutes=16)
    assert partner.apply().document.summary == {"submitted": 1 + has_row}


def test_other_spelling_of_a_claim_in_doubt_waits(partner: Claims, tenant: str) -> None:
    """A reference that was corrected while in doubt may be the same claim."""
    (wanted,) = claims(tenant, creditor_reference=f"INV-{next(_next)}")
    partner.sandbox.undocumented(lookup_delay_s=3_600.0)
    partner.sandbox.faults(fault("close", effect="now"))
    partner.wants(wanted)
    assert partner.apply().document.summary == {"sent": 1}
    reference = wanted["creditor_reference"]
    partner.wants({**wanted, "creditor_reference": reference.lower()})
    applied = partner.apply()
    assert applied.document.summary == {"planned": 1, "sent": 1}
    assert f"waits until it is known what became of {reference}" in applied.document.rows[0].reasons[0]
    assert list(partner.keys()) == [reference]
    partner.later(hours=2)
    partner.wants(wanted)
    assert partner.apply().document.summary == {"submitted": 1}


def test_without_permission_nothing_is_sent(sandbox: RunningSandbox, tmp_path: Path, tenant: str) -> None:
    partner = Claims(tmp_path, sandbox, DEBITURA_WRITES="clients")
    partner.wants(*claims(tenant))
    before = len(partner.sandbox.ledger())
    with pytest.raises(SettingsError, match="DEBITURA_WRITES=cases"):
        partner.apply()
    assert len(partner.sandbox.ledger()) == before


def test_nothing_personal_reaches_the_disk(partner: Claims, tenant: str, tmp_path: Path) -> None:
    (wanted,) = claims(
        tenant,
        debtor_name="Quirina Vandermolen",
        debtor_contact_person="Ottoline Fenwickshire",
        debtor_address="Zwaluwlaan 8811",
        debtor_email="q.vandermolen@obscure.example",
        comments="Spoke to Ludmilla at noon",
    )
    bad = claim(tenant, next(_next), debtor_name="Bartholomea Quince", amount="x")
    partner.wants(wanted, bad)
    partner.plan().document.keep(partner.settings.data_dir / "plan.json")
    partner.sandbox.faults(fault("reset", effect="none"))
    partner.apply()
    words = ["Vandermolen", "Fenwickshire", "Zwaluwlaan", "obscure.example", "Ludmilla", "Bartholomea", "eyJ"]
    assert not find(partner.settings.data_dir, words)


@pytest.mark.parametrize("holds", [True, False])
def test_probe_measures_the_assumptions_and_leaves_nothing_behind(partner: Claims, holds: bool) -> None:
    if not holds:
        partner.sandbox.undocumented(key_life_s=0, refuses_duplicates=False)
    facts = probe_writes(partner.settings, partner.endpoint, partner.runtime)
    assert (facts.keys_honoured, facts.refuses_duplicates, facts.lookup_delay_s) == (holds, holds, 0.0)
    assert keys_honoured(partner.settings) is holds
    assert not any("probe-" in (case["creditorReference"] or "") for case in partner.sandbox.truth("cases"))
    for elsewhere in ({"environment": "production"}, {"api_url": "https://referral-api.debitura.com"}):
        with pytest.raises(SettingsError, match="production"):
            probe_writes(replace(partner.settings, **elsewhere), partner.endpoint)  # type: ignore[arg-type]


def test_probe_says_which_test_cases_it_could_not_delete(partner: Claims) -> None:
    partner.sandbox.faults({"kind": "status", "method": "DELETE", "status": 404, "times": 0})
    with pytest.raises(ApiError, match=r"HTTP 404\. Delete the cases with the tag debitura-pipeline-probe-"):
        probe_writes(partner.settings, partner.endpoint, partner.runtime)


def test_claims_whose_lookup_is_refused_hold_up_no_other(partner: Claims, tenant: str) -> None:
    *refused, good = claims(tenant, 5)
    partner.wants(*refused, good)
    lookup = "/customer/cases/by-creditor-reference/"
    rules = ({"path": lookup + row["creditor_reference"], "status": 400, "times": 0} for row in refused)
    partner.sandbox.faults(*({"kind": "status", **rule} for rule in rules))
    assert partner.apply().document.summary == {"planned": 4, "submitted": 1}


@pytest.mark.parametrize(("shown", "names"), [("0.10000000000000000555", ()), ("0.1049", ()), ("0.11", ("amount",))])
def test_amount_that_came_as_a_double_is_the_claims(shown: str, names: tuple[str, ...]) -> None:
    case = {"id": "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77", "grossAmount": Decimal(shown)}
    assert found_case(case, Expected("I-1", Decimal("0.1"))).differences == names


@pytest.mark.parametrize(("kind", "posts"), [("status", 2), ("reset", 1)])
def test_answered_request_is_repeated_at_once_where_keys_were_found_to_be_honoured(
    partner: Claims, tenant: str, kind: str, posts: int
) -> None:
    """A lost request may still be on its way, and what its repeat would meet then was not measured."""
    (wanted,) = claims(tenant)
    partner.wants(wanted)
    partner.settings.data_dir.mkdir(exist_ok=True)
    keep_facts(partner.settings, WriteFacts(api_name(partner.settings), "2026-01-01", keys_honoured=True))
    partner.sandbox.faults(fault(kind, effect="none"))
    assert partner.apply().document.summary == {"submitted" if posts == 2 else "sent": 1}
    assert len(set(partner.keys()[wanted["creditor_reference"]])) == 1
    assert len(partner.posts()) == posts
