"""The vendor's own published client understands the sandbox: what works with the one works with the other."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.sandbox import ROOT, start_sandbox

PYTHON = ROOT / ".venv-vendor" / "bin" / "python"
DRIVER = Path(__file__).with_name("drive.py")


@pytest.fixture(scope="module")
def driven():
    """What the client got, the tenant that it worked for, and all cases as the partner's listing has them afterwards."""
    assert PYTHON.exists(), "`make test` sets up .venv-vendor, which this test needs"
    sandbox = start_sandbox(clients=6, cases=300, transactions=300)
    try:
        signed = sandbox.get("/clients", {"OnboardingDone": "true"})["clients"]
        tenant = max(signed, key=lambda client: client["caseStats"]["casesTotal"])["externalTenantId"]
        _, body = sandbox.send("POST", "/oauth/token", {"externalTenantId": tenant})
        command = [PYTHON, "-I", DRIVER, sandbox.customer_url, json.loads(body)["accessToken"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3_000:]
        cases = sandbox.truth("cases")
        return json.loads(done.stdout, parse_float=Decimal), tenant, {case["id"]: case for case in cases}
    finally:
        sandbox.stop()


def test_lists_have_pages_sorts_and_states(driven):
    got, tenant, cases = driven
    own = [case for case in cases.values() if case["client"]["externalTenantId"] == tenant]
    submitted = {got["made"]["id"], got["without_key"]["id"]}
    before = sorted(case["grossAmount"] for case in own if case["id"] not in submitted)
    assert [page["currentPage"] for page in got["pages"]] == [1, 2, 3]
    assert {(page["pageSize"], page["responseCount"]) for page in got["pages"]} == {(7, 7)}
    assert {page["totalResults"] for page in got["pages"]} == {len(before)}
    amounts = [case["grossAmount"] for case in got["sorted"]]
    assert amounts == before[:21]
    assert all(one <= other for one, other in pairwise(amounts))
    assert got["states"] == ["Active", "Closed"]
    assert len(got["some"]) == 1
    assert got["too_many"][0] == 400


def test_lookups_give_the_same_case_and_agree_with_the_partners_listing(driven):
    got, _, cases = driven
    assert all(case == got["looked_up"][0] for case in got["looked_up"])
    case = got["looked_up"][0]
    listed = cases[case["id"]]
    assert case["reference"] == listed["reference"]
    assert case["lifecycle"] == listed["lifecycle"]
    assert case["debtor"]["country"] == listed["debtor"]["country"]
    assert got["contract"]["sdca"]["signed"] is True
    assert got["agreement"]["signed"] is True
    assert got["me"]["id"] == listed["client"]["creditorId"]
    assert got["missing"][0] == 404


def test_cases_are_previewed_and_submitted_with_and_without_a_key(driven):
    got, tenant, cases = driven
    preview = got["preview"]["result"]
    assert (preview["isEligible"], preview["jurisdiction"]["countryAlpha2"]) == (True, "DE")
    assert got["made"]["blendedAgeUpliftPoints"] == Decimal("6.1538")
    assert got["again"] == got["found"] == got["made"]["id"]
    assert got["without_key"]["id"] != got["made"]["id"]
    assert (got["conflict"], got["duplicate"]) == ([422, "IdempotencyConflict"], [422, "DuplicateReference"])
    assert got["invalid"] == [400]
    listed = cases[got["made"]["id"]]
    assert (listed["creditorReference"], listed["client"]["externalTenantId"]) == ("V/1 ü", tenant)
    assert (listed["grossAmount"], listed["currency"]) == (Decimal("812.5"), "EUR")


def test_test_case_is_paid_closed_and_deleted(driven):
    got, _, cases = driven
    assert got["advanced"] == {"advanced": True, "state": "Closed:Paid"}
    assert got["closed"] == ["Closed", "Paid", True]
    assert got["deleted"][0] == 404
    assert "T-1" not in {case["creditorReference"] for case in cases.values()}
