"""Rows that do not fit go to quarantine with a reason, new fields and values are pointed out; the rest loads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.api.page_metadata import parse_page_metadata
from debitura_pipeline.contract.listings import CASES
from debitura_pipeline.errors import ShapeError
from debitura_pipeline.landing.findings import Drift
from debitura_pipeline.landing.transform import PageTransformer, TransformedPages
from tests.landing.rows import KEY, MAKERS, Number, case_row, client_row, page, transaction_row

ID = "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77"
DEEP = f'{{"id":"{ID}","a":' + '{"b":' * 64 + "1" + "}" * 65
DEEPER = f'{{"id":"{ID}","a":' + "[" * 9_000 + "]" * 9_000 + "}"


def transform(resource: str, *rows: Any, canonical: bool = True) -> TransformedPages:
    with PageTransformer("pseudonymous", KEY) as transformer:
        return transformer.transform(resource, [page(resource, rows)], canonical=canonical)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"id": "17"}, "id is not a UUID"),
        ({"id": ID.replace("-", "")}, "id is not a UUID"),
        ({"id": "{" + ID[1:-1] + "}"}, "id is not a UUID"),
        ({"id": 17}, "id is not a text"),
        ({"client": {"creditorId": "none"}}, "client.creditorId is not a UUID"),
        ({"client": {"creditorId": " "}}, "client.creditorId is not a UUID"),
        ({"id": ""}, "id is missing"),
        ({"client": []}, "client is not an object"),
        ({"grossAmount": "abc"}, "grossAmount is not a number"),
        ({"grossAmount": "1,5"}, "grossAmount is not a number"),
        ({"grossAmount": True}, "grossAmount is not a number"),
        ({"grossAmount": Number("99999999999999.99995")}, "grossAmount is out of range"),
        ({"grossAmount": Number("1e400")}, "grossAmount is out of range"),
        ({"grossAmount": Number("-1e999999")}, "grossAmount is out of range"),
        ({"grossAmount": Number("1e999999999")}, "grossAmount is out of range"),
        ({"grossAmount": Number("9" * 5_000)}, "grossAmount is out of range"),
        ({"grossAmount": Number("NaN")}, "grossAmount is not a number"),
        ({"grossAmount": Number("-Infinity")}, "grossAmount is out of range"),
        ({"reference": Number("NaN")}, "reference is not a text"),
        (
            {"grossAmount": Number("1e9999999999999999999999"), "new": Number("1e9999999999999999999999")},
            "grossAmount is out of range",
        ),
        ({"reference": Number("1e9999999999999999999999")}, "reference is not a text"),
        ({"dateCreated": "yesterday"}, "dateCreated is not an instant"),
        ({"dateCreated": "2026-02-30T00:00:00Z"}, "dateCreated is not an instant"),
        ({"dateCreated": "2026-01-05T25:00:00Z"}, "dateCreated is not an instant"),
        ({"dateCreated": "2026-01-05T02:00:00+24:00"}, "dateCreated is not an instant"),
        ({"dateCreated": "0001-01-01T00:00:00+02:00"}, "dateCreated is not an instant"),
        ({"dateCreated": "9999-12-31T23:59:59.9999999-01:00"}, "dateCreated is not an instant"),
        ({"dateCreated": "2026-01-05T02:00:00.1234567x"}, "dateCreated is not an instant"),
        ({"dateCreated": 1767578400}, "dateCreated is not a text"),
        ({"validation": {"needsInfo": 1}}, "validation.needsInfo is not true or false"),
        ({"reference": "a\0b"}, "reference is not valid text"),
        ({"reference": False}, "reference is not a text"),
        ({"grossAmount": "abc", "dueDate": "soon"}, "grossAmount is not a number"),
    ],
)
def test_misfit_is_quarantined_with_its_reason(change: dict[str, Any], reason: str) -> None:
    neighbour = case_row(id="00000000-0000-4000-8000-000000000001")
    transformed = transform("cases", case_row(**change), neighbour)

    (bad,) = transformed.bad
    assert bad.reason == reason
    assert bad.row_key == (None if "id" in change else ID)
    assert (transformed.rows, transformed.good, transformed.distinct_keys) == (2, 1, 2)
    assert json.loads(bad.payload)["currency"] == "EUR"
    assert transform("cases", case_row(**change), neighbour, canonical=False).bad == transformed.bad


@pytest.mark.parametrize(
    ("odd", "reason", "payload"),
    [
        ("null", "the row is not an object", "null"),
        ("17", "the row is not an object", "17"),
        ("true", "the row is not an object", "true"),
        ("NaN", "the row is not an object", '"[withheld number]"'),
        ("9" * 5_000, "the row is not an object", '"[withheld number]"'),
        ('"Tue Holm"', "the row is not an object", '"[withheld text]"'),
        ('[{"name":"Tue Holm"}]', "the row is not an object", '"[withheld list]"'),
        ('{"id":}', "the row is not valid JSON", "null"),
        (f'{{"id":"{ID}","id2":tru}}', "the row is not valid JSON", "null"),
        (f'{{"id":"{ID}","a":"b\nc"}}', "the row is not valid JSON", "null"),
        (DEEPER, "the row nests more than 64 levels deep", "null"),
        (DEEP, "the row nests more than 64 levels deep", "null"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_row_that_is_no_row_costs_itself_alone(odd: str, reason: str, payload: str) -> None:
    """One such row once kept a whole resource from loading, night after night."""
    good = case_row(id="00000000-0000-4000-8000-000000000001")
    body = page("cases", [Number(odd), good])
    canonical = parse_page_metadata(body, CASES).is_canonical
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform("cases", [body], canonical=canonical)
        slow = transformer.transform("cases", [body], canonical=False)

    (bad,) = transformed.bad
    assert (bad.reason, bad.payload) == (reason, payload)
    assert bad.row_key == (ID if ID in odd else None)
    assert transformed.columns.equals(transform("cases", good).columns)
    assert (slow.bad, slow.columns) == (transformed.bad, transformed.columns)


def test_an_empty_text_where_null_is_meant_is_null_and_noted() -> None:
    """Some serialisers write "" for a missing date: two thirds of the cases would stand in quarantine."""
    empty = {"dateFinished": "", "remainder": "", "validation": {"needsInfo": "", "creditorRespondedAt": ""}}
    transformed = transform("cases", case_row(**empty, client={"creditorId": ""}))
    null = transform("cases", case_row(dateFinished=None, remainder=None, validation=None, client=None))

    assert transformed.bad == ()
    assert transformed.columns.equals(null.columns)
    assert transformed.drift == tuple(
        Drift("empty", field, None)
        for field in (
            "client.creditorId",
            "dateFinished",
            "remainder",
            "validation.creditorRespondedAt",
            "validation.needsInfo",
        )
    )
    assert transform("cases", case_row(validation="")).drift == (Drift("empty", "validation", None),)
    assert transform("cases", case_row(reference="")).columns["reference"].to_pylist() == [""]


def test_what_is_odd_in_an_unknown_field_does_not_cost_the_row() -> None:
    odd = {"a": Number("NaN"), "b": Number("9" * 5_000), "c": "\0", "d": Number('"\\ud800"'), "e": Number("1e99999999")}
    transformed = transform("cases", case_row(**odd), canonical=False)

    assert transformed.bad == ()
    assert json.loads(transformed.columns["extra"].to_pylist()[0].replace("1E+99999999", "0")) == {
        **dict.fromkeys("abcd", "[withheld]"),
        "e": 0,
    }


def test_a_name_that_comes_twice_counts_as_it_comes_last() -> None:
    body = page("cases", [case_row()]).replace(b'"reference":', b'"reference":"first","reference":')
    with PageTransformer("pseudonymous", KEY) as transformer:
        assert transformer.transform("cases", [body]).columns["reference"].to_pylist() == ["K7TRW2QD"]


def test_a_broken_letter_costs_one_row_not_the_window() -> None:
    body = page("cases", [case_row(reference="XXX"), case_row(id="00000000-0000-4000-8000-000000000001")])
    with PageTransformer("pseudonymous", KEY) as transformer:
        for broken in (b"\xff\xfe", b"\\ud800"):
            transformed = transformer.transform("cases", [body.replace(b"XXX", broken)])
            assert [bad.reason for bad in transformed.bad] == ["reference is not valid text"]
            assert transformed.good == 1


def test_counts_must_be_whole_numbers_that_fit() -> None:
    rows = [client_row(caseStats={"casesTotal": Number(text)}) for text in ("3.0", "3.5", "1e19")]

    assert transform("clients", rows[0]).columns["cases_total"].to_pylist() == [3]
    assert transform("clients", rows[1]).bad[0].reason == "caseStats.casesTotal is not a whole number"
    assert transform("clients", rows[2]).bad[0].reason == "caseStats.casesTotal is out of range"


@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize(
    ("sent", "landed"),
    [
        (Number("0.1"), "0.1000"),
        (Number("12345678901234.5678"), "12345678901234.5678"),
        (Number("99999999999999.99994"), "99999999999999.9999"),
        (Number("-0.0"), "0.0000"),
        (Number("1E-05"), "0.0000"),
        (Number("1.5e3"), "1500.0000"),
        (Number("1e-30"), "0.0000"),
        (Number("0.12345000000000000000000000001"), "0.1235"),
        (Number("0.00015"), "0.0002"),
        (Number("0.00025"), "0.0002"),
        (Number("-0.00025"), "-0.0002"),
        ("12.50", "12.5000"),
        ("+12.5", "12.5000"),
        (".5", "0.5000"),
    ],
)
def test_money_is_exact_and_rounded_half_to_even(sent: Any, landed: str, canonical: bool) -> None:
    transformed = transform("cases", case_row(grossAmount=sent), canonical=canonical)

    assert transformed.columns["gross_amount"].to_pylist() == [Decimal(landed)]


def test_a_number_where_a_text_belongs_is_taken_as_written() -> None:
    assert transform("cases", case_row(reference=1042)).columns["reference"].to_pylist() == ["1042"]


def test_bad_rows_without_a_key_are_told_apart() -> None:
    transformed = transform("cases", case_row(id=None), case_row(id=None, reference="other"), case_row(id=None))

    assert (transformed.rows, transformed.good, transformed.distinct_keys) == (3, 0, 2)


def test_a_key_that_is_good_once_and_bad_once_is_one_key() -> None:
    transformed = transform("cases", case_row(), case_row(grossAmount="abc"))

    assert (transformed.rows, transformed.good, transformed.distinct_keys, len(transformed.bad)) == (2, 1, 1, 1)


@pytest.mark.parametrize("body", [b"<html>", b'{"cases":[', b'{"cases":{}}', b"[]", b'{"cases":[]} {', b'"x"', b""])
def test_a_page_that_is_no_listing_is_an_error(body: bytes) -> None:
    with PageTransformer("pseudonymous", KEY) as transformer, pytest.raises(ShapeError):
        transformer.transform("cases", [body])


@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
def test_unknown_fields_go_to_extra_and_drift(canonical: bool) -> None:
    row = transaction_row(channel="portal", score=Number("1.50"), tags=["a", {"b": 1}], empty=None, note="Ring back")
    row["earnings"] = {**row["earnings"], "tier": {"level": 2, "title": "Tier of Tue"}}
    transformed = transform("transactions", row, transaction_row(transactionId=ID), canonical=canonical)

    assert transformed.columns["extra"].to_pylist() == [
        '{"channel":"portal","earnings.tier":{"level":2,"title":"[withheld]"},"empty":null,"note":"[withheld]",'
        '"score":1.50,"tags":["a",{"b":1}]}',
        None,
    ]
    assert transformed.drift == tuple(
        Drift("field", field, None) for field in ("channel", "earnings.tier", "empty", "note", "score", "tags")
    )
    assert transformed.columns["_row_hash"][0] == transform("transactions", transaction_row()).columns["_row_hash"][0]


@pytest.mark.parametrize("resource", ["clients", "cases"])
def test_fields_that_are_known_but_not_stored_are_no_drift(resource: str) -> None:
    transformed = transform(
        resource, MAKERS[resource](users=[{"shoeSize": 44}], potentialRevenue={"grossAmountUsd": 1})
    )

    assert [drift.field for drift in transformed.drift] == (["potentialRevenue"] if resource == "clients" else [])


@pytest.mark.parametrize(
    ("resource", "row", "field", "value"),
    [
        ("cases", case_row(lifecycle="Frozen by court"), "lifecycle", "Frozen by court"),
        ("cases", case_row(closeCode="Sold on"), "closeCode", "Sold on"),
        ("cases", case_row(currentEngagementPhase="Appeal"), "currentEngagementPhase", "Appeal"),
        ("cases", case_row(lifecycle="tue@holm.example"), "lifecycle", "[withheld]"),
        ("clients", client_row(kycStatus="expired"), "kycStatus", "expired"),
        ("transactions", transaction_row(status={"commissionPaymentStatus": "Late"}), "status.commissionPaymentStatus", "Late"),
    ],
)  # fmt: skip
def test_unknown_enum_values_are_noted_once(resource: str, row: dict[str, Any], field: str, value: str) -> None:
    transformed = transform(resource, row, row)

    assert transformed.drift == (Drift("value", field, value),)


@pytest.mark.parametrize(
    "value", ["Pending contract signing", "PendingContractSigning", "pending_contract_signing", "Merged", "Leads"]
)
def test_known_enum_values_are_known_in_either_spelling(value: str) -> None:
    assert transform("cases", case_row(lifecycle=value)).drift == ()


def _hash(row: dict[str, Any]) -> Any:
    return transform("transactions", row).columns["_row_hash"].to_pylist()


def _earning(is_estimate: bool | None, usd: str) -> dict[str, Any]:
    return transaction_row(earnings={"isEstimate": is_estimate, "referralFeeAmountUsd": Number(usd)})


def test_an_estimates_usd_amounts_do_not_change_its_hash() -> None:
    """Exchange rates move every night; history would hold a version per night otherwise."""
    assert _hash(_earning(True, "1")) == _hash(_earning(True, "2"))
    assert _hash(_earning(False, "1")) != _hash(_earning(False, "2"))
    assert _hash(_earning(None, "1")) != _hash(_earning(None, "2"))


def test_rows_whose_texts_join_alike_differ_in_their_hash() -> None:
    """Separator and null mark inside a text must not pass for the real ones."""
    pairs = [("a\x1fb", "c"), ("a", "b\x1fc"), (None, "c"), ("\x1e", "c"), ("", "c"), ("\x1d2", "c"), ("\x1d", "2c")]
    rows = [transaction_row(case={"caseReference": a, "currency": b}) for a, b in pairs]

    assert len({_hash(row)[0] for row in rows}) == len(pairs)


def test_a_failed_write_leaves_no_draft(tmp_path: Any) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        transform("cases", case_row()).write(tmp_path / "taken", 1)

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
