"""What estimates came to after each merge, and what a version's fee was when it began; on both engines."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from debitura_pipeline.warehouse.engine import SqlWarehouse
from tests.warehouse.landings import Landings, night, transaction
from tests.warehouse.states import state

TOTALS = """SELECT earnings_currency, commission_status, transaction_count, referral_fee, referral_fee_usd, valid_from, valid_to
    FROM ops.estimate_totals ORDER BY 1, 2, valid_from"""


def estimate(key: str, usd: str | None, currency: str | None = "EUR", **values: Any) -> dict[str, Any]:
    row = {
        "earnings_currency": currency,
        "referral_fee": Decimal(10),
        "is_estimate": True,
        "commission_status": "Unpaid",
    }
    return transaction(key, **{**row, "referral_fee_usd": None if usd is None else Decimal(usd), **values})


def test_totals_stand_until_they_change(warehouse: SqlWarehouse, landings: Landings) -> None:
    """A group that stands is not written again, one that is empty ends, and one of unknown currency is one like the others."""
    final = transaction("final", is_estimate=False)
    nights = [
        [estimate("a", "11"), estimate("b", "12"), estimate("c", "9", "USD"), estimate("d", None, None), final],
        [estimate("a", "11.5"), estimate("b", "12.25"), estimate("c", "9", "USD"), estimate("d", None, None), final],
        [estimate("a", "11.5"), estimate("c", "9", "USD", is_estimate=None), estimate("d", None, None), final],
        [estimate("a", "11.5"), estimate("c", "9", "USD", is_estimate=False), estimate("d", None, None), final],
    ]
    for number, rows in enumerate(nights):
        warehouse.merge(landings.land("transactions", rows, at=night(number)))
    ten, twenty = Decimal(10), Decimal(20)
    assert warehouse.rows(TOTALS) == [
        ("(null)", "Unpaid", 1, ten, Decimal(0), night(0), None),
        ("EUR", "Unpaid", 2, twenty, Decimal(23), night(0), night(1)),
        ("EUR", "Unpaid", 2, twenty, Decimal("23.75"), night(1), night(2)),
        ("EUR", "Unpaid", 1, ten, Decimal("11.5"), night(2), None),
        ("USD", "Unpaid", 1, ten, Decimal(9), night(0), night(3)),
    ]


def test_the_later_of_two_syncs_of_one_clock_counts(warehouse: SqlWarehouse, landings: Landings) -> None:
    for at, usd in ((night(0), "11"), (night(1), "12"), (night(1), "13")):
        warehouse.merge(landings.land("transactions", [estimate("a", usd)], at=at))
    found = warehouse.rows("SELECT referral_fee_usd, valid_from, valid_to FROM ops.estimate_totals ORDER BY 2")
    assert found == [(Decimal(11), night(0), night(1)), (Decimal(13), night(1), None)]


def test_a_version_keeps_the_fee_that_it_began_with(warehouse: SqlWarehouse, landings: Landings) -> None:
    edited: dict[str, Any] = {"referral_fee": Decimal(11)}
    nights = [
        estimate("a", "11"),
        estimate("a", "12"),
        estimate("a", "13", **edited),
        estimate("a", "14", **edited),
        estimate("a", "15", is_estimate=False),
    ]
    for number, row in enumerate(nights):
        warehouse.merge(landings.land("transactions", [row], at=night(number)))
    found = warehouse.rows(
        "SELECT _opening_fee_usd, referral_fee_usd, _valid_from FROM raw.transactions_history ORDER BY _valid_from"
    )
    assert found == [
        (Decimal(11), Decimal(12), night(0)),
        (Decimal(13), Decimal(14), night(2)),
        (None, Decimal(15), night(4)),
    ]


def test_a_warehouse_of_before_is_taken_on(warehouse: SqlWarehouse, landings: Landings) -> None:
    """Without the table and the column: the last reading counts as the first, and a replay gives all of it after all."""
    nights = [
        landings.land("transactions", [estimate("a", usd)], at=night(number))
        for number, usd in enumerate(("11", "12", "13"))
    ]
    for landed in nights:
        warehouse.merge(landed)
    whole = state(warehouse)
    warehouse.execute("DROP VIEW raw.transactions_history")
    for table in ("transactions", "transactions_superseded"):
        warehouse.execute(f"ALTER TABLE raw.{table} DROP COLUMN _opening_fee_usd")
    warehouse.execute("DROP TABLE ops.estimate_totals")
    warehouse.prepare()
    warehouse.merge(landings.land("transactions", [estimate("a", "14")], at=night(3)))
    assert warehouse.rows("SELECT _opening_fee_usd FROM raw.transactions_history") == [(Decimal(13),)]
    assert warehouse.rows("SELECT referral_fee_usd, valid_from FROM ops.estimate_totals") == [(Decimal(14), night(3))]
    warehouse.replay(nights)
    assert state(warehouse)["ops.estimate_totals"] == whole["ops.estimate_totals"]
    assert warehouse.rows("SELECT _opening_fee_usd FROM raw.transactions_history") == [(Decimal(11),)]
