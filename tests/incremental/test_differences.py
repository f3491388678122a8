"""Where the API's totals part from ours, and whether to look closer or to read: each decision by a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from debitura_pipeline.api.page import Total
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED
from debitura_pipeline.extract.comparison import CENT, STEP
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.differences import (
    Difference,
    differences,
    follows_dates,
    halves,
    is_worth_narrowing,
    less,
    step_of,
    with_unclassified,
)

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = Window(BEGIN, BEGIN + timedelta(days=31))


def hours(first: int, end: int) -> Window:
    return Window(BEGIN + timedelta(hours=first), BEGIN + timedelta(hours=end))


def stated(count: int, **by_stage: tuple[int | None, str | None]) -> Totals:
    """What an API states: rows, and count and USD by stage; stages that are not named hold nothing."""
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
def test_a_window_is_halved_at_a_whole_hour(window: Window, parts: tuple[Window, Window] | None) -> None:
    assert halves(window) == parts


@pytest.mark.parametrize(
    ("paid", "ours", "step", "found"),
    [
        ((2, "30"), (2, 300_000), STEP, []),
        ((3, "30"), (2, 300_000), STEP, [Difference("Paid", 3, 1)]),
        ((1, "30"), (2, 300_000), STEP, [Difference("Paid", 1, -1)]),
        ((2, "30.0001"), (2, 300_000), STEP, [Difference("Paid", 2, 0)]),
        ((2, "30"), (2, 300_049), CENT, []),
        ((2, "30"), (2, 300_051), CENT, [Difference("Paid", 2, 0)]),
        ((2, None), (2, 300_000), STEP, []),
        ((None, "31"), (2, 300_000), STEP, []),
    ],
    ids=["equal", "more", "fewer", "sum", "rounded to cents", "beyond cents", "no sum stated", "not stated"],
)
def test_a_bucket_differs_by_its_rows_or_its_settled_sum(
    paid: tuple[int | None, str | None], ours: tuple[int, int], step: Decimal, found: list[Difference]
) -> None:
    assert differences(stated(paid[0] or 0, Paid=paid), {"Paid": ours}, step) == found


def test_an_estimates_sum_is_not_judged_its_count_is() -> None:
    """It floats with the exchange rate: judged, every night would read every estimate twice."""
    assert differences(stated(2, Pending=(2, "99")), {"Pending": (2, 10_000)}, STEP) == []
    assert differences(stated(3, Pending=(3, "99")), {"Pending": (2, 10_000)}, STEP) == [Difference("Pending", 3, 1)]


def test_rows_that_fit_no_stage_are_what_the_stages_leave_over() -> None:
    assert with_unclassified(stated(5, Paid=(3, "1"))).summary[UNCLASSIFIED] == Total(2, None)
    assert with_unclassified(stated(5, Paid=(None, "1"))).summary[UNCLASSIFIED] == Total(None, None)
    partly = Totals(5, {"Paid": Total(3, None)})
    assert with_unclassified(partly) == partly, "nothing is known of what was not stated"
    assert differences(stated(5, Paid=(3, "1")), {"Paid": (3, 10_000)}, STEP) == [Difference(UNCLASSIFIED, 2, 2)]


@pytest.mark.parametrize(
    ("rows", "changed", "window", "worth"),
    [
        (100_000, 1, MONTH, True),  # some 11 requests against 1,000 pages
        (100_000, -3, MONTH, True),
        (100, 1, MONTH, False),  # one page
        (1_000, 100, MONTH, False),  # a tenth of all changed: reading is cheaper
        (100_000, 1, hours(0, 1), False),  # cannot be halved
        (100_000, 1, Window(None, None), False),
    ],
)
def test_many_rows_with_few_changes_are_narrowed_others_read(
    rows: int, changed: int, window: Window, worth: bool
) -> None:
    assert is_worth_narrowing(Difference("Paid", rows, changed), window) is worth


def test_the_other_half_is_what_the_whole_has_less_the_half_that_was_asked() -> None:
    rest = less(stated(10, Paid=(6, "60.5"), Disputed=(4, None)), stated(4, Paid=(1, "10.25"), Disputed=(3, "3")))
    assert (rest.count, rest.summary["Paid"], rest.summary["Disputed"]) == (
        6,
        Total(5, Decimal("50.25")),
        Total(1, None),
    )
    assert less(stated(10, Paid=(6, "1")), Totals(4, {})).summary["Paid"] == Total(None, None)


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
def test_a_summary_is_the_windows_own_if_it_has_no_more_rows(of_window: Totals, follows: bool) -> None:
    assert follows_dates(of_window, stated(9, Paid=(9, "1"))) is follows


def test_one_sum_with_four_digits_tells_that_no_sum_is_rounded() -> None:
    assert step_of([stated(1, Paid=(1, "1.25")), stated(1, Paid=(1, "1.2501"))]) == STEP
    assert step_of([stated(1, Paid=(1, "1.25")), stated(1, Paid=(1, "2"))]) == CENT
