"""Registering clients, signing, withdrawing, and tokens for the Customer API."""

from __future__ import annotations

import re
from typing import Any

import pytest

from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions
from tests.sandbox.claims import CLAIM
from tests.sandbox.local import LocalSandbox, exact

BODY: dict[str, Any] = {
    "externalTenantId": "new-1",
    "client": {"name": "Ny Kunde ApS", "country": "DK", "supportEmail": "info@nykunde.example", "city": "Ribe"},
    "users": [{"name": "Asta Vindfeld Krog", "email": "asta@nykunde.example"}],
    "cases": [
        CLAIM
        | {"currencyCode": "SEK", "amountToRecover": 120.55, "allowPendingContracts": True, "creditorReference": "A-1"},
        CLAIM | {"amountToRecover": 80, "allowPendingContracts": True, "creditorReference": None},
    ],
}


@pytest.fixture
def sandbox():
    return LocalSandbox()


def post(sandbox, body, **changes):
    response = sandbox.call("POST", "/clients", body | changes)
    return response.status, exact(response.body)


def test_new_client_is_202_until_it_has_signed_and_repeats_create_nothing(sandbox):
    status, made = post(sandbox, BODY)
    assert (status, made["onboardingDone"], made["isAttributedClient"]) == (202, False, True)
    assert "companydetails" in made["onboardingLinks"]["url"]
    assert made["client"]["companyName"] == "Ny Kunde ApS"
    cases = sandbox.rows("/cases", ExternalTenantId="new-1")
    assert {row["lifecycle"] for row in cases} == {"Pending contract signing"}
    assert {(row["grossAmount"], row["currency"]) for row in cases} == {(exact(b"120.55"), "SEK"), (80, "EUR")}
    status, again = post(sandbox, BODY)
    assert status == 202
    assert [fault["errorType"] for fault in again["caseResults"]["failedCases"]] == ["IdempotencyViolation"] * 2
    assert again["client"]["id"] == made["client"]["id"]
    assert len(sandbox.rows("/cases", ExternalTenantId="new-1")) == 2
    sandbox.app.change({"op": "sign", "tenant": "new-1"})
    assert post(sandbox, BODY)[0] == 201
    assert {row["lifecycle"] for row in sandbox.rows("/cases", ExternalTenantId="new-1")} == {
        "Pending Verification Internal"
    }
    sandbox.app.change({"op": "upgrade", "tenant": "new-1"})
    status, renewed = post(sandbox, BODY)
    assert (status, "ContractUpgrade" in renewed["onboardingLinks"]["url"]) == (202, True)


def test_field_errors_rule_errors_and_conflicts(sandbox):
    assert post(sandbox, {"externalTenantId": "x"})[0] == 400
    twice = [BODY["cases"][0], BODY["cases"][0]]
    assert "cases" in post(sandbox, BODY, cases=twice)[1]
    status, broken = post(sandbox, BODY, cases=[CLAIM])
    assert (status, broken["businessErrors"][0]["type"]) == (422, "MissingDebtCollectionContract")
    known = sandbox.get("/clients", PageSize=1)["clients"][0]["client"]["officeEmail"]
    status, conflict = post(sandbox, BODY, client=BODY["client"] | {"supportEmail": known.upper()})
    assert (status, conflict["type"]) == (409, "ClientExistsNeedsLinking")
    assert conflict["data"]["onboardingLinks"]["url"]
    status, taken = post(sandbox, BODY, client=BODY["client"] | {"supportEmail": "a@taken-elsewhere.example"})
    assert (status, taken["data"]) == (409, {"externalTenantId": "new-1"})
    assert sandbox.call("GET", "/clients/new-1").status == 404
    assert sandbox.call("POST", "/clients", None).status == 400


def users(domain):
    return [{"name": "Kim Known", "email": f"kim@{domain}"}]


def later(sandbox, days):
    sandbox.call("POST", "/sandbox/clock", {"seconds": days * 86_400})


def open_link(sandbox, url):
    return sandbox.call("POST", "/sandbox/open-link", {"url": url}).status


