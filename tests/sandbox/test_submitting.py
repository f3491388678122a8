"""Cases submitted through the Customer API: found by every lookup, part of the world, refused where a rule says so."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import WorldOptions
from tests.sandbox.claims import CLAIM, Client, types
from tests.sandbox.local import LocalSandbox, exact


@pytest.fixture
def sandbox():
    return LocalSandbox()


@pytest.fixture
def client(sandbox):
    return Client(sandbox)


def test_submitted_case_is_found_by_every_lookup_and_in_the_referral_listing(sandbox, client):
    before = sandbox.get("/cases", PageSize=1)
    status, made = client.submit()
    assert (status, made["grossAmount"], made["currency"]) == (200, exact(b"1250.55"), "EUR")
    assert made["debtor"]["name"] == "Zita Zobel"
    assert client.get(f"/cases/{made['id']}") == made
    assert exact(client.by_reference(CLAIM["creditorReference"]).body) == made
    assert client.get(f"/cases/case-reference/{made['reference'].lower()}") == made
    after = sandbox.get("/cases", PageSize=1)
    assert after["summary"]["totalCases"] == before["summary"]["totalCases"] + 1
    listed = after["cases"][0]
    assert (listed["id"], listed["creditorReference"]) == (made["id"], CLAIM["creditorReference"])
    assert listed["debtor"] == {"name": "Zita Zobel", "country": "Germany"}
    assert listed == sandbox.rows("/cases", Query="inv 2026")[0] == sandbox.rows("/cases", Query="zobel")[0]
    other = Client(sandbox, next(t for t in _signed(sandbox) if t != client.tenant))
    assert other.call("GET", f"/cases/{made['id']}").status == 404
    assert other.by_reference(CLAIM["creditorReference"]).status == 404


def _signed(sandbox):
    return [row["externalTenantId"] for row in sandbox.rows("/clients", OnboardingDone="true")]


def test_every_case_of_the_world_is_found_by_its_references(sandbox, client):
    cases = client.get("/cases", PageSize=100)["cases"]
    assert len(cases) > 20
    for case in cases:
        assert client.get(f"/cases/case-reference/{case['reference']}") == case
        if case["creditorReference"] is not None:
            found = client.get(f"/cases/by-creditor-reference/{quote(case['creditorReference'], safe='')}")
            assert found == case


def test_bulk_and_single_rendering_agree_on_submitted_cases(sandbox, client):
    client.submit(debtor=CLAIM["debtor"] | {"name": 'Zoë "Z" Ωmega\\'})
    client.submit(creditorReference=None)
    paid = client.submit(creditorReference="paid")[1]
    row = sandbox.app.find("cases", paid["id"])
    sandbox.app.change({"op": "collect", "row": row, "to": "Closed:Paid"})
    assert {row["id"]: row for row in sandbox.rows("/cases")} == {row["id"]: row for row in sandbox.truth("cases")}
    payments = sandbox.rows("/reporting/transactions")
    assert {row["transactionId"]: row for row in payments} == {
        row["transactionId"]: row for row in sandbox.truth("transactions")
    }
    own = [row for row in payments if row["case"]["invoiceId"] == paid["id"]]
    assert [(p["case"]["debtorName"], p["payment"]["amount"]) for p in own] == [("Zita Zobel", exact(b"1250.55"))]
    assert own[0]["earnings"]["referralFeeAmount"] > 0


def test_key_and_body_are_honoured_together(client):
    status, made = client.submit(key="k1")
    assert (status, client.submit(key="k1")) == (200, (200, made))
    status, refused = client.submit(key="k1", amountToRecover=3)
    assert (status, types(refused)) == (422, ["IdempotencyConflict"])
    status, refused = client.submit(key="k2")
    assert (status, types(refused)) == (422, ["DuplicateReference"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"currencyCode": None}, "currencyCode"),
        ({"amountToRecover": 0}, "amountToRecover"),
        ({"amountToRecover": "12"}, "amountToRecover"),
        ({"dueDate": "2030-01-01"}, "dueDate"),
        ({"dueDate": "2025-09-01"}, "dueDate"),
        ({"date": "2030-01-01"}, "date"),
        ({"date": "soon"}, "date"),
        ({"creditorReference": "x" * 51}, "creditorReference"),
        ({"amountToRecoverOver12Months": 5}, "amountToRecoverOver24Months"),
        ({"amountToRecoverOver6Months": 5}, "amountToRecoverOver6Months"),
        ({"amountToRecoverOver12Months": 5, "amountToRecoverOver24Months": 6}, "amountToRecoverOver24Months"),
        ({"amountToRecoverOver12Months": 5_000, "amountToRecoverOver24Months": 6}, "amountToRecoverOver12Months"),
        ({"debtor": None}, "debtor.type"),
        ({"debtor": CLAIM["debtor"] | {"type": "Company"}}, "debtor.contactPerson"),
        ({"debtor": CLAIM["debtor"] | {"countryAlpha2": "US"}}, "debtor.stateAlpha2"),
        ({"debtor": CLAIM["debtor"] | {"name": ""}}, "debtor.name"),
    ],
)
def test_field_errors_are_listed_by_field_and_not_kept_under_the_key(client, changes, field):
    status, errors = client.submit(key="k", **changes)
    assert (status, list(errors)) == (400, [field]) or field in errors
    assert client.submit(key="k")[0] == 200


def test_refusals_name_their_reasons(sandbox, client):
    nowhere = CLAIM["debtor"] | {"countryAlpha2": "ZW"}
    assert types(client.submit(debtor=nowhere)[1]) == ["NoPartnerAvailable"]
    lack = ["CreditorBlocked", "MissingKycVerification", "MissingPowerOfAttorney"]
    sandbox.app.change({"op": "lack", "tenant": client.tenant, "types": lack})
    status, refused = client.submit(returnUrl="https://partner.example/back")
    assert (status, types(refused)) == (422, lack)
    assert refused["signingHandoff"]["combinedSigningUrl"].endswith("returnUrl=https%3A%2F%2Fpartner.example%2Fback")
    preview = {"amountToRecover": 5, "currencyCode": "EUR", "debtor": {"type": "Private", "countryAlpha2": "DE"}}
    shown = exact(client.call("POST", "/cases/preview", preview).body)["result"]
    assert [action["type"] for action in shown["requiredActions"]] == lack
    sandbox.app.change({"op": "lack", "tenant": client.tenant, "types": []})
    assert client.submit()[0] == 200


def test_submitted_cases_and_keys_outlive_a_restart_without_anything_personal(tmp_path):
    file = tmp_path / "state.json"
    sandbox = LocalSandbox()
    sandbox.app.journal = Journal(WorldOptions(clients=14, cases=400, transactions=900), file)
    client = Client(sandbox)
    made = client.submit(key="k1")[1]
    known = client.submit(creditorReference="other", debtor=CLAIM["debtor"] | {"name": "Käthe A. Schröder"})[1]
    refused = client.submit(key="k2", debtor=CLAIM["debtor"] | {"countryAlpha2": "ZW"})
    text = file.read_text()
    assert not {"Zita", "Zobel", "Käthe"} & set(
        json.dumps(json.loads(text), ensure_ascii=False).replace('"', " ").split()
    )
    again = LocalSandbox()
    again.app.journal = Journal.open(file, WorldOptions())
    later = Client(again, client.tenant)
    found = exact(later.by_reference(CLAIM["creditorReference"]).body)
    assert {**found, "debtor": None} == {**made, "debtor": None}
    assert found["debtor"]["name"] != "Zita Zobel"
    assert later.get(f"/cases/{known['id']}")["debtor"]["name"] == "Käthe A. Schröder"
    assert later.submit(key="k1")[1]["id"] == made["id"]
    assert types(later.submit(key="k2", debtor=CLAIM["debtor"] | {"countryAlpha2": "ZW"})[1]) == types(refused[1])


def test_submitted_cases_grow_old_are_paid_and_earn_fees(sandbox, client):
    made = [client.submit(creditorReference=f"S-{number}")[1]["id"] for number in range(40)]
    sandbox.app.change({"op": "advance", "days": 150})
    cases = {case["id"]: case for case in sandbox.rows("/cases") if case["id"] in made}
    assert set(cases) == set(made), "none is lost"
    assert {"Active", "Closed"} <= {case["lifecycle"] for case in cases.values()}
    assert {case["collectionPartner"] for case in cases.values()} <= {"Inkasso Allianz Germany", None}, "as previewed"
    own = [row for row in sandbox.rows("/reporting/transactions") if row["case"]["invoiceId"] in cases]
    assert sum(row["earnings"]["referralFeeAmountUsd"] for row in own) > 0


def test_debtor_pays_on_request(sandbox, client):
    made = client.submit()[1]["id"]
    for amount, left in (("250.55", 1_000), (None, 0)):
        assert sandbox.call("POST", "/sandbox/collect", {"caseId": made, "amount": amount}).status == 200
        assert client.get(f"/cases/{made}")["remainder"] == left
    own = [row for row in sandbox.rows("/reporting/transactions") if row["case"]["invoiceId"] == made]
    assert sorted(row["payment"]["amount"] for row in own) == [exact(b"250.55"), 1_000]
    assert sandbox.call("POST", "/sandbox/collect", {"caseId": made}).status == 400


def test_missing_kyc_refuses_whatever_is_allowed_and_ends_with_its_submission(sandbox, client):
    sandbox.app.change(
        {"op": "lack", "tenant": client.tenant, "types": ["MissingKycVerification", "MissingPowerOfAttorney"]}
    )
    assert types(client.submit(allowPendingContracts=True)[1]) == ["MissingKycVerification"]
    kyc = {"directorFullName": "Dora Dir", "directorHomeAddress": "Weg 1", "directorDateOfBirth": "1970-01-01"}
    assert sandbox.call("POST", f"/clients/{client.tenant}/kyc-verification", kyc).status == 201
    status, waiting = client.submit(allowPendingContracts=True)
    assert (status, waiting["lifecycle"]) == (200, "Pending contract signing")
    assert client.get(f"/cases/{waiting['id']}/contract-status")["needsPoaSigning"] is True
    sandbox.app.change({"op": "sign", "tenant": client.tenant})
    assert client.get(f"/cases/{waiting['id']}")["lifecycle"] == "Pending Verification Internal"


def test_partners_preview_needs_no_client(sandbox):
    preview = {"amountToRecover": 5, "currencyCode": "EUR", "debtor": {"type": "Private", "countryAlpha2": "DE"}}
    shown = exact(sandbox.call("POST", "/cases/preview", preview).body)
    assert (shown["isEligible"], shown["pricingPreview"]["totalSuccessFeePercentage"]) == (True, 15)
    assert sandbox.call("POST", "/cases/preview", preview | {"currencyCode": "E"}).status == 400


def test_test_cases_are_moved_on_and_deleted(sandbox, client):
    made = client.submit(isTest=True, tag="suite-1", creditorReference="t1")[1]
    real = client.submit()[1]
    assert (made["isTestCase"], real["isTestCase"]) == (True, False)
    advanced = client.call("POST", f"/test/cases/{made['id']}/advance", {"to": "Closed:Paid", "amount": 1250.55})
    assert exact(advanced.body) == {"advanced": True, "state": "Closed:Paid"}
    case = client.get(f"/cases/{made['id']}")
    assert (case["lifecycle"], case["closeCode"], case["remainder"]) == ("Closed", "Paid", 0)
    assert client.call("POST", f"/test/cases/{real['id']}/advance", {"to": "Active"}).status == 400
    assert client.call("DELETE", f"/test/cases/{real['id']}").status == 400
    assert client.call("DELETE", "/test/cases").status == 400
    assert client.call("DELETE", "/test/cases", tag="suite-1").status == 204
    assert client.by_reference("t1").status == 404
    assert client.by_reference(CLAIM["creditorReference"]).status == 200
    assert client.call("DELETE", f"/test/cases/{made['id']}").status == 204, "deleting twice is no error"


def test_listing_has_pages_sorts_and_states(client):
    everything = client.get("/cases", PageSize=100, Sort="GrossAmount:asc")["cases"]
    amounts = [case["grossAmount"] for case in everything]
    assert len(amounts) > 20 and amounts == sorted(amounts)
    pages = [client.get("/cases", PageSize=7, Page=page, Sort="GrossAmount:asc") for page in (1, 2)]
    assert [case["id"] for page in pages for case in page["cases"]] == [case["id"] for case in everything[:14]]
    assert len(client.get("/cases")["cases"]) == 10
    closed = client.get("/cases", PageSize=100, Statuses="active,Closed")["cases"]
    assert {case["lifecycle"] for case in closed} == {"Active", "Closed"}
    ids = ",".join(case["id"] for case in everything[3:6])
    assert len(client.get("/cases", Ids=ids)["cases"]) == 3
    by_state = client.get("/cases", PageSize=100, Sort="Lifecycle:desc,GrossAmount:asc,Nonsense:desc")["cases"]
    assert by_state[0]["lifecycle"] in ("Merged", "Closed")
    assert client.call("GET", "/cases", PageSize=101).status == 400
    assert client.call("GET", "/cases", Statuses="Nonsense").status == 400
