"""The world itself: the same for the same seed, and moved forward as a warehouse has to expect."""

from __future__ import annotations

import itertools
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from debitura_sandbox.world.change import UnknownChangeError
from debitura_sandbox.world.columns import references, uuids
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import RESOURCES, WorldOptions
from tests.sandbox.local import LocalSandbox

NIGHTS = 25


def keyed(rows):
    return {row.get("transactionId") or row.get("id") or row["client"]["id"]: row for row in rows}


@pytest.fixture(scope="module")
def story():
    """Nights: per night the rows by id of each resource, and what the night changed."""
    sandbox = LocalSandbox(clients=20, cases=400, transactions=900)
    nights = [{name: keyed(sandbox.truth(name)) for name in RESOURCES}]
    for _ in range(NIGHTS):
        sandbox.app.change({"op": "advance", "days": 1})
        nights.append({name: keyed(sandbox.truth(name)) for name in RESOURCES})
    return nights


def changes(story, resource, field):
    """(old, new) of a field, of every row that two nights in a row both show."""
    for before, after in itertools.pairwise(story):
        for id_ in before[resource].keys() & after[resource].keys():
            old, new = field(before[resource][id_]), field(after[resource][id_])
            if old != new:
                yield old, new


def gone(story, resource):
    return [id_ for a, b in itertools.pairwise(story) for id_ in a[resource].keys() - b[resource].keys()]


def test_same_seed_same_world_and_another_seed_another():
    one, same, other = (LocalSandbox(seed=seed) for seed in (3, 3, 4))
    for resource in RESOURCES:
        assert one.truth(resource) == same.truth(resource)
        assert one.truth(resource) != other.truth(resource)


def test_nights_in_one_go_are_nights_one_by_one():
    once, stepwise = LocalSandbox(), LocalSandbox()
    once.app.change({"op": "advance", "days": 7})
    for _ in range(7):
        stepwise.app.change({"op": "advance", "days": 1})
    assert all(once.truth(name) == stepwise.truth(name) for name in RESOURCES)
    assert stepwise.app.journal.entries == [{"op": "advance", "days": 7}]


CLAIM: dict[str, Any] = {
    "reference": "R-1", "amount": "120.5000", "currency": 4, "country": 3, "debtor": None, "is_person": True, "state": None,
    "date": 1_760_000_000_000_000, "due": 1_761_000_000_000_000, "partner": 9, "over_12": None, "over_24": None, "lifecycle": 1,
    "is_test": False, "tag": None,
}  # fmt: skip


SUBMITTED = 217  # the row of the first one submitted below


