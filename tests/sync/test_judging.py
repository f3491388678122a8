"""Whether a sync is proven is decided once, from what was compared; every reason is said, and said once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from debitura_pipeline.landing.findings import ControlTotal
from debitura_pipeline.reconcile.control_totals import MOVES_WITH_RATES, NOT_STATED_BY_API
from debitura_pipeline.sync.judging import MAX_REASONS, judge_proof
from debitura_pipeline.warehouse.base import WindowRecord

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
WINDOW = WindowRecord(None, None, "all", 3, 3, 1, NOW, "00001.parquet", "0" * 64)
ROWS = ControlTotal("transactions", "rows", "all", "all", "count", Decimal(3), Decimal(3), "equal")
PAID = ControlTotal("transactions", "stage", "all", "Paid", "usd", Decimal("10.25"), Decimal("10.25"), "equal")


def silent(total: ControlTotal) -> ControlTotal:
    return replace(total, api_value=None, verdict="unproven", detail=NOT_STATED_BY_API)


def test_a_sync_is_proven_where_all_is_compared_and_equal() -> None:
    assert judge_proof([ROWS, PAID], [], 0, [WINDOW]).is_proven


def test_only_sums_of_estimates_may_stay_open() -> None:
    pending = replace(PAID, bucket="Pending", verdict="unproven", detail=MOVES_WITH_RATES)
    assert judge_proof([ROWS, replace(pending, is_floating=True)], [], 0, [WINDOW]).is_proven
    assert not judge_proof([ROWS, pending], [], 0, [WINDOW]).is_proven, "not by its words, by what it is"
    counted = replace(pending, unit="count", api_value=Decimal(1), verdict="differs", detail=None)
    assert not judge_proof([ROWS, counted], [], 0, [WINDOW]).is_proven


def test_totals_of_single_clients_do_not_count() -> None:
    own = replace(PAID, scope="0b9f4a52", verdict="differs", api_value=Decimal(1))
    assert judge_proof([ROWS, own], [], 0, [WINDOW]).is_proven


@pytest.mark.parametrize(
    ("totals", "notes", "quarantined", "windows", "reason"),
    [
        (
            [ROWS, replace(PAID, api_value=Decimal("10.26"), verdict="differs")],
            [],
            0,
            [WINDOW],
            "1 of the API's totals differ from the warehouse: Paid (usd): API 10.26, warehouse 10.25",
        ),
        ([ROWS, silent(PAID)], [], 0, [WINDOW], "the API stated no summary, so 1 total could not be compared"),
        (
            [ROWS, PAID, silent(replace(PAID, bucket="Disputed"))],
            [],
            0,
            [WINDOW],
            "the API did not state 1 total: Disputed (usd)",
        ),
        ([ROWS, PAID], ["sums were not compared by window"], 0, [WINDOW], "sums were not compared by window"),
        ([ROWS, PAID], [], 2, [WINDOW], "2 rows in quarantine are not counted"),
        ([ROWS, PAID], [], 0, [], "no window was read"),
        ([ROWS], [], 0, [WINDOW, replace(WINDOW, verified_at=None)], "1 of 2 windows are not verified"),
    ],
)  # fmt: skip
def test_each_thing_that_is_not_proven_is_a_reason(
    totals: list[ControlTotal], notes: list[str], quarantined: int, windows: list[WindowRecord], reason: str
) -> None:
    assert judge_proof(totals, notes, quarantined, windows).reasons == (reason,)


def test_a_reason_that_many_windows_give_is_said_once_and_many_reasons_are_cut() -> None:
    assert judge_proof([ROWS], ["by pages"] * 30, 0, [WINDOW]).reasons == ("by pages",)
    reasons = judge_proof([ROWS], [f"window {number}" for number in range(30)], 0, [WINDOW]).reasons
    assert len(reasons) == MAX_REASONS + 1
    assert reasons[-1] == f"and {30 - MAX_REASONS} more reasons"


def test_rows_in_quarantine_that_explain_a_difference_are_one_reason() -> None:
    explained = replace(PAID, verdict="unproven", detail="2 rows in quarantine are not counted", api_value=Decimal(11))
    assert judge_proof([ROWS, explained], [], 2, [WINDOW]).reasons == ("2 rows in quarantine are not counted",)