def test_signing_link_expires_and_a_repeat_gives_a_fresh_one(sandbox):
    first = post(sandbox, BODY)[1]["onboardingLinks"]["url"]
    assert post(sandbox, BODY)[1]["onboardingLinks"]["url"] == first, "one that is still good stays"
    later(sandbox, 7)
    assert sandbox.get("/clients/new-1")["onboardingLinks"]["url"] == first
    assert open_link(sandbox, first) == 400
    fresh = post(sandbox, BODY)[1]["onboardingLinks"]["url"]
    assert fresh != first
    assert (open_link(sandbox, first), open_link(sandbox, fresh)) == (400, 200)
    assert post(sandbox, BODY)[0] == 201


def test_known_client_approves_and_its_cases_are_created_then(sandbox):
    status, conflict = post(sandbox, BODY, users=users("known-to-debitura.example"))
    assert (status, conflict["type"]) == (409, "ClientExistsNeedsLinking")
    assert sandbox.call("GET", "/clients/new-1").status == 404
    assert post(sandbox, BODY, users=users("known-to-debitura.example"))[1] == conflict
    assert open_link(sandbox, conflict["data"]["onboardingLinks"]["url"]) == 200
    client = sandbox.get("/clients/new-1")
    assert (client["isAttributedClient"], client["onboardingDone"]) == (False, True)
    assert len(sandbox.rows("/cases", ExternalTenantId="new-1")) == 2
    assert post(sandbox, BODY, users=users("known-to-debitura.example"))[0] == 201


def test_request_to_link_expires_or_is_declined_and_a_repeat_gives_a_fresh_one(sandbox):
    known = users("known-to-debitura.example")
    first = post(sandbox, BODY, users=known)[1]["data"]["onboardingLinks"]["url"]
    later(sandbox, 8)
    assert open_link(sandbox, first) == 400
    second = post(sandbox, BODY, users=known)[1]["data"]["onboardingLinks"]["url"]
    sandbox.app.change({"op": "decline_link", "tenant": "new-1"})
    third = post(sandbox, BODY, users=known)[1]["data"]["onboardingLinks"]["url"]
    assert len({first, second, third}) == 3
    assert (open_link(sandbox, second), open_link(sandbox, third)) == (400, 200)


def test_conflict_has_either_spelling_and_may_be_wrapped(sandbox):
    elsewhere = users("taken-elsewhere.example")
    assert post(sandbox, BODY, users=elsewhere)[1]["type"] == "ClientAlreadyLinkedToAnotherPartner"
    switches = {"linked_elsewhere_type": "AlreadyLinkedToAnotherPartner", "wraps_conflicts": True}
    sandbox.call("POST", "/sandbox/undocumented", switches)
    status, wrapped = post(sandbox, BODY, users=elsewhere)
    assert (status, wrapped["conflictResponse"]["type"]) == (409, "AlreadyLinkedToAnotherPartner")


def test_client_can_be_refused_by_a_rule(sandbox):
    status, refused = post(sandbox, BODY, users=users("blocked.example"))
    assert (status, [error["type"] for error in refused["businessErrors"]]) == (422, ["CreditorBlocked"])


def test_field_errors_of_a_registration_come_in_three_shapes(sandbox):
    for shape, key in (("fields", "client.country"), ("structured", "businessErrors"), ("problem", "errors")):
        sandbox.call("POST", "/sandbox/undocumented", {"field_errors": shape})
        status, errors = post(sandbox, BODY, client=BODY["client"] | {"country": "?"})
        assert (status, key in errors) == (400, True)
    assert sandbox.call("POST", "/clients", None).status == 400


def test_cases_that_cannot_be_created_do_not_stop_the_client(sandbox):
    nowhere = CLAIM | {"allowPendingContracts": True, "debtor": CLAIM["debtor"] | {"countryAlpha2": "ZW"}}
    broken = CLAIM | {"allowPendingContracts": True, "creditorReference": "B", "amountToRecover": 0}
    status, made = post(sandbox, BODY, cases=[nowhere, broken, BODY["cases"][0]])
    failed = made["caseResults"]["failedCases"]
    assert (status, [each["errorType"] for each in failed]) == (202, ["NoPartnerAvailable", "ValidationError"])
    assert list(failed[1]["validationErrors"]) == ["amountToRecover"]
    assert [each["creditorReference"] for each in made["caseResults"]["successfulCases"]] == ["A-1"]


