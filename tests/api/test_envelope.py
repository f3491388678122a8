"""Paging block and totals out of a page's bytes, in every spelling the API has been seen or said to use."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debitura_pipeline.api.page_metadata import Total, parse_page_metadata
from debitura_pipeline.contract.listings import CASES, CLIENTS, LISTINGS, TRANSACTIONS, Listing
from debitura_pipeline.errors import ShapeError, TransientApiError
from tests.api.pages import page_of, revenue, transactions

ROW = {"transactionId": "a", "client": {"companyName": "Ærø & Söhne"}}


def respelt(value: Any, how: Any) -> Any:
    if isinstance(value, dict):
        return {how(name): respelt(inner, how) for name, inner in value.items()}
    return [respelt(inner, how) for inner in value] if isinstance(value, list) else value


def pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def test_transactions_page_gives_counts_and_sums_of_all_stages() -> None:
    metadata = parse_page_metadata(transactions([ROW, ROW], revenue(3, "12.50")), TRANSACTIONS)
    assert (metadata.total_results, metadata.page_size, metadata.current_page, metadata.response_count) == (
        2,
        100,
        1,
        2,
    )
    assert metadata.total_pages == 1
    assert metadata.is_canonical
    assert metadata.totals["ReadyToInvoiceDebitura"] == Total(3, Decimal("12.50"))
    assert metadata.totals["debitura_revenue"] == Total(None, Decimal("12.50"))
    assert len(metadata.totals) == 8


def test_cases_and_clients_give_their_own_totals() -> None:
    by_lifecycle = {"active": 1, "pending": 2, "closed": 3, "paused": 4}
    cases = page_of("cases", [], summary={"totalCases": 10, "casesThisMonth": 5, "byLifecycle": by_lifecycle})
    totals = parse_page_metadata(json.dumps(cases).encode(), CASES).totals
    assert {name: total.count for name, total in totals.items()} == {"total": 10, "this_month": 5, **by_lifecycle}
    summary = {
        "totalClients": 9,
        "attributedClients": 8,
        "onboardingComplete": 7,
        "onboardingPending": 2,
        "totalCases": 6,
    }
    clients = page_of("clients", [], summary=summary)
    totals = parse_page_metadata(json.dumps(clients).encode(), CLIENTS).totals
    assert {name: total.count for name, total in totals.items()} == {
        "total": 9,
        "attributed": 8,
        "onboarding_complete": 7,
        "onboarding_pending": 2,
        "cases": 6,
    }


@pytest.mark.parametrize("how", [pascal, str.upper, str.lower])
def test_other_letter_cases_mean_the_same_but_are_not_canonical(how: Any) -> None:
    usual = transactions([ROW, ROW], revenue())
    other = json.dumps(respelt(json.loads(usual), how)).encode()
    expected, got = parse_page_metadata(usual, TRANSACTIONS), parse_page_metadata(other, TRANSACTIONS)
    assert dict(got.totals) == dict(expected.totals)
    assert (got.total_results, got.response_count, got.total_pages) == (2, 2, 1)
    assert not got.is_canonical


def test_rows_alone_in_pascal_case_are_not_canonical() -> None:
    """The fast row reader would find no id in any of them."""
    for row in ({"TransactionId": "a"}, {"transactionid": "a"}, "no object"):
        assert not parse_page_metadata(json.dumps(page_of("data", [row])).encode(), TRANSACTIONS).is_canonical


def test_the_paging_block_may_be_called_page_data() -> None:
    page = page_of("cases", [{"dateCreated": "2026-03-01T00:00:00Z"}])
    page["pageData"] = page.pop("page")
    assert parse_page_metadata(json.dumps(page).encode(), CASES).is_canonical
    page["page"] = None
    assert parse_page_metadata(json.dumps(page).encode(), CASES).total_results == 1


@pytest.mark.parametrize("pages", [0, None])
def test_no_page_count_is_unknown_not_zero(pages: int | None) -> None:
    page = page_of("cases", [ROW])
    page["page"]["totalPages"] = pages
    assert parse_page_metadata(json.dumps(page).encode(), CASES).total_pages is None


def test_a_total_that_is_missing_is_missing_and_one_that_is_half_stated_is_half_known() -> None:
    summary = '{"revenue":{"paidCount":2,"pendingCount":1,"pendingReferralFeeUsd":null,"disputedReferralFeeUsd":0}}'
    totals = parse_page_metadata(transactions([], summary), TRANSACTIONS).totals
    assert dict(totals) == {"Paid": Total(2, None), "Pending": Total(1, None), "Disputed": Total(None, Decimal(0))}


@pytest.mark.parametrize("summary", ["null", "{}", '{"revenue":null}'])
def test_an_empty_summary_knows_nothing(summary: str) -> None:
    assert dict(parse_page_metadata(transactions([], summary), TRANSACTIONS).totals) == {}


@pytest.mark.parametrize("has_key", [True, False])
def test_rows_may_be_missing_only_from_an_empty_page(has_key: bool) -> None:
    """An absent list taken for an empty page would delete every row of its window."""
    page = page_of("cases", None, total=5)
    if not has_key:
        del page["cases"]
    assert parse_page_metadata(json.dumps(page).encode(), CASES).response_count == 0
    page["page"]["responseCount"] = 5
    with pytest.raises(ShapeError, match="announces 5 rows and holds 0"):
        parse_page_metadata(json.dumps(page).encode(), CASES)


@pytest.mark.parametrize(
    "body",
    [
        b'{"cases":[]}',
        b'{"cases":[],"page":null}',
        b'{"cases":[],"page":{}}',
        b'{"cases":[],"page":{"totalResults":null,"responseCount":0}}',
        b'{"cases":[],"page":{"totalResults":"many","responseCount":0}}',
        b'{"cases":[],"page":{"totalResults":-1,"responseCount":0}}',
        b'{"cases":{},"page":{"totalResults":0,"responseCount":0}}',
        b'{"page":{"totalResults":0}}',
        b"[]",
        b'"text"',
        b"null",
    ],
)
def test_json_that_is_no_page_is_a_wrong_shape(body: bytes) -> None:
    for listing in LISTINGS.values():
        with pytest.raises(ShapeError):
            parse_page_metadata(body.replace(b"cases", listing.rows_key.encode()), listing)


def test_every_cut_of_a_page_is_noticed() -> None:
    body = transactions([ROW], revenue())
    for end in range(len(body)):
        with pytest.raises(TransientApiError):
            parse_page_metadata(body[:end], TRANSACTIONS)


ODD_ROWS = [
    b"null",
    b'"x"',
    b"NaN",
    b"tru",
    b'"\xff"',
    b'{"a":"\\ud800"}',
    b"[" * 5_000 + b"]" * 5_000,
    b"9" * 5_000,
    b'{"a":}',
]


@pytest.mark.parametrize("row", ODD_ROWS, ids=lambda row: repr(row[:12]))
@pytest.mark.parametrize("listing", LISTINGS.values(), ids=lambda listing: listing.resource)
def test_an_odd_row_does_not_hide_the_paging_block(row: bytes, listing: Listing) -> None:
    """A page refused for one row is asked for six times and blocks its resource for as long as the row is there."""
    usual = json.dumps(page_of(listing.rows_key, [{}, "ROW"], summary={"totalCases": 2})).encode()
    metadata = parse_page_metadata(usual.replace(b'"ROW"', row), listing)
    assert (metadata.total_results, metadata.response_count) == (2, 2)
    assert dict(metadata.totals) == dict(parse_page_metadata(usual, listing).totals)
    with pytest.raises(TransientApiError, match="not whole JSON"):
        parse_page_metadata(usual.replace(b'"ROW"', row)[:-1], listing)


@pytest.mark.parametrize("value", ["NaN", "9" * 5_000, '"two"', "1e400", "[" * 5_000 + "]" * 5_000])
def test_a_count_or_sum_that_cannot_be_true_is_a_wrong_shape(value: str) -> None:
    usual = transactions([ROW], revenue(1, "7777")).decode()
    for text in ('"totalResults": 1', '"paidCount":1', '"paidReferralFeeUsd":7777'):
        name = text.split(":")[0]
        assert text in usual
        if name == '"paidReferralFeeUsd"' and value[0] in "19":
            continue  # see below
        with pytest.raises(ShapeError, match=r"\.$"):
            parse_page_metadata(usual.replace(text, f"{name}:{value}").encode(), TRANSACTIONS)


@pytest.mark.parametrize("value", ["9" * 5_000, "1e400", "-100000000000000"])
def test_sum_beyond_all_money_is_not_compared(value: str) -> None:
    """A single absurd row is in it: the row is quarantined, and the others are read."""
    usual = transactions([ROW], revenue(1, "7777")).decode()
    totals = parse_page_metadata(usual.replace(":7777", f":{value}").encode(), TRANSACTIONS).totals
    assert (totals["Paid"].count, totals["Paid"].usd) == (1, None)


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b'{"data":["\xff"],"page":{"totalResults":1,"res'])
def test_what_is_not_json_is_transient_and_its_text_stays_out_of_the_message(body: bytes) -> None:
    with pytest.raises(TransientApiError) as caught:
        parse_page_metadata(body, TRANSACTIONS)
    assert not isinstance(caught.value, ShapeError)
    assert "gateway" not in str(caught.value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None).filter(lambda d: -50 < d.adjusted() < 14))
def test_sums_are_exact_whatever_way_they_are_written(usd: Decimal) -> None:
    for text in (format(usd, "f"), format(usd, "E")):
        totals = parse_page_metadata(transactions([], revenue(1, text)), TRANSACTIONS).totals
        assert totals["Paid"].usd == usd


@pytest.mark.parametrize("text", ['"NaN"', '"Infinity"', "true", "[]", '"abc"'])
def test_a_sum_that_is_no_number_is_a_wrong_shape(text: str) -> None:
    with pytest.raises(ShapeError):
        parse_page_metadata(transactions([], revenue(1, text)), TRANSACTIONS)