def test_journal_rebuilds_every_kind_of_change(tmp_path):
    journal = Journal.open(tmp_path / "state.json", WorldOptions(clients=12, cases=200, transactions=400))
    now = journal.world.now_us
    for entry in (
        {"op": "advance", "days": 3},
        {"op": "add_client", "tenant": "fresh", "signed": False, "cases": 4, "attributed": True},
        {"op": "withdraw", "tenant": "fresh"},
        {"op": "add_client", "tenant": "fresh", "signed": True, "cases": 9, "transactions": 12},
        {"op": "upgrade", "tenant": "fresh"},
        {"op": "sign", "tenant": "fresh"},
        {"op": "register", "tenant": "roster", "country": 2, "claims": [CLAIM]},
        {"op": "kyc", "tenant": "roster"},
        {"op": "renew_link", "tenant": "roster"},
        {"op": "submit_case", "tenant": "fresh", "key": "k1", "digest": "d1", **CLAIM},
        {"op": "submit_case", "tenant": "fresh", **CLAIM, "reference": "R-2", "is_test": True, "tag": "t"},
        {"op": "refuse_case", "tenant": "fresh", "key": "k2", "digest": "d2", "types": ["CreditorBlocked"]},
        {"op": "lack", "tenant": "fresh", "types": ["MissingPowerOfAttorney"]},
        {"op": "collect", "row": SUBMITTED, "to": "Paying", "amount": "20.5"},
        {"op": "delete_cases", "rows": [SUBMITTED + 1]},
        {"op": "ask_link", "tenant": "known", "country": 1, "claims": [CLAIM], "company": {"name": "Known AB"}},
        {"op": "expire_link", "tenant": "known"},
        {"op": "ask_link", "tenant": "known", "country": 1, "claims": []},
        {"op": "approve_link", "tenant": "known"},
        {"op": "ask_link", "tenant": "other", "country": 1, "claims": []},
        {"op": "decline_link", "tenant": "other"},
        {"op": "archive", "tenant": "tenant-002"},
        {"op": "row", "resource": "transactions", "action": "delete", "row": 5},
        {"op": "row", "resource": "cases", "action": "insert", "row": 5},
        {"op": "row", "resource": "transactions", "action": "move", "row": 9, "at": now},
        {"op": "row", "resource": "cases", "action": "set", "row": 9, "column": "remainder", "value": 12_300},
        {"op": "reset", "tenant": "tenant-003"},
        {"op": "mode", "mode": "ConfirmedPipeline"},
        {"op": "advance", "days": 2},
    ):
        journal.do(entry, now)
    again = Journal.open(tmp_path / "state.json", WorldOptions(seed=99))
    for resource in RESOURCES:
        for name in journal.world.table(resource).names:
            assert np.array_equal(journal.world.table(resource)[name], again.world.table(resource)[name]), name
    assert (again.world.day, again.world.mode) == (5, "ConfirmedPipeline")
    for name in ("submissions", "link_requests", "signing_links", "registered"):
        assert _plain(getattr(journal.world, name)) == _plain(getattr(again.world, name)), name


def _plain(value):
    return value if isinstance(value, dict) else {name: each for name, each in vars(value).items() if name != "_rows"}


def test_refused_change_is_not_written_down():
    sandbox = LocalSandbox()
    with pytest.raises(UnknownChangeError):
        sandbox.app.change({"op": "sign", "tenant": "nobody"})
    with pytest.raises(UnknownChangeError):
        sandbox.app.change({"op": "explode"})
    assert sandbox.app.journal.entries == []


def test_cases_open_close_reopen_merge_and_vanish(story):
    moves = Counter(changes(story, "cases", lambda r: r["lifecycle"]))
    assert moves["Active", "Closed"]
    assert moves["Closed", "Active"]
    assert moves["Active", "Merged"]
    assert moves["Pending Verification", "More Info Required"]
    assert moves["Pending contract signing", "Pending Verification Internal"]
    assert gone(story, "cases")
    for night in story:
        for case in night["cases"].values():
            assert (case["closeCode"] is not None) == (case["lifecycle"] == "Closed")
            assert case["dateFinished"] is None or case["lifecycle"] in ("Closed", "Merged")
            assert 0 <= case["remainder"] <= case["grossAmount"]
            assert (case["collectionPartner"] is None) == (case["expectedReferralRatePercentage"] is None)
    phases = Counter(changes(story, "cases", lambda r: r["currentEngagementPhase"]))
    assert phases["Pre-legal", "Legal"]
    assert phases["Legal", "Pre-legal"] or phases["Enforcement", "Pre-legal"]


def test_payments_are_edited_deleted_and_added(story):
    assert list(changes(story, "transactions", lambda r: r["payment"]["amount"]))
    assert gone(story, "transactions")
    assert story[-1]["transactions"].keys() - story[0]["transactions"].keys()


def test_stages_move_both_ways_and_commission_is_credited(story):
    platform = Counter(changes(story, "transactions", lambda r: r["status"]["platformInvoicingStatus"]))
    referral = Counter(changes(story, "transactions", lambda r: r["status"]["referralInvoicingStatus"]))
    commission = Counter(changes(story, "transactions", lambda r: r["status"]["commissionPaymentStatus"]))
    assert platform["NotInvoiced", "InvoiceIssued"]
    assert platform["InvoiceIssued", "NotInvoiced"]
    assert referral["Invoiced", "Pending"]
    assert referral["Invoiced", "Disputed"]
    assert referral["Invoiced", "Paid"]
    assert commission["Unpaid", "Paid"]
    assert commission["Paid", "Credited"]


