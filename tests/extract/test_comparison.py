"""A stated sum equals ours to the last digit that the API states, whatever JSON and doubles do to it."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.extract.comparison import CENT, ROW_PRECISION, bucket_differs, compare, stated_precision
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.incremental.differences import compare_totals, fee_precision, subtract

FEES = st.lists(st.integers(0, 10**9).map(lambda units: Decimal(units) / 10_000), min_size=1, max_size=300)
OFF = st.integers(1, 10**7).map(lambda units: Decimal(units) / 10_000)
ROUNDING = st.sampled_from((ROUND_HALF_EVEN, ROUND_HALF_UP))


def as_json(number: float | Decimal) -> Decimal:
    """The number after a round trip through JSON: no trailing zeros, doubles with their shortest digits."""
    text = json.dumps(number) if isinstance(number, float) else str(number.normalize())
    return Decimal(text)


def added_as_doubles(fees: list[Decimal]) -> float:
    total = 0.0
    for fee in fees:
        total += float(fee)
    return total


@settings(max_examples=300, deadline=None)
@given(FEES, OFF)
def test_four_decimals_are_compared_exactly(fees: list[Decimal], off: Decimal) -> None:
    """0.0001 USD is a difference; `reconcile` once accepted 0.0051 USD that a sync would not."""
    ours = sum(fees, Decimal(0))
    assert compare(as_json(ours), ours, ROW_PRECISION, len(fees)) == "equal"
    assert compare(as_json(ours + off), ours, ROW_PRECISION, len(fees)) == "differs"


@settings(max_examples=300, deadline=None)
@given(FEES, OFF)
def test_sums_added_in_doubles_are_compared_exactly_too(fees: list[Decimal], off: Decimal) -> None:
    ours = sum(fees, Decimal(0))
    assert compare(as_json(added_as_doubles(fees)), ours, ROW_PRECISION, len(fees)) == "equal"
    assert compare(as_json(added_as_doubles([*fees, off])), ours, ROW_PRECISION, len(fees)) == "differs"


@settings(max_examples=300, deadline=None)
@given(FEES, st.integers(-100_000, 100_000), ROUNDING)
def test_if_the_api_rounds_to_cents_up_to_half_a_cent_is_equal(fees: list[Decimal], units: int, rounding: str) -> None:
    ours, off = sum(fees, Decimal(0)), Decimal(units) / 10_000
    stated = as_json((ours + off).quantize(CENT, rounding))
    said = compare(stated, ours, CENT, len(fees))
    if off == 0:
        assert said == "equal"
    if abs(off) > CENT:  # half for the rounding, half that it may hide
        assert said == "differs"
    assert (said == "equal") == (abs(stated - ours) <= CENT / 2)


@settings(max_examples=300, deadline=None)
@given(st.lists(FEES, min_size=1, max_size=8))
def test_precision_follows_from_all_sums_and_not_from_errors_of_doubles(buckets: list[list[Decimal]]) -> None:
    exact = [sum(fees, Decimal(0)) for fees in buckets]
    has_more = any(total % CENT for total in exact)
    assert stated_precision(map(as_json, exact)) == (ROW_PRECISION if has_more else CENT)
    assert stated_precision(as_json(added_as_doubles(fees)) for fees in buckets) == (
        ROW_PRECISION if has_more else CENT
    )
    assert stated_precision(as_json(total.quantize(CENT)) for total in exact) == CENT


def test_an_error_of_doubles_does_not_count_as_a_digit() -> None:
    assert stated_precision([Decimal("1234.5600000000001"), None, Decimal("0.30000000000000004")]) == CENT
    assert compare(Decimal("1234.5600000000001"), Decimal("1234.56"), CENT, 3) == "equal"
    assert compare(Decimal("1234.5600000000001"), Decimal("1234.5700"), CENT, 3) == "differs"


def test_a_sum_too_large_for_a_double_is_neither_equal_nor_different() -> None:
    """The error of adding a million equal fees grows beyond the precision, so the verdict is `unproven`."""
    fees = [Decimal("997.1301")] * 1_000_000
    ours = sum(fees, Decimal(0))
    stated = as_json(added_as_doubles(fees))
    assert abs(stated - ours) > ROW_PRECISION, "otherwise this test shows nothing"
    assert compare(stated, ours, ROW_PRECISION, len(fees)) == "unproven"
    assert compare(stated + 100, ours, ROW_PRECISION, len(fees)) == "differs"
    assert not bucket_differs("Paid", Total(len(fees), stated), len(fees), ours, ROW_PRECISION)


@pytest.mark.parametrize("stated", ["1E+400", "1E+31", "-9E+999999"])
def test_an_implausible_sum_differs_and_raises_nothing(stated: str) -> None:
    assert compare(Decimal(stated), Decimal(1), ROW_PRECISION) == "differs"
    assert stated_precision([Decimal(stated)]) == CENT


def test_rows_with_more_than_four_decimals_differ_only_in_sums() -> None:
    """Rows are rounded to four decimals when they are landed: one such row is equal, a hundred of them differ."""
    assert compare(Decimal("10.00004"), Decimal("10.0000"), ROW_PRECISION) == "equal"
    assert compare(Decimal("1000.004"), Decimal("1000.0000"), ROW_PRECISION, 100) == "differs"


def test_a_difference_of_rounded_sums_may_be_off_by_two_roundings_and_of_exact_ones_by_none() -> None:
    """The second half of a window is never requested: it is the whole minus the first half, each rounded on its own."""
    whole, first = Totals(2, {"Paid": Total(2, Decimal("2.01"))}), Totals(1, {"Paid": Total(1, Decimal("1.00"))})
    ours = {"Paid": (1, 10_041)}  # 1.0041 beside 1.0049: together 2.009, rounded 2.01; the first rounded 1.00
    rest = subtract(whole, first)
    assert compare_totals(rest, ours, CENT)
    assert not compare_totals(rest, ours, CENT, roundings=2)
    assert compare_totals(rest, ours, ROW_PRECISION, roundings=2)


def test_one_response_with_fractions_of_a_cent_makes_all_of_them_exact() -> None:
    month, closing = Totals(1, {"Paid": Total(1, Decimal("0.0051"))}), Totals(1, {"Paid": Total(1, Decimal("7"))})
    assert fee_precision([closing]) == CENT
    assert fee_precision([closing, month]) == ROW_PRECISION
    assert fee_precision([Totals(1, {"debitura_revenue": Total(None, Decimal("0.0051"))})]) == CENT, (
        "another kind of sum"
    )
