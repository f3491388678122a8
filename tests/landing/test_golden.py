"""Rows worked by hand: what the API sent on the one side, what lands on the other."""

from __future__ import annotations

import hashlib
import hmac
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.contract.tables import LANDED_EXTRA, TABLES
from debitura_pipeline.landing.transform import PageTransformer
from tests.landing.rows import KEY, MAKERS, case_row, client_row, page, transaction_row

ASE = hmac.new(KEY, "åse bjørnsdóttir".encode(), "sha256").hexdigest()

CASE = {
    "case_id": "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77",
    "reference": "K7TRW2QD",
    "creditor_reference": "INV-2026-17",
    "external_tenant_id": "tenant-042",
    "creditor_id": "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
    "company_name": "Nordlys Handel A/S",
    "debtor_key": ASE,
    "debtor_name": None,
    "debtor_country": "Germany",
    "gross_amount": Decimal("1200.5000"),
    "remainder": Decimal("0.0000"),  # 0.00005 lies half way: to even
    "currency": "EUR",
    "lifecycle": "Active",
    "close_code": None,
    "engagement_phase": "Pre-legal",
    "created_at": datetime(2026, 1, 5, 2, 0, 0, 123456, tzinfo=UTC),  # the seventh digit is cut off
    "due_at": datetime(2025, 12, 1, tzinfo=UTC),  # naive: UTC
    "collection_started_at": datetime(2026, 1, 5, 23, 30, tzinfo=UTC),
    "finished_at": None,
    "needs_info": True,
    "creditor_responded_at": None,
    "collection_partner": "Inkasso Süd GmbH",
    "expected_referral_rate_pct": Decimal("50.0000"),
    "extra": None,
}
TRANSACTION = {
    "transaction_id": "11111111-2222-4333-8444-555555555555",
    "occurred_at": datetime(2026, 3, 1, 10, tzinfo=UTC),
    "external_tenant_id": "tenant-042",
    "creditor_id": "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
    "company_name": "Nordlys Handel A/S",
    "case_id": "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77",
    "case_reference": "K7TRW2QD",
    "debtor_key": ASE,
    "debtor_name": None,
    "case_amount": Decimal("1200.5000"),
    "case_currency": "EUR",
    "payment_amount": Decimal("100.0000"),
    "payment_currency": "EUR",
    "paid_at": datetime(2026, 2, 27, tzinfo=UTC),
    "earnings_currency": "EUR",
    "debitura_revenue": Decimal("6.0002"),  # 6.00015: half, up to even
    "debitura_revenue_usd": Decimal("6.5100"),
    "referral_fee_pct": Decimal("50.0000"),
    "referral_fee": Decimal("3.0002"),  # 3.00025: half, down to even
    "referral_fee_usd": Decimal("3.2550"),
    "is_estimate": True,
    "is_recognized": False,
    "referral_fee_recognized_usd": Decimal("0.0000"),
    "commission_status": "Unpaid",
    "platform_invoicing_status": "NotInvoiced",
    "referral_invoicing_status": None,
    "extra": None,
}
CLIENT = {
    "creditor_id": "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
    "external_tenant_id": "tenant-042",
    "company_name": "Nordlys Handel A/S",
    "country": "Denmark",
    "city": "Aarhus",
    "registration_number": "DK12345678",
    "is_attributed": True,
    "onboarding_done": False,
    "linked_at": datetime(2025, 11, 30, 12, tzinfo=UTC),
    "kyc_status": "not_required",
    "cases_total": 12,
    "cases_closed": 3,
    "earnings_usd": Decimal("45.1250"),
    "extra": None,
}
# The estimate's three USD amounts count as null (U+001E) in its hash.
TRANSACTION_TEXT = "\x1f".join([
    "11111111-2222-4333-8444-555555555555", "1772359200000000", "tenant-042", "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
    "Nordlys Handel A/S", "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77", "K7TRW2QD", ASE, "1200.5000", "EUR", "100.0000", "EUR",
    "1772150400000000", "EUR", "6.0002", "\x1e", "50.0000", "3.0002", "\x1e", "true", "false", "\x1e", "Unpaid",
    "NotInvoiced", "\x1e",
])  # fmt: skip
CLIENT_TEXT = "\x1f".join([
    "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10", "tenant-042", "Nordlys Handel A/S", "Denmark", "Aarhus", "DK12345678", "true",
    "false", "1764504000000000", "not_required", "12", "3", "45.1250",
])  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "row", "landed"),
    [("cases", case_row(), CASE), ("transactions", transaction_row(), TRANSACTION), ("clients", client_row(), CLIENT)],
)
@pytest.mark.parametrize("canonical", [True, False], ids=["fast", "slow"])
def test_row_lands_as_worked_by_hand(
    resource: str, row: dict[str, Any], landed: dict[str, Any], canonical: bool
) -> None:
    with PageTransformer("pseudonymous", KEY) as transformer:
        transformed = transformer.transform(resource, [page(resource, [row])], canonical=canonical)

    (found,) = transformed.columns.drop_columns(["_row_hash"]).to_pylist()
    assert found == landed
    assert (transformed.rows, transformed.good, transformed.distinct_keys, transformed.bad, transformed.drift) == (
        1,
        1,
        1,
        (),
        (),
    )


@pytest.mark.parametrize(("resource", "text"), [("transactions", TRANSACTION_TEXT), ("clients", CLIENT_TEXT)])
def test_row_hash_is_the_md5_of_the_text_worked_by_hand(resource: str, text: str) -> None:
    """A hash that changed with a version of the code would show every row as changed."""
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform(resource, [page(resource, [MAKERS[resource]()])])

    assert transformed.columns["_row_hash"].to_pylist() == [hashlib.md5(text.encode()).hexdigest()]


@pytest.mark.parametrize("resource", TABLES)
@pytest.mark.parametrize("count", [0, 1])
def test_file_reads_back_in_duckdb_with_the_declared_types(resource: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / "window.parquet"
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform(resource, [page(resource, [MAKERS[resource]()] * count)])
    sha256 = transformed.write(path, 17)

    declared = [(column.name, column.kind.sql) for column in TABLES[resource].columns] + list(LANDED_EXTRA)
    with duckdb.connect() as db:
        found = db.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
        seqs = db.execute("SELECT _seq FROM read_parquet(?)", [str(path)]).fetchall()
    expected = [(name, {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(sql, sql)) for name, sql in declared]
    assert [(row[0], row[1]) for row in found] == expected
    assert seqs == [(17,)] * count
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["window.parquet"]


def test_a_window_without_pages_is_an_empty_table() -> None:
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [])

    assert (transformed.rows, transformed.good, transformed.distinct_keys) == (0, 0, 0)


def test_a_page_whose_rows_are_null_holds_none() -> None:
    with PageTransformer("full", KEY) as transformer:
        assert transformer.transform("cases", [b'{"cases":null}']).rows == 0
        assert transformer.transform("cases", [b'{"cases":null}'], canonical=False).rows == 0


def test_the_later_of_two_rows_with_one_key_wins() -> None:
    rows = [case_row(reference="first"), case_row(id=case_row()["id"].upper(), reference="second")]
    other = case_row(id="00000000-0000-4000-8000-000000000001")
    with PageTransformer("full", KEY) as transformer:
        transformed = transformer.transform("cases", [page("cases", [rows[0], other]), page("cases", [rows[1]])])

    assert (transformed.rows, transformed.good, transformed.distinct_keys) == (3, 2, 2)
    assert transformed.columns["reference"].to_pylist() == ["K7TRW2QD", "second"]