def test_only_estimates_float_with_the_exchange_rate(story):
    floated = 0
    for before, after in itertools.pairwise(story):
        for id_ in before["transactions"].keys() & after["transactions"].keys():
            old, new = before["transactions"][id_]["earnings"], after["transactions"][id_]["earnings"]
            in_usd = {"debituraRevenueUsd": 0, "referralFeeAmountUsd": 0}
            if old | in_usd != new | in_usd:
                continue
            if not old["isEstimate"]:
                assert old == new
            floated += old != new
    assert floated > 100
    for night in story:
        for row in night["transactions"].values():
            earned, recognized = row["earnings"], row["recognition"]
            assert earned["isEstimate"] == (row["status"]["commissionPaymentStatus"] != "Paid")
            assert recognized["isRecognized"] == (row["status"]["platformInvoicingStatus"] == "PaymentReceived")
            shown = earned["referralFeeAmountUsd"] if recognized["isRecognized"] else 0
            assert recognized["referralFeeRecognizedUsd"] == shown
            if earned["currency"] == "USD":
                assert earned["referralFeeAmount"] == earned["referralFeeAmountUsd"]
            exact = Decimal(earned["debituraRevenue"]) * earned["referralFeePercentage"] / 100
            assert abs(earned["referralFeeAmount"] - exact) <= Decimal("0.00005")


def test_clients_come_go_sign_renew_and_hand_on_their_id(story):
    assert gone(story, "clients")
    assert story[-1]["clients"].keys() - story[0]["clients"].keys()
    signing = Counter(changes(story, "clients", lambda r: r["onboardingDone"]))
    assert signing[False, True]
    assert signing[True, False]
    links = [
        r["onboardingLinks"]["url"] for night in story for r in night["clients"].values() if not r["onboardingDone"]
    ]
    assert any("ContractUpgrade" in link for link in links)
    assert any("companydetails" in link for link in links)
    owners: dict[str, set[str]] = {}
    for night in story:
        for id_, client in night["clients"].items():
            owners.setdefault(client["externalTenantId"], set()).add(id_)
        tenants = [client["externalTenantId"] for client in night["clients"].values()]
        assert len(tenants) == len(set(tenants))
    assert any(len(ids) > 1 for ids in owners.values())


def test_no_row_lies_after_the_instant_of_the_world():
    sandbox = LocalSandbox()
    sandbox.app.change({"op": "advance", "days": 5})
    world = sandbox.app.world
    for resource, column in (("clients", "linked"), ("cases", "created"), ("transactions", "date")):
        assert world.table(resource)[column].max() <= world.now_us


def test_rows_of_archived_clients_stay_or_leave_as_the_world_says():
    for remain in (True, False):
        sandbox = LocalSandbox(archived_rows_remain=remain)
        tenant = max(sandbox.truth("clients"), key=lambda row: row["caseStats"]["casesTotal"])["externalTenantId"]
        before = sandbox.rows("/cases", ExternalTenantId=tenant)
        sandbox.app.change({"op": "archive", "tenant": tenant})
        assert sandbox.call("GET", f"/clients/{tenant}").status == 404
        assert len(sandbox.rows("/cases", ExternalTenantId=tenant)) == (len(before) if remain else 0)


def test_ids_are_unique_version_four_and_lower_case():
    ids, names = uuids(np.arange(200_000), 5), references(np.arange(200_000), 5)
    assert len(np.unique(ids)) == len(np.unique(names)) == 200_000
    first = ids[0].decode()
    assert (first[14], first.lower()) == ("4", first)


@pytest.mark.parametrize("wrong", [{"cases": -1}, {"mode": "Sometimes"}, {"years": 0}, {"cases": 0, "transactions": 5}])
def test_worlds_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"is|need"):
        WorldOptions(**wrong)
