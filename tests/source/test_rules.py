"""Rules of rows, by column; no message contains a value."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from debitura_pipeline.source import read_claims, read_roster
from tests.source.rows import as_csv, claim_row, client_row, put, settings_for

TODAY = date(2026, 5, 1)


@pytest.mark.parametrize("amount", ["10.500000", "10.5", "10.50"])
def test_zeros_behind_the_fourth_decimal_are_no_fault(tmp_path: Path, amount: str) -> None:
    """Columns of a fixed scale have them in every row."""
    put(tmp_path / "claims.csv", as_csv([claim_row(1, amount=amount)]))
    (row,) = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=tmp_path / "claims.csv"), TODAY).rows
    assert row.row is not None and row.row.amount == amount


CLAIM_FAULTS = [
    ({"amount": ""}, "amount is required"),
    ({"amount": "1e3"}, "amount is not an amount in plain decimal notation"),
    ({"amount": "1,250.50"}, "amount is not an amount in plain decimal notation"),
    ({"amount": "-5"}, "amount is not an amount in plain decimal notation"),
    ({"amount": "0.00"}, "amount is not above 0"),
    ({"amount": "1.00001"}, "amount has more than 4 decimals"),
    ({"amount": "123456789012345"}, "amount has more than 14 digits"),
    ({"currency": "eur"}, "currency is not a currency code"),
    ({"currency": "ZZZ"}, "currency is not a currency code"),
    ({"debtor_type": "firm"}, "debtor_type is none of company, person"),
    ({"debtor_country": "Germany"}, "debtor_country is not a country code"),
    ({"debtor_country": "ZZ"}, "debtor_country is not a country code"),
    ({"creditor_reference": "x" * 51}, "creditor_reference is longer than 50 characters"),
    ({"creditor_reference": " INV-1"}, "creditor_reference begins or ends with a blank"),
    ({"invoice_date": "02.01.2026"}, "invoice_date is not a date"),
    ({"invoice_date": "2026-02-30"}, "invoice_date is not a date"),
    ({"invoice_date": "2026-05-02", "due_date": ""}, "invoice_date is in the future"),
    ({"due_date": "2026-05-01"}, "due_date is not in the past"),
    ({"due_date": "2026-01-01"}, "due_date is before invoice_date"),
    ({"debtor_contact_person": ""}, "debtor_contact_person is required for a company"),
    ({"debtor_country": "US"}, "debtor_state is required for the US"),
    ({"debtor_country": "US", "debtor_state": "Bavaria"}, "debtor_state is not a US state"),
    ({"amount_over_12_months": "5"}, "amount_over_24_months is required together"),
    ({"amount_over_6_months": "5"}, "amount_over_6_months needs"),
    ({"amount_over_12_months": "5", "amount_over_24_months": "6"}, "amount_over_24_months is above"),
    ({"amount_over_12_months": "5000", "amount_over_24_months": "1"}, "amount_over_12_months is above amount"),
    ({"debtor_email": "klara at example"}, "debtor_email is not an e-mail address"),
    ({"comments": "x" * 4001}, "comments is longer than 4000 characters"),
    ({"is_test": "maybe"}, "is_test is none of true, false"),
    ({"debtor_name": "  "}, "debtor_name consists of blanks only"),
    ({"debtor_name": "a\x00b"}, "debtor_name contains a control character"),
]


@pytest.mark.parametrize(("changes", "words"), CLAIM_FAULTS)
def test_claim_that_breaks_a_rule(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    path = tmp_path / "claims.csv"
    put(path, as_csv([claim_row(1, **changes), claim_row(2)]))
    bad, good = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=path), TODAY).rows
    assert bad.row is None and good.row is not None
    assert [reason for reason in bad.reasons() if words in reason], bad.reasons()
    assert not [value for value in changes.values() if len(value) > 3 and value in " ".join(bad.reasons())]


@pytest.mark.parametrize(
    "changes",
    [
        {"debtor_type": "person", "debtor_contact_person": ""},
        {"debtor_country": "US", "debtor_state": "US-CA"},
        {"debtor_country": "US", "debtor_state": "new york"},
        {"amount_over_6_months": "7", "amount_over_12_months": "7", "amount_over_24_months": "0"},
        {"invoice_date": "", "due_date": ""},
        {"invoice_date": "2026-01-02 00:00:00+00", "due_date": "2026-01-02T00:00:00Z"},
        {"debtor_name": "NA", "comments": "null"},
    ],
)
def test_claim_that_keeps_every_rule(tmp_path: Path, changes: dict[str, str]) -> None:
    path = tmp_path / "claims.csv"
    put(path, as_csv([claim_row(1, **changes)]))
    (row,) = read_claims(settings_for(tmp_path, DEBITURA_CLAIMS=path), TODAY).rows
    assert not row.faults
    assert row.row is not None and row.row.debtor_name == changes.get("debtor_name", "Debtor 1 GmbH")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"country": "Q9"}, "country is not a country code"),
        ({"support_email": "office"}, "support_email is not an e-mail address"),
        ({"user_name": ""}, "user_name is required"),
        ({"zip_code": "1" * 21}, "zip_code is longer than 20 characters"),
        ({"other_users": "Bob"}, "other_users is not a JSON list"),
        ({"other_users": '[{"name": "Bob"}]'}, "other_users is not a JSON list"),
        ({"other_users": '[{"name": "Bob", "email": "bob"}]'}, "user 1, whose address is not an e-mail address"),
        ({"other_users": '[{"name": "Bob", "email": "INGRID1@harbour1.example"}]'}, "has an e-mail address twice"),
    ],
)
def test_client_that_breaks_a_rule(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    path = tmp_path / "roster.csv"
    put(path, as_csv([client_row(1, **changes), client_row(2)]))
    bad, good = read_roster(settings_for(tmp_path, DEBITURA_ROSTER=path), TODAY).rows
    assert bad.row is None and good.row is not None
    assert [reason for reason in bad.reasons() if words in reason], bad.reasons()


def test_other_users_come_as_text_or_as_json(tmp_path: Path) -> None:
    others = [{"name": "Bo Lind", "email": "bo@harbour1.example"}]
    put(tmp_path / "a.csv", as_csv([client_row(1, other_users=json.dumps(others))]))
    put(tmp_path / "b.ndjson", json.dumps({**client_row(1), "other_users": others}))
    found = [
        read_roster(settings_for(tmp_path, DEBITURA_ROSTER=tmp_path / name), TODAY).rows[0]
        for name in ("a.csv", "b.ndjson")
    ]
    assert found[0].row is not None and found[0].row == found[1].row
    assert [user.name for user in found[0].row.users] == ["Ingrid Solvang 1", "Bo Lind"]
    assert found[0].row_hash == found[1].row_hash
    assert "Ingrid" not in repr(found) and "harbour" not in repr(found)


def test_the_same_key_twice_makes_both_rows_invalid(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    put(path, as_csv([client_row(1), client_row(2), client_row(1, company_name="Another")]))
    rows = read_roster(settings_for(tmp_path, DEBITURA_ROSTER=path), TODAY).rows
    assert [row.row is None for row in rows] == [True, False, True]


def test_an_address_as_tenant_id_is_stored_as_a_pseudonym(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    put(path, as_csv([client_row(1, external_tenant_id="ingrid@harbour.example")]))
    (row,) = read_roster(settings_for(tmp_path, DEBITURA_ROSTER=path), TODAY).rows
    assert row.key == ("ingrid@harbour.example",)
    assert row.stored_key[0].startswith("hashed-")
