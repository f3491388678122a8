"""Comparing the API's totals with ours, and whether to bisect or to read: each decision as a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED
from debitura_pipeline.extract.comparison import CENT, ROW_PRECISION
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.differences import (
    Difference,
    bisect,
    compare_totals,
    fee_precision,
    honours_filter,
    should_bisect,
    subtract,
    with_unclassified,
)

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = Window(BEGIN, BEGIN + timedelta(days=31))


def hours(first: int, end: int) -> Window:
    return Window(BEGIN + timedelta(hours=first), BEGIN + timedelta(hours=end))


def stated(count: int, **by_stage: tuple[int | None, str | None]) -> Totals:
    """Totals as an API states them: rows, and count and USD by stage. Stages that are not given are empty."""
    of_stage = {stage: Total(0, Decimal(0)) for stage in STAGES}
    given = {name: Total(rows, None if usd is None else Decimal(usd)) for name, (rows, usd) in by_stage.items()}
    return Totals(count, of_stage | given)


@pytest.mark.parametrize(
    ("window", "parts"),
    [
        (hours(0, 1), None),
        (hours(0, 2), (hours(0, 1), hours(1, 2))),
        (hours(0, 3), (hours(0, 1), hours(1, 3))),
        (hours(0, 744), (hours(0, 372), hours(372, 744))),
        (Window(None, BEGIN), None),
        (Window(BEGIN, None), None),
        (Window(None, None), None),
    ],
)
def test_a_window_is_bisected_at_a_whole_hour(window: Window, parts: tuple[Window, Window] | None) -> None:
    assert bisect(window) == parts


@pytest.mark.parametrize(
    ("paid", "ours", "precision", "found"),
    [
        ((2, "30"), (2, 300_000), ROW_PRECISION, []),
        ((3, "30"), (2, 300_000), ROW_PRECISION, [Difference("Paid", 3, 1)]),
        ((1, "30"), (2, 300_000), ROW_PRECISION, [Difference("Paid", 1, -1)]),
        ((2, "30.0001"), (2, 300_000), ROW_PRECISION, [Difference("Paid", 2, 0)]),
        ((2, "30"), (2, 300_049), CENT, []),
        ((2, "30"), (2, 300_051), CENT, [Difference("Paid", 2, 0)]),
        ((2, None), (2, 300_000), ROW_PRECISION, []),
        ((None, "31"), (2, 300_000), ROW_PRECISION, []),
    ],
    ids=["equal", "more", "fewer", "sum", "rounded to cents", "beyond cents", "no sum stated", "not stated"],
)
def test_a_bucket_differs_by_its_rows_or_its_settled_sum(
    paid: tuple[int | None, str | None], ours: tuple[int, int], precision: Decimal, found: list[Difference]
) -> None:
    assert compare_totals(stated(paid[0] or 0, Paid=paid), {"Paid": ours}, precision) == found


def test_estimates_are_compared_by_count_and_not_by_sum() -> None:
    """The sum moves with exchange rates: if it were compared, every sync would read every estimate twice."""
    assert compare_totals(stated(2, Pending=(2, "99")), {"Pending": (2, 10_000)}, ROW_PRECISION) == []
    assert compare_totals(stated(3, Pending=(3, "99")), {"Pending": (2, 10_000)}, ROW_PRECISION) == [
        Difference("Pending", 3, 1)
    ]


def test_unclassified_rows_are_all_rows_minus_those_of_every_stage() -> None:
    assert with_unclassified(stated(5, Paid=(3, "1"))).summary[UNCLASSIFIED] == Total(2, None)
    assert with_unclassified(stated(5, Paid=(None, "1"))).summary[UNCLASSIFIED] == Total(None, None)
    partly = Totals(5, {"Paid": Total(3, None)})
    assert with_unclassified(partly) == partly, "a stage that is not stated may hold any number"
    assert compare_totals(stated(5, Paid=(3, "1")), {"Paid": (3, 10_000)}, ROW_PRECISION) == [
        Difference(UNCLASSIFIED, 2, 2)
    ]


@pytest.mark.parametrize(
    ("rows", "changed", "window", "worth"),
    [
        (100_000, 1, MONTH, True),  # some 11 requests against 1,000 pages
        (100_000, -3, MONTH, True),
        (100, 1, MONTH, False),  # one page
        (1_000, 100, MONTH, False),  # a tenth of all changed: reading is cheaper
        (100_000, 1, hours(0, 1), False),  # cannot be bisected
        (100_000, 1, Window(None, None), False),
    ],
)
def test_a_window_is_bisected_if_it_has_many_rows_and_few_changes(
    rows: int, changed: int, window: Window, worth: bool
) -> None:
    assert should_bisect(Difference("Paid", rows, changed), window) is worth


def test_the_second_half_is_the_whole_minus_the_first_half() -> None:
    rest = subtract(stated(10, Paid=(6, "60.5"), Disputed=(4, None)), stated(4, Paid=(1, "10.25"), Disputed=(3, "3")))
    assert (rest.count, rest.summary["Paid"], rest.summary["Disputed"]) == (
        6,
        Total(5, Decimal("50.25")),
        Total(1, None),
    )
    assert subtract(stated(10, Paid=(6, "1")), Totals(4, {})).summary["Paid"] == Total(None, None)


@pytest.mark.parametrize(
    ("of_window", "follows"),
    [
        (stated(5, Paid=(5, "1")), True),
        (stated(5, Paid=(3, "1")), True),
        (stated(5, Paid=(9, "1")), False),
        (stated(9, Paid=(9, "1")), True),
        (stated(5, Paid=(None, "1")), False),
        (Totals(5, {}), False),
    ],
    ids=["all", "some fit no stage", "of the whole listing", "all rows are in it", "no count", "no summary"],
)
def test_a_summary_honours_the_date_filter_if_it_has_no_more_rows_than_the_window(
    of_window: Totals, follows: bool
) -> None:
    assert honours_filter(of_window, stated(9, Paid=(9, "1"))) is follows


def test_one_sum_with_four_decimals_shows_that_sums_are_not_rounded() -> None:
    assert fee_precision([stated(1, Paid=(1, "1.25")), stated(1, Paid=(1, "1.2501"))]) == ROW_PRECISION
    assert fee_precision([stated(1, Paid=(1, "1.25")), stated(1, Paid=(1, "2"))]) == CENT
