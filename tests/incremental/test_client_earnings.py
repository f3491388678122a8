"""Which clients' transactions are checked because their records state other earnings."""

from __future__ import annotations

from decimal import Decimal

import pytest

from debitura_pipeline.contract.stages import EARNINGS
from debitura_pipeline.incremental.client_earnings import FEW, NO_FEES, added_up, disagreeing
from debitura_pipeline.incremental.expected_state import FeeSums

MANY = [f"c{number:03}" for number in range(100)]
FEES: dict[str, FeeSums] = {
    creditor: tuple(Decimal(100 * number + meaning + 1) for meaning in range(len(EARNINGS)))
    for number, creditor in enumerate(MANY)
}
NO_LIMIT = 1_000_000.0


@pytest.mark.parametrize("meaning", range(len(EARNINGS)))
def test_whatever_earnings_mean_the_clients_that_differ_are_found(meaning: int) -> None:
    stated = {creditor: sums[meaning] for creditor, sums in FEES.items()}
    assert disagreeing(stated, [FEES], NO_LIMIT) == []
    stated["c040"] += Decimal("0.01")
    stated["c007"] -= Decimal("0.01")
    assert disagreeing(stated, [FEES], NO_LIMIT) == ["c007", "c040"]


def test_figures_that_mean_something_else_send_no_requests() -> None:
    stated = {creditor: sums[0] * 3 for creditor, sums in FEES.items()}
    assert disagreeing(stated, [FEES], NO_LIMIT) == []


def test_clients_without_earnings_do_not_make_others_few() -> None:
    """Of ten thousand clients a tenth may have fees, and rates may move the earnings of all of those."""
    idle = {f"idle{number}": Decimal(0) for number in range(10_000)}
    stated = {creditor: sums[0] * 3 for creditor, sums in FEES.items()} | idle
    assert disagreeing(stated, [FEES], NO_LIMIT) == []


def test_no_more_are_checked_than_requests_are_allowed() -> None:
    stated = {creditor: sums[0] for creditor, sums in FEES.items()}
    for creditor in MANY[:8]:
        stated[creditor] += 1
    assert disagreeing(stated, [FEES], 8) == MANY[:8]
    assert disagreeing(stated, [FEES], 7) == []


def test_few_clients_are_checked_even_if_every_one_differs() -> None:
    """What the figures mean cannot be told from so few."""
    few = dict(list(FEES.items())[:FEW])
    assert disagreeing({creditor: Decimal(7) for creditor in few}, [few], 0) == sorted(few)


def test_a_record_that_was_read_before_its_transactions_changed_is_no_contradiction() -> None:
    stated = {creditor: sums[3] for creditor, sums in FEES.items()}
    now = {**FEES, "c040": tuple(fee + 5 for fee in FEES["c040"])}
    assert disagreeing(stated, [FEES, now], NO_LIMIT) == []
    assert disagreeing(stated, [now], NO_LIMIT) == ["c040"]


def test_a_client_without_expected_transactions_has_no_fees() -> None:
    stated = {**{creditor: sums[0] for creditor, sums in FEES.items()}, "new": Decimal(5), "empty": NO_FEES[0]}
    assert disagreeing(stated, [FEES], NO_LIMIT) == ["new"]


def test_totals_of_clients_that_share_a_tenant_id_are_added() -> None:
    assert added_up([{"Paid": (1, 5), "Pending": (2, 3)}, {"Paid": (4, 1)}, {}]) == {"Paid": (5, 6), "Pending": (2, 3)}
