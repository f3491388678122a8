"""Worlds with the shares of a large partner, and a night whose changes are counted out: what the benchmarks stand on."""

from __future__ import annotations

import numpy as np
import pytest

from debitura_sandbox.world import codes
from debitura_sandbox.world.benchmark_day import FULL
from debitura_sandbox.world.change import UnknownChangeError
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import RESOURCES, WorldOptions

CASES, TRANSACTIONS = 20_000, 60_000
SCALE = CASES / 1_000_000


@pytest.fixture
def journal():
    return Journal(
        WorldOptions(clients=30, cases=CASES, transactions=TRANSACTIONS, years=5, open_share=0.1, unsettled_share=0.04)
    )


def state(world):
    """Copies of the columns that a night may change."""
    return {name: {c: world.table(name)[c].copy() for c in world.table(name).names} for name in RESOURCES}


def moved(before, after, resource, column):
    old = before[resource][column]
    return np.flatnonzero(old != after[resource][column][: len(old)])


def test_shares_are_met_and_unsettled_payments_are_mostly_estimates(journal):
    world = journal.world
    is_open = ~np.isin(world.cases["lifecycle"], (codes.CLOSED, codes.MERGED))
    assert is_open.mean() == pytest.approx(0.1, abs=0.001)
    unsettled = world.stages(np.arange(TRANSACTIONS)) != codes.STAGES.index("paid")
    estimates = world.transactions["commission"] != codes.PAID
    assert unsettled.mean() == pytest.approx(0.04, abs=0.001)
    assert 0.6 < (estimates & unsettled).sum() / unsettled.sum() < 0.9
    assert not (estimates & ~unsettled).any()


def test_night_changes_exactly_what_is_asked_for_and_each_row_once(journal):
    before = state(journal.world)
    facts, _ = journal.do({"op": "night", "scale": SCALE}, 0)
    after, now = state(journal.world), journal.world.now_us
    assert facts == {"day": 1, "changed": {name: max(1, round(n * SCALE)) for name, n in FULL.items()}}
    assert len(after["cases"]["created"]) == CASES + 16
    assert len(after["transactions"]["date"]) == TRANSACTIONS + 40
    assert (after["cases"]["created"][CASES:] < now).all()
    assert (
        len(moved(before, after, "transactions", "referral")) == 30 + 10 + 2 + 2
    )  # paid out, invoiced, disputed, unsent
    assert len(moved(before, after, "transactions", "commission")) == 40
    assert len(moved(before, after, "transactions", "amount")) == 1
    assert len(moved(before, after, "transactions", "alive")) == len(moved(before, after, "cases", "alive")) == 1
    closed = np.isin(after["cases"]["lifecycle"][:CASES], (codes.CLOSED, codes.MERGED))
    was_closed = np.isin(before["cases"]["lifecycle"], (codes.CLOSED, codes.MERGED))
    assert ((closed & ~was_closed).sum(), (was_closed & ~closed).sum()) == (12, 1)


def test_payments_are_paid_out_in_batches_of_one_month_two_to_four_months_back(journal):
    before = state(journal.world)
    journal.do({"op": "night", "scale": SCALE}, 0)
    after = state(journal.world)
    rows = moved(before, after, "transactions", "referral")
    paid = rows[after["transactions"]["referral"][rows] == codes.REFERRAL_PAID]
    months = set(after["transactions"]["date"][paid].astype("datetime64[us]").astype("datetime64[M]").tolist())
    assert len(months) == 1
    assert {month.isoformat()[:7] for month in months} <= {"2025-11", "2025-10", "2025-09"}


def test_a_quiet_night_moves_the_day_and_nothing_else(journal):
    before = state(journal.world)
    facts, events = journal.do({"op": "night", "scale": 0}, 0)
    after = state(journal.world)
    assert (facts, events, journal.world.day) == ({"changed": {}, "day": 1}, [], 1)
    assert all(np.array_equal(before[n][c], after[n][c]) for n in RESOURCES for c in before[n])


def test_the_same_nights_give_the_same_world_from_its_journal(journal, tmp_path):
    kept = Journal.open(tmp_path / "state.json", journal.world.options)
    for scale in (SCALE, 0, SCALE):
        journal.do({"op": "night", "scale": scale}, 0)
        kept.do({"op": "night", "scale": scale}, 0)
    again = Journal.open(tmp_path / "state.json", WorldOptions())
    one, other = state(journal.world), state(again.world)
    assert all(np.array_equal(one[n][c], other[n][c]) for n in RESOURCES for c in one[n])


@pytest.mark.parametrize("scale", [-1, 6])
def test_a_scale_out_of_bounds_is_refused(journal, scale):
    with pytest.raises(UnknownChangeError, match="scale"):
        journal.do({"op": "night", "scale": scale}, 0)


@pytest.mark.parametrize("wrong", [{"open_share": 0.0}, {"unsettled_share": 1.0}])
def test_shares_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match="share"):
        WorldOptions(**wrong)
