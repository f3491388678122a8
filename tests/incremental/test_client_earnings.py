"""Which clients' transactions are checked because their records state other earnings."""

from __future__ import annotations

from decimal import Decimal

import pytest

from debitura_pipeline.incremental.client_earnings import FEW, NO_FEES, disagreeing
from debitura_pipeline.incremental.expected_state import FEE_SUMS, FeeSums

MANY = [f"c{number:03}" for number in range(100)]
FEES: dict[str, FeeSums] = {
    creditor: tuple(Decimal(100 * number + meaning + 1) for meaning in range(len(FEE_SUMS)))
    for number, creditor in enumerate(MANY)
}


@pytest.mark.parametrize("meaning", range(len(FEE_SUMS)))
def test_whatever_earnings_mean_the_clients_that_differ_are_found(meaning: int) -> None:
    stated = {creditor: sums[meaning] for creditor, sums in FEES.items()}
    assert disagreeing(stated, FEES) == []
    stated["c040"] += Decimal("0.01")
    stated["c007"] -= Decimal("0.01")
    assert disagreeing(stated, FEES) == ["c007", "c040"]


def test_figures_that_mean_something_else_send_no_requests() -> None:
    stated = {creditor: sums[0] * 3 for creditor, sums in FEES.items()}
    assert disagreeing(stated, FEES) == []


def test_few_clients_are_checked_even_if_every_one_differs() -> None:
    """What the figures mean cannot be told from so few."""
    few = dict(list(FEES.items())[:FEW])
    assert disagreeing({creditor: Decimal(7) for creditor in few}, few) == sorted(few)


def test_a_client_without_expected_transactions_has_no_fees() -> None:
    stated = {**{creditor: sums[0] for creditor, sums in FEES.items()}, "new": Decimal(5), "empty": NO_FEES[0]}
    assert disagreeing(stated, FEES) == ["new"]


def test_a_client_whose_record_states_no_earnings_is_not_checked() -> None:
    assert disagreeing({}, FEES) == []
