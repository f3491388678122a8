"""Counts of landed rows: the same in one pass and in many; of a key that was read twice, the last read counts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from debitura_pipeline.extract import landed_rows
from debitura_pipeline.extract.landed_rows import LandedRows

ROWS = """(SELECT 'key-' || (n % 70) AS transaction_id, 'key-' || (n % 70) AS case_id,
    CAST(n + 0.25 AS DECIMAL(18,4)) AS referral_fee_usd,
    'Paid' AS commission_status, 'PaymentReceived' AS platform_invoicing_status,
    CASE WHEN n % 3 = 0 THEN 'Paid' ELSE 'Invoiced' END AS referral_invoicing_status, CAST({seq} AS BIGINT) AS _seq,
    CASE WHEN n % 2 = 0 THEN TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_hours(n) END AS occurred_at
    FROM range({first}, {last}) AS r(n))"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Rows 0 to 69, 50 of them read twice."""
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    with duckdb.connect() as connection:
        for seq, (path, (first, last)) in enumerate(zip(paths, ((0, 70), (70, 120)), strict=True), 1):
            connection.execute(f"COPY {ROWS.format(seq=seq, first=first, last=last)} TO '{path}'")
    return paths


@pytest.mark.parametrize("rows_a_pass", [1_000, 50, 7])
def test_totals_do_not_depend_on_the_number_of_passes(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, rows_a_pass: int
) -> None:
    monkeypatch.setattr(landed_rows, "ROWS_A_PASS", rows_a_pass)
    last = [*range(70, 120), *range(50, 70)]  # the numbers of the rows that count
    paid = [number for number in last if number % 3 == 0]
    invoiced = [number for number in last if number % 3]
    keys, stages = LandedRows("transactions", files).totals(None)
    assert keys == 70
    assert stages == {
        "Paid": (len(paid), sum(paid) + Decimal("0.25") * len(paid)),
        "AwaitingDebituraPayment": (len(invoiced), sum(invoiced) + Decimal("0.25") * len(invoiced)),
    }
    assert LandedRows("cases", files).totals(None) == (70, {})


def test_missing_keys_and_dates_of_landed_keys(files: list[Path]) -> None:
    rows = LandedRows("transactions", files)
    assert rows.missing_keys({"key-0", "key-69", "key-70"}) == {"key-70"}
    assert rows.missing_keys(set()) == set()
    assert rows.dates({"key-1", "key-60", "key-70"}, "occurred_at") == [datetime(2026, 1, 3, 12, tzinfo=UTC)]
    assert LandedRows("cases", files).dates({"key-60"}, "occurred_at") == [datetime(2026, 1, 3, 12, tzinfo=UTC)]
    assert LandedRows("transactions", []).missing_keys({"key-0"}) == {"key-0"}
