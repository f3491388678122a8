"""Whole worlds after many nights: what a case has recovered is what was paid on it, to the last digit, and nothing else.

The damage if this breaks: reports ask about money that is missing from the simulation alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debitura_sandbox.world import codes
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import World, WorldOptions

SMALL = WorldOptions(clients=12, cases=400, transactions=1_200)
LARGE = WorldOptions(clients=30, cases=20_000, transactions=60_000, open_share=0.1, unsettled_share=0.04, seed=5)


def unexplained(world: World) -> int:
    """Cases with transactions whose recovered amount is not the sum of their payments, and cases that earn, have none, and
    show something recovered, but for those that the world leaves without a transaction on purpose."""
    cases, table = world.cases, world.transactions
    paid = np.zeros(len(cases), dtype=np.int64)
    np.add.at(paid, table["case"][table["alive"]], table["booked"][table["alive"]])
    recovered = cases["gross"] - cases["remainder"]
    earns = cases["earns"] & (cases["partner"] >= 0) & (cases["lifecycle"] != codes.MERGED)
    untold = (paid == 0) & (cases["close_code"] == codes.PAID_IN_FULL)
    return int((earns & ~untold & (paid != recovered)).sum())


def contradictions(world: World) -> int:
    """Cases whose close code and amounts contradict each other."""
    cases = world.cases
    recovered, code = cases["gross"] - cases["remainder"], cases["close_code"]
    is_closed = code != codes.NO_CODE
    is_full, is_part = code == codes.PAID_IN_FULL, code == codes.PAID_IN_PART
    wrong = is_full & (cases["remainder"] != 0) | is_part & ((recovered <= 0) | (cases["remainder"] <= 0))
    return int(
        (wrong | is_closed & ~is_full & ~is_part & (recovered != 0) | (cases["remainder"] < 0) | (recovered < 0)).sum()
    )


def check(world: World) -> None:
    table = world.transactions
    own = table["currency"] == world.cases["currency"][table["case"]]
    assert (unexplained(world), contradictions(world)) == (0, 0)
    assert (table["amount"][own] == table["booked"][own]).all()


@pytest.mark.parametrize("seed", [1, 7, 23, 101])
def test_payments_and_remainders_add_up_to_the_claims_over_a_quarter(seed: int) -> None:
    journal = Journal(replace(SMALL, seed=seed))
    check(journal.world)
    for _ in range(3):
        journal.do({"op": "advance", "days": 30}, 0)
        check(journal.world)


def test_a_night_of_a_large_partner_keeps_the_sums() -> None:
    journal = Journal(LARGE)
    for _ in range(5):
        journal.do({"op": "night", "scale": 1}, 0)
        check(journal.world)


def test_few_payments_are_made_in_another_currency_at_about_the_same_worth() -> None:
    world = Journal(LARGE).world
    table, cases = world.transactions, world.cases
    foreign = np.flatnonzero(table["currency"] != cases["currency"][table["case"]])
    assert 0.004 < len(foreign) / len(table) < 0.010
    days = world.days_of(table["date"][foreign]) + 1
    paid = world.fx.usd(table["amount"][foreign], table["currency"][foreign], days)
    booked = world.fx.usd(table["booked"][foreign], cases["currency"][table["case"][foreign]], days)
    assert (np.abs(paid - booked) <= np.maximum(booked // 100, 200)).all()
    assert (table["amount"][foreign] > 0).all()
