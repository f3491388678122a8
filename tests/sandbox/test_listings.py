"""Listings against brute force over the truth: every filter, sort and total."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from debitura_sandbox.api.query import PARTNER_IDS
from debitura_sandbox.world import codes
from debitura_sandbox.world.addresses import COUNTRIES, PARTNERS
from tests.sandbox.local import LocalSandbox, exact
from tests.sandbox.shapes import STAGES

PATHS = {"cases": "/cases", "transactions": "/reporting/transactions", "clients": "/clients"}
DATE = {"cases": "dateCreated", "transactions": "date", "clients": "dateLinked"}


@pytest.fixture(scope="module")
def sandbox():
    local = LocalSandbox()
    local.app.change({"op": "advance", "days": 4})
    return local


def when(text):
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def id_of(row):
    return row.get("transactionId") or row.get("id") or row["client"]["id"]


def stage(row, mode="PayWhenPaid"):
    """The buckets as the contract describes them, worked out from a row's words."""
    status = row["status"]
    commission, platform = status["commissionPaymentStatus"], status["platformInvoicingStatus"]
    by_referral = {"Disputed": "disputed", "Paid": "paid", "Invoiced": "awaitingDebituraPayment"}
    if status["referralInvoicingStatus"] in by_referral:
        return by_referral[status["referralInvoicingStatus"]]
    if mode == "ConfirmedPipeline" and commission == "Paid" and platform in ("NotInvoiced", "InvoiceIssued"):
        return "readyToInvoiceDebitura"
    if platform == "NotInvoiced":
        return "confirmedPendingInvoice" if commission == "Paid" else "pending"
    return {"PaymentReceived": "readyToInvoiceDebitura", "InvoiceIssued": "awaitingCollectionPartnerPayment"}.get(
        platform
    )


@pytest.mark.parametrize("resource", PATHS)
def test_listing_shows_the_truth_value_by_value(sandbox, resource):
    listed = sandbox.rows(PATHS[resource])
    truth = {id_of(row): row for row in sandbox.truth(resource)}
    assert len(listed) == len(truth)
    assert all(row == truth[id_of(row)] for row in listed)


