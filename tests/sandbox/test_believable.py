"""A plain world, night after night: money adds up, dates are in order, terms are kept but for a few, sizes stay sane.

The damage if these break: whoever tries the project meets hundreds of findings that only the simulation made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from debitura_sandbox.world import codes
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import World, WorldOptions

NIGHTS = 40  # past two invoice days and the terms of collection partners
PENDING, CONFIRMED, AWAITING, READY, INVOICED, PAID, DISPUTED, UNCLASSIFIED = range(8)


def day_of(instants):
    return np.asarray(instants).astype("datetime64[us]").astype("datetime64[D]")


class Reader:
    """What somebody knows of the stages who reads the world once a night, as the pipeline does."""

    def __init__(self) -> None:
        self.stage, self.since = np.empty(0, dtype=int), np.empty(0, dtype="datetime64[D]")

    def read(self, world: World) -> dict[str, int]:
        """Payments whose documented date has passed, by stage; the dates are counted from when the stage was first seen."""
        table, today, rows = world.transactions, day_of(world.now_us), np.arange(len(world.transactions))
        stage = world.stages(rows)
        old = len(self.stage)
        is_new = np.concatenate([self.stage != stage[:old], np.ones(len(rows) - old, dtype=bool)])
        since = np.concatenate([self.since, np.full(len(rows) - old, today)])
        self.stage, self.since = stage, np.where(is_new, today, since)
        month = self.since.astype("datetime64[M]")
        eighth, next_eighth = (m.astype("datetime64[D]") + 7 for m in (month, month + 1))
        invoiced_on = np.where(self.since <= eighth, eighth, next_eighth)
        twenty_days = np.busday_offset(np.busday_offset(self.since, 0, roll="backward"), 20)
        late = {
            "invoice": (stage == CONFIRMED) & (invoiced_on < today),
            "collection partner": (stage == AWAITING) & (self.since + 30 < today),
            "Debitura": (stage == INVOICED) & (twenty_days < today),
        }
        return {name: int((mask & table["alive"]).sum()) for name, mask in late.items()}


@pytest.fixture(scope="module")
def nights() -> Iterator[list[tuple[dict[str, int], dict[str, object]]]]:
    """Per night what is late, and the state of the world. Twenty clients are added halfway."""
    journal, reader = Journal(WorldOptions()), Reader()
    world = journal.world
    found = [(reader.read(world), state_of(world))]
    for night in range(NIGHTS):
        for number in range(20 if night == NIGHTS // 2 else 0):
            journal.do({"op": "add_client", "cases": 12, "transactions": 20, "signed": number % 4 > 0}, world.now_us)
        journal.do({"op": "advance", "days": 1}, world.now_us)
        found.append((reader.read(world), state_of(world)))
    yield found


def state_of(world: World) -> dict[str, object]:
    """Counts of what should not be, or hardly; and of what there is."""
    cases, table = world.cases, world.transactions
    own, alive = table["case"], table["alive"]
    clients = cases["client"]
    paid = np.zeros(len(cases), dtype=np.int64)
    np.add.at(paid, own[alive], table["booked"][alive])
    recovered = cases["gross"] - cases["remainder"]
    earns = cases["earns"] & (cases["partner"] >= 0) & cases["alive"] & (cases["lifecycle"] != codes.MERGED)
    is_closed = cases["close_code"] != codes.NO_CODE
    is_open = cases["alive"] & ~is_closed & (cases["lifecycle"] != codes.MERGED)
    money_codes = np.isin(cases["close_code"], (codes.PAID_IN_FULL, codes.PAID_IN_PART))
    ended = np.where(cases["finished"] == codes.NULL_US, world.now_us, cases["finished"])
    return {
        "paid more or less than recovered": int((earns & (paid > 0) & (paid != recovered)).sum()),
        "recovered without a payment": int((earns & (paid == 0) & (recovered > 0)).sum()),
        "closed as paid, with a remainder": int(((cases["close_code"] == codes.PAID_IN_FULL) & (cases["remainder"] > 0)).sum()),
        "closed as nothing paid, but recovered": int((is_closed & ~money_codes & (recovered > 0)).sum()),
        "before the case": int((alive & (table["date"] < cases["created"][own])).sum()),
        "after the case": int((alive & (table["date"] > ended[own])).sum()),
        "before the link": int((alive & (day_of(table["date"]) < day_of(world.clients["linked"][clients[own]]))).sum()),
        "of clients that left, open": int((is_open & ~world.clients["alive"][clients]).sum()),
        "never started, with a partner": int((np.isin(cases["close_code"], codes.EARLY) & (cases["partner"] >= 0)).sum()),
        "stages": np.bincount(world.stages(np.flatnonzero(alive)), minlength=8),
        "rows": (int(world.clients["alive"].sum()), int(cases["alive"].sum()), int(alive.sum())),
        "active": int((cases["lifecycle"] == codes.ACTIVE).sum()),
    }  # fmt: skip


def test_few_payments_miss_their_date_and_some_do(nights) -> None:
    """One in a hundred is late, at every step; the rest of a month's thousand is on time."""
    for late, _ in nights:
        assert sum(late.values()) <= 30
    for step in ("invoice", "collection partner", "Debitura"):
        assert max(late[step] for late, _ in nights) in range(1, 20), step


def test_money_adds_up_and_dates_are_in_order_every_night(nights) -> None:
    for _, state in nights:
        for impossible in (
            "paid more or less than recovered", "closed as paid, with a remainder", "closed as nothing paid, but recovered",
            "before the case", "after the case", "never started, with a partner",
        ):  # fmt: skip
            assert state[impossible] == 0, impossible
        assert 1 <= state["recovered without a payment"] <= 8
        assert state["before the link"] == 2


def test_added_clients_bring_nothing_that_is_older_than_their_link(nights) -> None:
    before, after = nights[NIGHTS // 2][1], nights[NIGHTS // 2 + 1][1]
    assert after["rows"][0] - before["rows"][0] >= 19
    assert after["before the link"] == before["before the link"] == nights[0][1]["before the link"]


def test_sizes_grow_evenly_and_every_stage_stays_alive(nights) -> None:
    """A world that dries up, or doubles in a season, is no picture of a partner."""
    rows = np.array([state["rows"] for _, state in nights])
    grown = np.diff(rows, axis=0)
    quiet = np.r_[0 : NIGHTS // 2, NIGHTS // 2 + 1 : NIGHTS]
    assert (grown[quiet, 1] > -2).all()
    assert (grown[quiet, 1] < 40).all()
    assert (grown[quiet, 2] < 120).all()
    assert rows[-1, 0] - rows[0, 0] - 20 in range(1, 10)
    assert 0.05 < rows[-1, 2] / rows[0, 2] - 1 < 0.2
    active = [state["active"] for _, state in nights]
    assert max(active) < 1.25 * min(active)
    stages = np.array([state["stages"] for _, state in nights])
    for stage in (PENDING, CONFIRMED, AWAITING, READY, INVOICED, PAID, DISPUTED):
        assert (stages[:, stage] > 0).all(), codes.STAGES[stage]
    assert (stages[:, UNCLASSIFIED] < 10).all()


def test_cases_of_a_client_that_left_are_closed_within_weeks(nights) -> None:
    counts = [state["of clients that left, open"] for _, state in nights]
    left = next(night for night, count in enumerate(counts) if count)
    assert 0 in counts[left : left + 15]
