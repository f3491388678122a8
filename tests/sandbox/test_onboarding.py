"""Registering clients, signing, withdrawing, and tokens for the Customer API."""

from __future__ import annotations

import pytest

from tests.sandbox.local import LocalSandbox, exact

BODY = {
    "externalTenantId": "new-1",
    "client": {"name": "Ny Kunde ApS", "country": "DK", "supportEmail": "info@nykunde.example", "city": "Ribe"},
    "users": [{"name": "Asta Vindfeld Krog", "email": "asta@nykunde.example"}],
    "cases": [
        {"currencyCode": "SEK", "amountToRecover": 120.55, "allowPendingContracts": True, "creditorReference": "A-1"},
        {"currencyCode": "EUR", "amountToRecover": 80, "allowPendingContracts": True},
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
    status, broken = post(sandbox, BODY, cases=[{"currencyCode": "EUR", "amountToRecover": 5}])
    assert (status, broken["businessErrors"][0]["type"]) == (422, "MissingDebtCollectionContract")
    known = sandbox.get("/clients", PageSize=1)["clients"][0]["client"]["officeEmail"]
    status, conflict = post(sandbox, BODY, client=BODY["client"] | {"supportEmail": known.upper()})
    assert (status, conflict["type"]) == (409, "ClientExistsNeedsLinking")
    assert conflict["data"]["onboardingLinks"]["url"]
    status, taken = post(sandbox, BODY, client=BODY["client"] | {"supportEmail": "a@taken-elsewhere.example"})
    assert (status, taken["data"]) == (409, {"externalTenantId": "new-1"})
    assert sandbox.call("GET", "/clients/new-1").status == 404
    assert sandbox.call("POST", "/clients", None).status == 400


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
