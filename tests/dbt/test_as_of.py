"""The USD of estimates as of an instant: each group comes to what was recorded then, to the last digit."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.worlds import World, night

KEYS = ("creditor_id", "earnings_currency", "commission_status", "platform_invoicing_status", "referral_invoicing_status")
GROUPS: list[tuple[str | None, ...]] = [("a", "EUR", "Unpaid", "NotInvoiced", None), ("a", "USD", "Unpaid", "NotInvoiced", None), ("b", None, None, "New", "")]
CENT = Decimal("0.0001")


@pytest.fixture
def world(empty: World, tmp_path: Path) -> World:
    """The macros stand without a row; raw and ops are filled here."""
    copy = World(tmp_path / "warehouse.duckdb")
    copy.path.write_bytes(empty.path.read_bytes())
    return copy


def recorded(world: World, group: tuple[str | None, ...], usd: Decimal, start: int, end: int | None = None) -> None:
    row: dict[str, Any] = {name: "(null)" if value is None else value for name, value in zip(KEYS, group, strict=True)}
    zeros = {"debitura_revenue_usd": 0, "referral_fee_recognized_usd": 0, "referral_fee": 0, "transaction_count": 1}
    validity = {"valid_from": night(start), "valid_to": None if end is None else night(end)}
    world.insert("ops.estimate_totals", {**row, **zeros, "referral_fee_usd": usd, **validity})


def as_of(world: World, days: int) -> dict[str, Any]:
    return dict(world.rows(f"SELECT transaction_id, referral_fee_usd FROM marts.transactions_as_of('{night(days)}')"))


def estimate(world: World, key: str, usd: str | None, group: tuple[str | None, ...] = GROUPS[0], **values: Any) -> None:
    row = {**dict(zip(KEYS, group, strict=True)), "debitura_revenue_usd": 0, "referral_fee_usd": usd, "is_estimate": True}
    world.add("transactions", key, (0, {**row, **values}))


def test_the_difference_goes_to_estimates_in_proportion(world: World) -> None:
    """10 + 20 + 0 were 33 then: 11, 22 and 0; without a difference, and before the first record, rows are as they were last read."""
    for key, usd in (("t1", "10"), ("t2", "20"), ("t3", "0"), ("t4", None)):
        estimate(world, key, usd)
    estimate(world, "final", "7", is_estimate=False)
    estimate(world, "unsaid", "5", is_estimate=None)
    last_read = {"t1": Decimal(10), "t2": Decimal(20), "t3": Decimal(0), "t4": None, "final": Decimal(7), "unsaid": Decimal(5)}
    recorded(world, GROUPS[0], Decimal(38), 2, 3)
    recorded(world, GROUPS[0], Decimal(35), 3)
    assert as_of(world, 1) == as_of(world, 3) == last_read
    assert as_of(world, 2) == {**last_read, "t1": Decimal(11), "t2": Decimal(22)}


def test_estimates_that_were_worth_something_then_and_nothing_now_share_alike(world: World) -> None:
    for key in ("t1", "t2", "t3"):
        estimate(world, key, "0")
    recorded(world, GROUPS[0], Decimal("0.0001"), 0)
    assert sorted(as_of(world, 0).values()) == [Decimal(0), Decimal(0), CENT]


@pytest.mark.parametrize("seed", range(2))
def test_sums_are_exact_whatever_the_amounts(world: World, seed: int) -> None:
    """Signs that cancel, amounts that no double holds, groups with keys that are null or empty."""
    random_ = random.Random(seed)
    wanted: dict[tuple[str | None, ...], Decimal] = defaultdict(Decimal)
    for number in range(24):
        group = random_.choice(GROUPS)
        usd = Decimal(random_.choice([0, 1, -1, random_.randint(-(10**6), 10**6), random_.randint(-(10**16), 10**16)])) * CENT
        estimate(world, f"t{number:02}", str(usd), group)
        wanted[group] += usd
    for group in GROUPS:
        wanted[group] += Decimal(random_.choice([0, 1, -7, random_.randint(-(10**7), 10**7), 10**15 + 1])) * CENT
        recorded(world, group, wanted[group], 0)
    listed = ", ".join(KEYS)
    found = world.rows(
        f"SELECT {listed}, sum(referral_fee_usd) FROM marts.transactions_as_of('{night(0)}') GROUP BY {listed}"
    )
    assert {row[:-1]: row[-1] for row in found} == wanted