@pytest.mark.parametrize("resource", PATHS)
def test_date_bounds_are_inclusive_and_ascending_pages_keep_their_order(sandbox, resource):
    instants = sorted({when(row[DATE[resource]]) for row in sandbox.truth(resource)})
    low, high = instants[len(instants) // 4], instants[len(instants) // 2]
    names = ("DateCreatedFrom", "DateCreatedTo") if resource == "clients" else ("FromDate", "ToDate")
    sort = {"cases": "DateCreated:asc", "transactions": "collectionDate:asc", "clients": "dateCreated:asc"}[resource]
    rows = sandbox.rows(
        PATHS[resource], Sort=sort, **dict(zip(names, (low.isoformat(), high.isoformat()), strict=True))
    )
    dates = [when(row[DATE[resource]]) for row in rows]
    assert dates == sorted(dates)
    assert (dates[0], dates[-1]) == (low, high)
    wanted = {id_of(row) for row in sandbox.truth(resource) if low <= when(row[DATE[resource]]) <= high}
    assert {id_of(row) for row in rows} == wanted


CASE_FILTERS: dict[str, Any] = {
    "names": ({"Statuses": ["Active", "NeedsAdditionalDetails"]}, lambda r: r["lifecycle"] in ("Active", "More Info Required")),
    "labels": ({"Statuses": ["More Info Required", "Closed"]}, lambda r: r["lifecycle"] in ("More Info Required", "Closed")),
    "tenant": ({"ExternalTenantId": "tenant-003"}, lambda r: r["client"]["externalTenantId"] == "tenant-003"),
    "tenant is case-sensitive": ({"ExternalTenantId": "TENANT-003"}, lambda r: False),
    "countries": ({"CountryIds": [1, 4]}, lambda r: r["debtor"]["country"] in ("Denmark", "Germany")),
    "partners": (
        {"CollectionPartnerIds": list(PARTNER_IDS)[:4]},
        lambda r: r["collectionPartner"] in [partner.name for partner in PARTNERS[:4]],
    ),
    "text": (
        {"Query": "sØR"},
        lambda r: any("sør" in (text or "").casefold() for text in (r["reference"], r["creditorReference"], r["debtor"]["name"])),
    ),
    "all at once": (
        {"Statuses": ["Closed"], "CountryIds": [1], "Query": "a"},
        lambda r: r["lifecycle"] == "Closed" and r["debtor"]["country"] == "Denmark"
        and any("a" in (text or "").casefold() for text in (r["reference"], r["creditorReference"], r["debtor"]["name"])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASE_FILTERS)
def test_case_filters(sandbox, name):
    params, is_wanted = CASE_FILTERS[name]
    wanted = [row for row in sandbox.truth("cases") if is_wanted(row)]
    assert {id_of(row) for row in sandbox.rows("/cases", **params)} == {id_of(row) for row in wanted}
    groups = sandbox.get("/cases", **params)["summary"]
    assert groups["totalCases"] == len(wanted)
    assert groups["byLifecycle"]["active"] == sum(row["lifecycle"] == "Active" for row in wanted)
    assert groups["byLifecycle"]["closed"] == sum(row["lifecycle"] in ("Closed", "Merged") for row in wanted)
    assert sum(groups["byLifecycle"].values()) == len(wanted)
    assert groups["casesThisMonth"] == sum(
        when(row["dateCreated"]) >= datetime(2026, 1, 1, tzinfo=UTC) for row in wanted
    )


def status(name, *values):
    return lambda r: (r["status"][name] or "Pending") in values


TRANSACTION_FILTERS: dict[str, Any] = {
    "tenant": ({"ExternalTenantId": "tenant-004"}, lambda r: r["client"]["externalTenantId"] == "tenant-004"),
    "recognized": ({"HasRecognizedRevenue": "true"}, lambda r: r["recognition"]["isRecognized"]),
    "not recognized": ({"HasRecognizedRevenue": "false"}, lambda r: not r["recognition"]["isRecognized"]),
    "commission": ({"CommissionPaymentStatuses": [0, 2]}, status("commissionPaymentStatus", "Unpaid", "Credited")),
    "platform": ({"PlatformInvoicingStatuses": [1, 3]}, status("platformInvoicingStatus", "InvoiceIssued", "InvoiceCredited")),
    "referral": ({"ReferralInvoicingStatuses": [0]}, status("referralInvoicingStatus", "Pending")),
    "disputed by name": ({"ReferralInvoicingStatuses": ["Disputed"]}, status("referralInvoicingStatus", "Disputed")),
    "search": (
        {"Search": "BRIGHT"},
        lambda r: "bright" in r["client"]["companyName"].casefold() or "bright" in r["case"]["caseReference"].casefold(),
    ),
    "search too short": ({"Search": "q"}, lambda r: True),
}  # fmt: skip


def assert_summary(summary, rows, mode="PayWhenPaid"):
    for name in STAGES:
        of_stage = [row for row in rows if stage(row, mode) == name]
        assert summary["revenue"][f"{name}Count"] == len(of_stage)
        assert summary["revenue"][f"{name}ReferralFeeUsd"] == sum(
            row["earnings"]["referralFeeAmountUsd"] for row in of_stage
        )
    assert summary["totalDebituraRevenueUsd"] == sum(row["earnings"]["debituraRevenueUsd"] for row in rows)


@pytest.mark.parametrize("name", TRANSACTION_FILTERS)
def test_transaction_filters_and_exact_totals(sandbox, name):
    params, is_wanted = TRANSACTION_FILTERS[name]
    wanted = [row for row in sandbox.truth("transactions") if is_wanted(row)]
    assert wanted
    assert {id_of(row) for row in sandbox.rows(PATHS["transactions"], **params)} == {id_of(row) for row in wanted}
    assert_summary(sandbox.get(PATHS["transactions"], **params)["summary"], wanted)


def test_country_and_partner_of_a_transaction_are_those_of_its_case(sandbox):
    cases = {row["id"]: row for row in sandbox.truth("cases")}
    partner = next(iter(PARTNER_IDS))
    rows = sandbox.rows(PATHS["transactions"], CountryIds=[COUNTRIES[0].id], CollectionPartnerIds=[partner])
    assert rows
    assert all(cases[row["case"]["invoiceId"]]["collectionPartner"] == PARTNERS[0].name for row in rows)


@pytest.mark.parametrize("mode", ["PayWhenPaid", "ConfirmedPipeline"])
def test_stage_filter_narrows_rows_but_not_totals(mode):
    sandbox = LocalSandbox(mode=mode)
    for column, value in (("referral", codes.REFERRAL_PENDING), ("platform", codes.INVOICE_CREDITED)):
        change = {"op": "row", "resource": "transactions", "action": "set", "row": 0, "column": column, "value": value}
        sandbox.app.change(change)
    everything = sandbox.truth("transactions")
    seen = 0
    for code, name in enumerate(STAGES):
        rows = sandbox.rows(PATHS["transactions"], RevenueStages=[code])
        assert all(stage(row, mode) == name for row in rows)
        seen += len(rows)
        assert_summary(sandbox.get(PATHS["transactions"], RevenueStages=[code])["summary"], everything, mode)
    unclassified = [row for row in everything if stage(row, mode) is None]
    assert unclassified
    assert seen + len(unclassified) == len(everything)


def test_totals_follow_the_dates_unless_the_world_is_told_otherwise():
    for ignores in (False, True):
        sandbox = LocalSandbox(summary_ignores_dates=ignores)
        params = {"FromDate": "2025-03-01T00:00:00Z", "ToDate": "2025-06-01T00:00:00Z"}
        listed, everything = sandbox.rows(PATHS["transactions"], **params), sandbox.truth("transactions")
        assert 0 < len(listed) < len(everything)
        assert_summary(sandbox.get(PATHS["transactions"], **params)["summary"], everything if ignores else listed)


def test_client_filters_and_totals(sandbox):
    everything = sandbox.truth("clients")
    for params, is_wanted in (
        ({"IsAttributedClient": "true"}, lambda r: r["isAttributedClient"]),
        ({"OnboardingDone": "false"}, lambda r: not r["onboardingDone"]),
        ({"ExternalTenantId": "tenant-002"}, lambda r: r["externalTenantId"] == "tenant-002"),
        ({"Query": "kontor@"}, lambda r: True),
    ):
        wanted = [row for row in everything if is_wanted(row)]
        assert {id_of(row) for row in sandbox.rows("/clients", **params)} == {id_of(row) for row in wanted}
        summary = sandbox.get("/clients", **params)["summary"]
        assert summary["totalClients"] == len(wanted)
        assert summary["totalCases"] == sum(row["caseStats"]["casesTotal"] for row in wanted)
        assert summary["onboardingComplete"] + summary["onboardingPending"] == len(wanted)
    names = [row["client"]["companyName"].casefold() for row in sandbox.rows("/clients", Sort="name:asc")]
    assert names == sorted(names)


def test_client_figures_agree_with_cases_and_transactions(sandbox):
    cases, transactions = sandbox.truth("cases"), sandbox.truth("transactions")
    for client in sandbox.truth("clients"):
        own = [row for row in cases if row["client"]["creditorId"] == client["client"]["id"]]
        paid = [row for row in transactions if row["client"]["creditorId"] == client["client"]["id"]]
        assert client["caseStats"] == {
            "casesTotal": len(own),
            "casesClosed": sum(row["lifecycle"] in ("Closed", "Merged") for row in own),
            "earningsUsd": sum((row["recognition"]["referralFeeRecognizedUsd"] for row in paid), Decimal(0)),
        }


@pytest.mark.parametrize(
    ("path", "sort", "field"),
    [
        ("/cases", "GrossAmount", lambda r: r["grossAmount"]),
        ("/cases", "DueDate", lambda r: r["dueDate"]),
        ("/cases", "DateCreated", lambda r: when(r["dateCreated"])),
        ("/reporting/transactions", "amount", lambda r: r["payment"]["amount"]),
        ("/reporting/transactions", "collectionDate", lambda r: when(r["date"])),
    ],
)
def test_sorting_both_ways(sandbox, path, sort, field):
    ascending = [field(row) for row in sandbox.rows(path, Sort=f"{sort}:asc")]
    assert ascending == sorted(ascending)
    assert [field(row) for row in sandbox.rows(path, Sort=f"{sort}:desc")] == ascending[::-1]


def test_newest_first_and_ten_rows_unless_asked_otherwise(sandbox):
    page = sandbox.get("/cases")
    assert page["page"]["pageSize"] == 10
    assert sandbox.get("/clients")["page"]["pageSize"] == 50
    dates = [when(row["dateCreated"]) for row in page["cases"]]
    assert dates == sorted(dates, reverse=True)


def test_page_past_the_end_is_empty(sandbox):
    page = sandbox.get("/cases", Page=9_999, PageSize=100)
    assert page["cases"] == []
    assert page["page"]["responseCount"] == 0


def test_the_three_shapes_of_a_400(sandbox):
    structured = sandbox.call("GET", "/cases", params=[("PageSize", 101)])
    by_field = sandbox.call("GET", "/reporting/transactions", params=[("PageSize", 0)])
    malformed = sandbox.call("GET", "/clients", params=[("Page", "two")])
    assert {structured.status, by_field.status, malformed.status} == {400}
    assert exact(structured.body)["businessErrors"][0]["type"] == "ValidationError"
    assert isinstance(exact(by_field.body)["PageSize"], list)
    assert exact(malformed.body)["errors"]["Page"]
    assert sandbox.call("GET", "/cases", params=[("FromDate", "yesterday")]).status == 400
    assert sandbox.call("GET", "/cases", params=[("Statuses", "Sleeping")]).status == 400


def test_rows_of_one_instant_change_places_where_the_world_says_so():
    sandbox = LocalSandbox(ties_shuffle=True, cases=2_000, transactions=0)
    orders = {tuple(id_of(row) for row in sandbox.rows("/cases", Sort="DateCreated:asc")) for _ in range(3)}
    assert len(orders) == 3
