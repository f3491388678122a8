"""A claim in doubt that no lookup can decide: its client has no token any more, or a person says what became of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.submission.attention import claims_problems
from debitura_pipeline.submission.decision import SETTLE
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.run import claims_status
from debitura_pipeline.submission.settle import NotSettled, settle_claim
from debitura_pipeline.submission.states import BY_HAND, NO_ROW, WRONG_CASE, Record
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.partner import Claims, claim, fault, new_number
from tests.support.command import debitura
from tests.support.prepared import lay_warehouse

FORMER = "6d5c1f9e-0000-4000-8000-000000000001"


def in_doubt(partner: Claims, tenant: str, reference: str, creditor: str, **changes: Any) -> Record:
    """A request for this claim is unanswered, and was sent an hour ago."""
    lay_warehouse(partner.settings)
    at = partner.now() - timedelta(hours=1)
    record = Record(tenant, reference, creditor, state="sent", unanswered=1, intent_at=at, last_attempt_at=at)
    record = record.having(claim_hash="of another row", **changes)
    with open_warehouse(partner.settings) as warehouse:
        Records(warehouse).store([record])
    return record


def state_of(partner: Claims, creditor: str) -> str:
    (state,) = [one.state for one in partner.all_records() if one.creditor_id == creditor]
    return state


@pytest.mark.usefixtures("warehouse_env")
def test_claim_of_the_present_client_is_sent_once_a_person_has_settled_the_former_ones(
    partner: Claims, tenant: str
) -> None:
    wanted = claim(tenant, new_number())
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    in_doubt(partner, tenant, reference, FORMER)
    for _ in range(2):
        applied = partner.apply()
        assert applied.document.summary == {"conflict": 1, "sent": 1} and applied.is_open
        assert all(SETTLE in " ".join(row.reasons) for row in applied.document.rows)
    with pytest.raises(NotSettled, match="may still take effect"):
        settle_claim(partner.settings, tenant, reference, partner.now())
    partner.later(hours=12)
    settled = settle_claim(partner.settings, tenant, reference, partner.now())
    assert (settled.state, settled.unanswered) == ("planned", 0)
    applied = partner.apply()
    assert (applied.sent, applied.document.summary, applied.is_open) == (1, {"submitted": 1}, False)
    assert partner.apply().sent == 0
    assert (partner.cases(reference), len(partner.posts())) == (1, 1)


@pytest.mark.parametrize("has_row", [False, True])
@pytest.mark.parametrize("is_read", [False, True], ids=["in the listing", "in the warehouse"])
def test_case_of_a_client_without_a_token_is_found(partner: Claims, tenant: str, is_read: bool, has_row: bool) -> None:
    case = partner.sandbox.truth("cases")[0]
    creditor = case["client"]["creditorId"]
    if is_read:
        partner.sync("cases")
        partner.sandbox.faults({"kind": "status", "status": 500, "path": "/cases", "method": "GET"})
    gone = "no longer linked"
    in_doubt(partner, gone, case["creditorReference"], creditor, intent_at=partner.now() - timedelta(days=5_000))
    partner.wants(
        claim(gone, 1, creditor_reference=case["creditorReference"]) if has_row else claim(tenant, new_number())
    )
    partner.apply()
    assert state_of(partner, creditor) == "submitted"


def test_case_of_another_client_with_the_same_reference_is_not_taken(partner: Claims) -> None:
    case = partner.sandbox.truth("cases")[0]
    in_doubt(partner, "no longer linked", case["creditorReference"], FORMER)
    partner.wants(claim("nobody", new_number()))
    assert partner.apply().document.summary == {"sent": 1, "waiting_for_client": 1}
    partner.sync("cases")
    partner.apply()
    assert state_of(partner, FORMER) == "sent"
    with pytest.raises(NotSettled, match=f"Case {case['id']} belongs to client"):
        settle_claim(partner.settings, "no longer linked", case["creditorReference"], partner.now(), case_id=case["id"])


@pytest.mark.usefixtures("warehouse_env")
def test_person_names_the_case(partner: Claims, tenant: str) -> None:
    case, other = partner.sandbox.truth("cases")[:2]
    creditor, reference = case["client"]["creditorId"], case["creditorReference"]
    partner.sync("cases")
    in_doubt(partner, tenant, reference, creditor)
    in_doubt(partner, tenant, "read by nobody", creditor)
    with pytest.raises(NotSettled, match=f"Case {other['id']} (has|belongs to)"):
        settle_claim(partner.settings, tenant, reference, partner.now(), case_id=other["id"])
    found = settle_claim(partner.settings, tenant, reference, partner.now(), case_id=case["id"].upper())
    assert (found.state, found.case_id, found.reference) == ("submitted", case["id"], case["reference"])
    with pytest.raises(NotSettled, match="not in doubt but submitted"):
        settle_claim(partner.settings, tenant, reference, partner.now(), case_id=case["id"])
    unread = settle_claim(partner.settings, tenant, "read by nobody", partner.now(), case_id=FORMER)
    assert unread.message != BY_HAND and "not among those that are listed" in (unread.message or "")


def test_mistyped_case_can_be_corrected(partner: Claims, tenant: str) -> None:
    """Any id of no listed case is taken, and the claim was then settled for good."""
    case = partner.sandbox.truth("cases")[0]
    creditor, reference = case["client"]["creditorId"], case["creditorReference"]
    partner.sync("cases")
    in_doubt(partner, tenant, reference, creditor)
    wrong = settle_claim(partner.settings, tenant, reference, partner.now(), case_id=FORMER)
    assert wrong.state == "submitted"
    with pytest.raises(NotSettled, match="may still take effect"):
        settle_claim(partner.settings, tenant, reference, partner.now())
    right = settle_claim(partner.settings, tenant, reference, partner.now(), case_id=case["id"])
    assert (right.case_id, right.message) == (case["id"], BY_HAND)
    in_doubt(partner, tenant, "no case", creditor)
    settle_claim(partner.settings, tenant, "no case", partner.now(), case_id=FORMER)
    partner.later(hours=13)
    undone = settle_claim(partner.settings, tenant, "no case", partner.now())
    assert (undone.state, undone.case_id) == ("planned", None)


@pytest.mark.usefixtures("warehouse_env")
def test_case_that_was_named_before_cases_were_read_is_compared_once_they_are(partner: Claims, tenant: str) -> None:
    """A mistyped id may be that of another listed case: the claim would never be sent, and nothing would tell."""
    case, other = partner.sandbox.truth("cases")[:2]
    creditor, reference = case["client"]["creditorId"], case["creditorReference"]
    in_doubt(partner, tenant, reference, creditor, intent_at=partner.now() - timedelta(days=5_000))
    in_doubt(partner, tenant, other["creditorReference"], other["client"]["creditorId"])
    for one, named in ((case, other["id"]), (other, case["id"])):
        claim_of = tenant, one["creditorReference"]
        assert settle_claim(partner.settings, *claim_of, partner.now(), case_id=named).state == "submitted"
    partner.sync("cases")
    partner.wants(claim(tenant, new_number()))
    reasons = [row.reasons for row in claims_status(partner.settings, partner.now()).rows]
    assert sum("a person named a case that is not the claim's" in "".join(each) for each in reasons) == 2
    settled = settle_claim(partner.settings, tenant, other["creditorReference"], partner.now(), case_id=other["id"])
    assert (settled.state, settled.case_id, settled.message) == ("submitted", other["id"], BY_HAND)
    partner.apply()
    found = {one.creditor_reference: one for one in partner.all_records()}
    assert found[reference].case_id == case["id"], "looked up as any claim in doubt"


def test_named_case_that_no_reading_shows_is_asked_for(partner: Claims, tenant: str) -> None:
    """Test cases are not listed everywhere, so a mistyped id of one was never found out."""
    case, other = partner.sandbox.truth("cases")[:2]
    for one in (case, other):
        in_doubt(partner, tenant, one["creditorReference"], one["client"]["creditorId"])
    settle_claim(partner.settings, tenant, case["creditorReference"], partner.now(), case_id=case["id"])
    with pytest.raises(NotSettled, match="belongs to another claim"):
        settle_claim(partner.settings, tenant, other["creditorReference"], partner.now(), case_id=case["id"])
    third = partner.sandbox.truth("cases")[2]
    settle_claim(partner.settings, tenant, other["creditorReference"], partner.now(), case_id=third["id"])
    (line,) = claims_problems([one for one in partner.all_records() if one.has_unseen_case])
    assert line.startswith("2 claims") and "settled by hand with a case that is not shown" in line
    partner.wants(claim(tenant, new_number()))
    for _ in range(2):
        partner.apply()
        found = {one.creditor_reference: one for one in partner.all_records()}
        assert found[case["creditorReference"]].message == BY_HAND
        undone = found[other["creditorReference"]]
        assert (undone.state, undone.case_id) == ("sent", None)
        message = undone.message or ""
        assert message.startswith(f"{WRONG_CASE} Case {third['id']} ") and message.count("a request is unanswered") == 1


def test_case_that_was_deleted_since_it_was_read_is_compared_when_it_is_named(partner: Claims, tenant: str) -> None:
    partner.sync("cases")
    gone = partner.sandbox.truth("cases")[0]
    change = {"op": "row", "resource": "cases", "action": "delete", "row": 0}
    assert partner.sandbox.admin("change", change)["id"] == gone["id"]
    partner.sync("cases")
    in_doubt(partner, tenant, "LOSE-1", FORMER)
    with pytest.raises(NotSettled, match="belongs to client"):
        settle_claim(partner.settings, tenant, "LOSE-1", partner.now(), case_id=gone["id"])


def test_case_that_was_named_before_cases_were_read_and_is_the_claims_is_confirmed(
    partner: Claims, tenant: str
) -> None:
    wanted = claim(tenant, new_number())
    case = partner.sandbox.truth("cases")[0]
    in_doubt(partner, tenant, case["creditorReference"], case["client"]["creditorId"], error_types="DuplicateReference")
    settle_claim(partner.settings, tenant, case["creditorReference"], partner.now(), case_id=case["id"])
    partner.sync("cases")
    partner.wants(wanted)
    partner.apply()
    found = {one.creditor_reference: one for one in partner.all_records()}[case["creditorReference"]]
    assert (found.state, found.message, found.reference) == ("submitted", BY_HAND, case["reference"])
    assert found.error_types is None


@pytest.mark.usefixtures("warehouse_env")
def test_case_of_another_claim_or_with_another_amount_is_not_the_claims(partner: Claims, tenant: str) -> None:
    """A claim would be forgotten: it would have a case that is not its own."""
    wanted = claim(tenant, new_number())
    partner.wants(wanted)
    partner.apply()
    (sent,) = partner.all_records()
    in_doubt(partner, tenant, "another", str(sent.creditor_id))
    with pytest.raises(NotSettled, match=f"belongs to another claim, {wanted['creditor_reference']}"):
        settle_claim(partner.settings, tenant, "another", partner.now(), case_id=sent.case_id)
    case = partner.sandbox.truth("cases")[0]
    creditor, reference = case["client"]["creditorId"], case["creditorReference"]
    partner.sync("cases")
    in_doubt(partner, tenant, reference, creditor, amount=Decimal(99_999), currency="XYZ")
    with pytest.raises(NotSettled, match="differs from the claim in amount, currency"):
        settle_claim(partner.settings, tenant, reference, partner.now(), case_id=case["id"])


def test_claim_that_is_held_for_the_former_client_and_no_longer_wanted_is_no_problem(
    partner: Claims, tenant: str
) -> None:
    wanted, other = claim(tenant, new_number()), claim("nobody", new_number())
    partner.wants(wanted, other)
    in_doubt(partner, tenant, wanted["creditor_reference"], FORMER)
    assert partner.apply().document.summary == {"conflict": 1, "sent": 1, "waiting_for_client": 1}
    partner.wants(other)
    partner.apply()
    partner.later(hours=12)
    settle_claim(partner.settings, tenant, wanted["creditor_reference"], partner.now())
    assert partner.apply().document.summary == {"waiting_for_client": 1}
    assert {one.message for one in partner.all_records() if one.external_tenant_id == tenant} == {NO_ROW}


def test_settling_needs_the_data_directorys_own_settings(partner: Claims, tenant: str) -> None:
    partner.sync("cases")
    in_doubt(partner, tenant, "INV-1", FORMER)
    other = {**partner.env, "DEBITURA_PRIVACY_KEY": "another key for tests only 987654321"}
    ended = debitura("cases", "settle", tenant, "INV-1", "--case", FORMER, env=other)
    assert ended.status == 1 and "privacy key" in ended.error_line
    assert state_of(partner, FORMER) == "sent"


def test_row_that_changed_while_in_doubt_is_sent_with_another_key(partner: Claims, tenant: str) -> None:
    wanted = claim(tenant, new_number())
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    partner.sandbox.faults(fault("status", status=500))
    assert partner.apply().document.summary == {"sent": 1}
    partner.sandbox.faults()
    partner.wants({**wanted, "amount": "77.5"})
    partner.later(hours=13)
    assert partner.apply().document.summary == {"sent": 1}
    settle_claim(partner.settings, tenant, reference, partner.now())
    assert partner.apply().document.summary == {"submitted": 1}
    first, second = partner.keys()[reference]
    assert first != second and partner.cases(reference) == 1


def test_of_two_clients_one_is_named(partner: Claims, tenant: str) -> None:
    for creditor in (FORMER, FORMER[:-1] + "2"):
        in_doubt(partner, tenant, "both", creditor)
    with pytest.raises(NotSettled, match="2 clients have a claim to be settled: add --creditor with"):
        settle_claim(partner.settings, tenant, "both", partner.now(), case_id=FORMER)
    settle_claim(partner.settings, tenant, "both", partner.now(), case_id=FORMER, creditor_id=FORMER.upper())
    assert (state_of(partner, FORMER), state_of(partner, FORMER[:-1] + "2")) == ("submitted", "sent")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--case", FORMER], 0, f"Recorded: INV-1 was submitted as case {FORMER}."),
        (["--no-case"], 1, "The last request was sent at"),
        ([], 2, "Give either --case ID or --no-case."),
        (["--case", FORMER, "--no-case"], 2, "Give either --case ID or --no-case."),
        (["--case", "7"], 1, "7 is not the id of a case."),
        (["--case", FORMER, "--creditor", FORMER[:-1] + "2"], 1, "No such claim is recorded."),
    ],
)
def test_command_says_what_it_recorded(
    partner: Claims, tenant: str, options: list[str], status: int, said: str
) -> None:
    in_doubt(partner, tenant, "INV-1", FORMER)
    ended = debitura("cases", "settle", tenant, "INV-1", *options, env=partner.env)
    assert (ended.status, said in ended.out + ended.err) == (status, True), ended
    if status:
        assert ended.error_line
    assert partner.posts() == []


def test_conflict_that_ended_a_doubt_can_be_settled_once_its_case_is_gone(partner: Claims, tenant: str) -> None:
    """No lookup tells what became of the request, and the claim was lost."""
    case = partner.sandbox.truth("cases")[0]
    creditor = case["client"]["creditorId"]
    in_doubt(partner, tenant, "was in doubt", creditor, state="conflict", case_id=FORMER)
    with pytest.raises(NotSettled, match="may still take effect"):
        settle_claim(partner.settings, tenant, "was in doubt", partner.now())
    partner.later(hours=13)
    settled = settle_claim(partner.settings, tenant, "was in doubt", partner.now())
    assert (settled.state, settled.unanswered, settled.case_id) == ("planned", 0, None)
    in_doubt(partner, tenant, "never sent", creditor, state="conflict", unanswered=0)
    with pytest.raises(NotSettled, match="not in doubt but conflict"):
        settle_claim(partner.settings, tenant, "never sent", partner.now())
