"""Bisection finds every change, reads little else and sends few requests. Two sets of hourly totals; one plays the API."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.extract.comparison import ROW_PRECISION
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import EVERYTHING, Window
from debitura_pipeline.incremental.differences import compare_totals
from debitura_pipeline.incremental.drilldown import Bisection, ReadTarget, expected_cost
from debitura_pipeline.incremental.hourly_totals import UNITS_PER_USD, HourlyTotals

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 31 * 24
MONTH = Window(BEGIN, BEGIN + timedelta(hours=HOURS))
ROWS = 40  # per hour; 29,760 in the month, 298 pages

Hourly = dict[tuple[int, str], tuple[int, Decimal]]


def world() -> Hourly:
    return {(hour, "Paid"): (ROWS, Decimal(ROWS * 10)) for hour in range(HOURS)}


def totals_of(rows: Hourly) -> HourlyTotals:
    return HourlyTotals((BEGIN + timedelta(hours=hour), stage, n, usd) for (hour, stage), (n, usd) in rows.items())


class Api:
    """States the totals of these rows; `requests` counts the requests."""

    def __init__(self, rows: Hourly) -> None:
        self._totals, self.requests = totals_of(rows), 0

    def states(self, window: Window) -> Totals:
        found = self._totals.in_window(window)
        by_stage = {name: found.get(name, (0, 0)) for name in STAGES}
        return Totals(
            sum(n for n, _ in by_stage.values()),
            {name: Total(n, Decimal(usd) / UNITS_PER_USD) for name, (n, usd) in by_stage.items()},
        )

    async def fetch_totals(self, window: Window) -> Totals:
        self.requests += 1
        return self.states(window)


def find(theirs: Hourly) -> tuple[list[ReadTarget], Api]:
    api = Api(theirs)
    bisection = Bisection(api.fetch_totals, totals_of(world()), ROW_PRECISION)
    return asyncio.run(bisection.find(MONTH, api.states(MONTH))), api


def covered(found: list[ReadTarget], hour: int, bucket: str) -> bool:
    at = BEGIN + timedelta(hours=hour)
    return any(
        part.bucket == bucket and part.window.start is not None and part.window.end is not None
        and part.window.start <= at < part.window.end
        for part in found
    )  # fmt: skip


def test_equal_totals_need_no_request_and_no_read() -> None:
    found, api = find(world())
    assert (found, api.requests) == ([], 0)


@pytest.mark.parametrize("hour", [0, 1, 371, 372, HOURS - 1])
def test_an_added_row_is_found_with_one_request_per_bisection_step(hour: int) -> None:
    theirs = world() | {(hour, "Paid"): (ROWS + 1, Decimal(ROWS * 10 + 7))}
    found, api = find(theirs)
    assert covered(found, hour, "Paid")
    assert sum(part.rows for part in found) <= 160, "two pages"
    assert api.requests <= 9
    assert (
        api.requests + len(found)
        <= expected_cost(MONTH, api.states(MONTH), totals_of(world()), ROW_PRECISION) / 0.7 + 1
    )


def test_the_whole_listing_is_estimated_like_its_months_and_not_as_if_it_were_read() -> None:
    """A list of three hundred pages was read in full because of one new row: its estimate compares no months."""
    theirs = world() | {(700, "Paid"): (ROWS + 1, Decimal(ROWS * 10 + 10))}
    stated = Api(theirs).states(MONTH)
    ours = totals_of(world())
    of_month, of_all = (expected_cost(window, stated, ours, ROW_PRECISION) for window in (MONTH, EVERYTHING))
    assert of_all == of_month < 10


def test_a_row_that_changed_its_stage_is_found_in_both_stages() -> None:
    theirs = world() | {(100, "Paid"): (ROWS - 1, Decimal(ROWS * 10 - 10)), (100, "Disputed"): (1, Decimal(10))}
    found, _ = find(theirs)
    assert covered(found, 100, "Paid") and covered(found, 100, "Disputed")


def test_a_changed_amount_is_found_by_the_sum_alone() -> None:
    found, _ = find(world() | {(500, "Paid"): (ROWS, Decimal("400.0001"))})
    assert covered(found, 500, "Paid")


@pytest.mark.parametrize("seed", range(20))
def test_reading_all_targets_leaves_no_difference(seed: int) -> None:
    """Otherwise a sync would end unproven."""
    chance = random.Random(seed)
    theirs = world()
    for _ in range(chance.choice((1, 2, 5, 40))):
        key = (chance.randrange(HOURS), chance.choice(("Paid", "Disputed", "Pending")))
        n, usd = theirs.get(key, (0, Decimal(0)))
        more = chance.choice((-1, 1, 2)) if n else 1
        theirs[key] = (n + more, usd + more * Decimal(chance.randrange(1, 99)))
    found, api = find(theirs)
    merged = {
        key: theirs.get(key, (0, Decimal(0))) if covered(found, *key) else world().get(key, (0, Decimal(0)))
        for key in {*theirs, *world()}
    }
    assert compare_totals(api.states(MONTH), totals_of(merged).in_window(MONTH), ROW_PRECISION) == []
