"""`cases apply` against the sandbox over HTTP: each claim once, whatever gets lost."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from debitura_pipeline.errors import ApiError, SettingsError
from debitura_pipeline.outbound.plan_document import PlanMoved
from debitura_pipeline.submission import claims_status
from debitura_pipeline.submission.facts import WriteFacts, keep_facts, keys_honoured
from debitura_pipeline.submission.lookups import Expected, found_case
from debitura_pipeline.submission.probe import probe_writes
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.states import Record
from debitura_pipeline.warehouse.identity import api_name
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.source.rows import put
from tests.submission.partner import CASES, Claims, claim, claims, fault, new_number
from tests.support.altering import altering
from tests.support.leaks import find
from tests.support.sandbox import RunningSandbox


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


def row_of(partner: Claims, reference: str) -> int:
    return next(
        row for row, case in enumerate(partner.sandbox.truth("cases")) if case["creditorReference"] == reference
    )


def test_case_that_was_changed_since_it_was_read_is_compared_as_it_is_now(
    partner: Claims, tenant: str, tmp_path: Path
) -> None:
    """One whose reference was corrected became that of two claims, and a corrected amount a conflict."""
    moved, corrected = claims(tenant, 2)
    partner.wants(moved, corrected)
    partner.apply()
    fresh = Claims(tmp_path / "elsewhere", partner.sandbox)
    fresh.sync("cases")
    ids = {reference: record.case_id for reference, record in partner.records().items()}

    def alter(path: str, document: Any) -> Any:
        for case in (document, *document.get("cases", ())):
            if case.get("id") == ids[moved["creditor_reference"]]:
                case["creditorReference"] = "corrected at Debitura"
        if corrected["creditor_reference"] in path:
            document["grossAmount"] += 1
        return document

    gone = f"{CASES}/by-creditor-reference/{moved['creditor_reference']}"
    partner.sandbox.faults({"kind": "status", "method": "GET", "status": 404, "path": gone, "times": 0})
    more = str(Decimal(corrected["amount"]) + 1)
    fresh.wants(moved, {**corrected, "amount": more})
    with altering(partner.sandbox, alter) as url:
        customer_url = url + urlsplit(partner.sandbox.customer_url).path
        fresh.endpoint = replace(fresh.endpoint, base_url=url, customer_url=customer_url)
        states = {one.record.creditor_reference: one.record.state for one in fresh.plan().claims}
    assert states == {moved["creditor_reference"]: "planned", corrected["creditor_reference"]: "already_there"}


@pytest.mark.parametrize("is_deleted", [True, False])
def test_case_that_was_deleted_since_it_was_read_does_not_keep_a_claim_from_being_sent(
    partner: Claims, tenant: str, tmp_path: Path, is_deleted: bool
) -> None:
    (wanted,) = claims(tenant)
    reference = wanted["creditor_reference"]
    partner.wants(wanted)
    partner.apply()
    fresh = Claims(tmp_path / "elsewhere", partner.sandbox)
    fresh.wants(wanted)
    fresh.sync("cases")
    if is_deleted:
        row = row_of(partner, reference)
        partner.sandbox.admin("change", {"op": "row", "resource": "cases", "action": "delete", "row": row})
        assert partner.cases(reference) == 0
    if is_deleted:
        fresh.later(hours=25)  # the same key would be answered with the answer of the first request
    applied = fresh.apply()
    assert applied.document.summary == {"submitted" if is_deleted else "already_there": 1}
    assert partner.cases(reference) == 1


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

    def said() -> tuple[str, ...]:
        return partner.plan().claims[0].reasons

    partner.later(minutes=16)
    assert said() == ("in doubt, and no case is shown: the same request would be repeated",)
    partner.later(hours=12)
    for _ in range(2):
        assert partner.apply().is_open
        partner.later(minutes=16)
    assert "waits for a proven reading" in (partner.records()[reference].message or "")
    partner.sync()
    assert said() == ("in doubt, and no case is shown: a new key would be used",)
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


def test_kept_plan_of_another_environment_binds_the_data_directory_to_none(
    partner: Claims, tenant: str, tmp_path: Path
) -> None:
    partner.wants(*claims(tenant))
    partner.plan().document.keep(tmp_path / "plan.json")
    other = Claims(tmp_path / "other", partner.sandbox, DEBITURA_CLAIMS=str(partner.source))
    other.settings = replace(other.settings, environment="test")
    with pytest.raises(PlanMoved, match="its environment was sandbox and is now test"):
        other.apply(tmp_path / "plan.json")
    other.settings = replace(other.settings, environment="sandbox")
    assert other.apply(tmp_path / "plan.json").document.summary == {"submitted": 1}


def test_bad_row_of_a_csv_is_named_with_its_line(partner: Claims, tenant: str) -> None:
    partner.wants({**claims(tenant)[0], "comments": "two\nlines"}, claim(tenant, new_number(), amount="much"))
    partner.apply()
    for document in (partner.plan().document, claims_status(partner.settings, partner.now())):
        assert document.rows[1].reasons[0].startswith("line 4: amount is not")


def test_repeated_row_is_invalid_and_recorded_once(partner: Claims, tenant: str) -> None:
    (wanted,) = claims(tenant)
    partner.wants(wanted, {**wanted, "amount": "2"}, claim(tenant, new_number()))
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


@pytest.mark.usefixtures("warehouse_env")
def test_zeros_of_one_amount_hold_up_nobody(partner: Claims, tenant: str) -> None:
    wanted = claims(tenant, 3)
    wanted[0]["amount"], wanted[1]["amount"] = "1250.5" + "0" * 35, "12345678901234.5" + "0" * 17
    partner.wants(*wanted)
    assert partner.apply().document.summary == {"invalid": 1, "submitted": 2}


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
    bad = claim(tenant, new_number(), debtor_name="Bartholomea Quince", amount="x")
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


def test_probe_goes_on_with_the_next_client_where_one_gets_no_token(partner: Claims) -> None:
    """It asked to delete test cases by hand, which were never sent."""
    partner.sandbox.faults({"kind": "status", "method": "POST", "path": "/oauth/token", "status": 404, "times": 2})
    assert probe_writes(partner.settings, partner.endpoint, partner.runtime).keys_honoured is True


@pytest.mark.parametrize("status", [404, 500])
def test_probe_says_which_test_cases_it_could_not_delete(partner: Claims, status: int) -> None:
    partner.sandbox.faults({"kind": "status", "method": "DELETE", "status": status, "times": 0})
    with pytest.raises(ApiError, match=rf"HTTP {status}.* Delete the cases with the tag debitura-pipeline-probe-"):
        probe_writes(partner.settings, partner.endpoint, partner.runtime)


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