def test_registered_company_is_the_same_after_a_restart(tmp_path):
    file = tmp_path / "state.json"
    sandbox = LocalSandbox()
    sandbox.app.journal = Journal(WorldOptions(clients=14, cases=400, transactions=900), file)
    made = post(sandbox, BODY)[1]
    assert not {"Vindfeld", "asta", "Zobel"} & set(re.split(r"\W", file.read_text()))
    again = LocalSandbox()
    again.app.journal = Journal.open(file, WorldOptions())
    found = again.get("/clients/new-1")["client"]
    for name in ("id", "companyName", "country", "city", "companyRegistrationNumber"):
        assert found[name] == made["client"][name]


def test_withdrawn_client_is_gone_and_its_id_makes_a_new_record(sandbox):
    first = post(sandbox, BODY)[1]["client"]["id"]
    assert sandbox.call("POST", "/clients/new-1/withdraw").status == 204
    assert sandbox.call("GET", "/clients/new-1").status == 404
    assert {row["closeCode"] for row in sandbox.rows("/cases", ExternalTenantId="new-1")} == {
        "Case never started - Internal"
    }
    second = post(sandbox, BODY)[1]["client"]["id"]
    assert first != second
    sandbox.app.change({"op": "sign", "tenant": "new-1"})
    assert sandbox.call("POST", "/clients/new-1/withdraw").status == 409


def test_reset_takes_everything_with_it_and_only_in_the_test_environment(sandbox):
    tenant = max(sandbox.truth("clients"), key=lambda row: row["caseStats"]["casesTotal"])["externalTenantId"]
    assert sandbox.get(f"/clients/{tenant}/is-deletable")["isDeletable"] is False
    assert sandbox.call("DELETE", f"/clients/{tenant}").status == 204
    assert sandbox.rows("/cases", ExternalTenantId=tenant) == []
    assert sandbox.rows("/reporting/transactions", ExternalTenantId=tenant) == []
    production = LocalSandbox(is_test_environment=False)
    assert production.call("DELETE", f"/clients/{tenant}").status == 403


def test_token_opens_the_customer_api_for_its_client_for_half_an_hour():
    now = [0.0]
    sandbox = LocalSandbox()
    sandbox.app.clock._real = lambda: now[0]
    client = sandbox.get("/clients", OnboardingDone="true")["clients"][0]
    tenant = client["externalTenantId"]
    answer = exact(sandbox.call("POST", "/oauth/token", {"externalTenantId": tenant}).body)
    assert (answer["expiresIn"], answer["tokenType"], answer["creditorId"]) == (1_800, "Bearer", client["client"]["id"])
    bearer = f"Bearer {answer['accessToken']}"
    assert exact(sandbox.call("GET", "/customer/me", authorization=bearer).body)["id"] == client["client"]["id"]
    own = exact(sandbox.call("GET", "/customer/cases", authorization=bearer).body)
    assert own["page"]["totalResults"] == client["caseStats"]["casesTotal"]
    assert sandbox.call("GET", "/customer/me", authorization=bearer[:-2]).status == 401
    assert sandbox.call("GET", "/customer/me").status == 401
    now[0] = 1_799
    assert sandbox.call("GET", "/customer/me", authorization=bearer).status == 200
    now[0] = 1_801
    assert sandbox.call("GET", "/customer/me", authorization=bearer).status == 401


def test_token_ends_with_the_link(sandbox):
    added = sandbox.app.change({"op": "add_client", "signed": True, "cases": 3, "transactions": 4})
    token = exact(sandbox.call("POST", "/oauth/token", {"externalTenantId": added["tenant"]}).body)["accessToken"]
    sandbox.app.change({"op": "archive", "tenant": added["tenant"]})
    assert sandbox.call("GET", "/customer/me", authorization=f"Bearer {token}").status == 401


def test_added_client_brings_the_cases_and_transactions_it_was_given(sandbox):
    for is_signed, payments in ((True, 7), (False, 0)):
        added = sandbox.app.change({"op": "add_client", "signed": is_signed, "cases": 5, "transactions": 7})
        assert (added["cases"], added["transactions"]) == (5, payments)
        client = sandbox.get(f"/clients/{added['tenant']}")
        assert (client["onboardingDone"], client["caseStats"]["casesTotal"]) == (is_signed, 5)
        assert client == sandbox.get("/clients")["clients"][0], "the newest client stands first"
        assert len(sandbox.rows("/reporting/transactions", ExternalTenantId=added["tenant"])) == payments
        assert sandbox.call("POST", "/oauth/token", {"externalTenantId": added["tenant"]}).status == (
            200 if is_signed else 404
        )
