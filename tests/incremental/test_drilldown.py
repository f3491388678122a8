"""The walk down to what differs finds every change, reads little else, and asks few questions: two ledgers, one is the API."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from debitura_pipeline.api.page import Total
from debitura_pipeline.contract.stages import STAGES
from debitura_pipeline.extract.comparison import STEP
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import Window
from debitura_pipeline.incremental.differences import differences
from debitura_pipeline.incremental.drilldown import Hunt, Quarry, expected_cost
from debitura_pipeline.incremental.hourly_totals import SCALE, Ledger

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 31 * 24
MONTH = Window(BEGIN, BEGIN + timedelta(hours=HOURS))
ROWS = 40  # an hour; 29,760 in the month, 298 pages

Hourly = dict[tuple[int, str], tuple[int, Decimal]]


def world() -> Hourly:
    return {(hour, "Paid"): (ROWS, Decimal(ROWS * 10)) for hour in range(HOURS)}


def ledger(rows: Hourly) -> Ledger:
    return Ledger((BEGIN + timedelta(hours=hour), stage, n, usd) for (hour, stage), (n, usd) in rows.items())


class Api:
    """What an API with these rows states of a window; `asked` counts the questions."""

    def __init__(self, rows: Hourly) -> None:
        self._ledger, self.asked = ledger(rows), 0

    def states(self, window: Window) -> Totals:
        found = self._ledger.of(window)
        by_stage = {name: found.get(name, (0, 0)) for name in STAGES}
        return Totals(
            sum(n for n, _ in by_stage.values()),
            {name: Total(n, Decimal(usd) / SCALE) for name, (n, usd) in by_stage.items()},
        )

    async def ask(self, window: Window) -> Totals:
        self.asked += 1
        return self.states(window)


def walk(theirs: Hourly) -> tuple[list[Quarry], Api]:
    api = Api(theirs)
    hunt = Hunt(api.ask, ledger(world()), STEP)
    return asyncio.run(hunt.down(MONTH, api.states(MONTH))), api


def covered(found: list[Quarry], hour: int, bucket: str) -> bool:
    at = BEGIN + timedelta(hours=hour)
    return any(
        part.bucket == bucket and part.window.start is not None and part.window.end is not None
        and part.window.start <= at < part.window.end
        for part in found
    )  # fmt: skip


def test_where_nothing_differs_nothing_is_asked_or_read() -> None:
    found, api = walk(world())
    assert (found, api.asked) == ([], 0)


@pytest.mark.parametrize("hour", [0, 1, 371, 372, HOURS - 1])
def test_one_more_row_is_found_with_a_question_a_halving(hour: int) -> None:
    theirs = world() | {(hour, "Paid"): (ROWS + 1, Decimal(ROWS * 10 + 7))}
    found, api = walk(theirs)
    assert covered(found, hour, "Paid")
    assert sum(part.rows for part in found) <= 160, "two pages"
    assert api.asked <= 9
    assert api.asked + len(found) <= expected_cost(MONTH, api.states(MONTH), ledger(world()), STEP) / 0.7 + 1


def test_a_row_that_changed_its_stage_is_looked_for_in_both() -> None:
    theirs = world() | {(100, "Paid"): (ROWS - 1, Decimal(ROWS * 10 - 10)), (100, "Disputed"): (1, Decimal(10))}
    found, _ = walk(theirs)
    assert covered(found, 100, "Paid") and covered(found, 100, "Disputed")


def test_an_amount_that_changed_is_found_by_the_sum_alone() -> None:
    found, _ = walk(world() | {(500, "Paid"): (ROWS, Decimal("400.0001"))})
    assert covered(found, 500, "Paid")


@pytest.mark.parametrize("seed", range(20))
def test_after_a_walk_no_total_differs_once_its_finds_are_read(seed: int) -> None:
    """However many rows changed, and wherever: else a night would end unproven."""
    chance = random.Random(seed)
    theirs = world()
    for _ in range(chance.choice((1, 2, 5, 40))):
        key = (chance.randrange(HOURS), chance.choice(("Paid", "Disputed", "Pending")))
        n, usd = theirs.get(key, (0, Decimal(0)))
        more = chance.choice((-1, 1, 2)) if n else 1
        theirs[key] = (n + more, usd + more * Decimal(chance.randrange(1, 99)))
    found, api = walk(theirs)
    merged = {
        key: theirs.get(key, (0, Decimal(0))) if covered(found, *key) else world().get(key, (0, Decimal(0)))
        for key in {*theirs, *world()}
    }
    assert differences(api.states(MONTH), ledger(merged).of(MONTH), STEP) == []
