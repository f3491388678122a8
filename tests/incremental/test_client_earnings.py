"""Which clients' transactions are checked because their records state other earnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import EARNINGS, STAGES
from debitura_pipeline.extract.comparison import ROW_PRECISION
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.incremental.client_earnings import (
    FEW,
    NO_FEES,
    UNDERSTOOD,
    ClientEarnings,
    StatedEarnings,
    TooManySuspects,
    added_up,
    compare_client,
)
from debitura_pipeline.incremental.expected_state import FeeSums
from debitura_pipeline.incremental.hourly_totals import CountAndSum

MANY = [f"c{number:03}" for number in range(100)]
FEES: dict[str, FeeSums] = {
    creditor: tuple(Decimal(100 * number + meaning + 1) for meaning in range(len(EARNINGS)))
    for number, creditor in enumerate(MANY)
}


class Expected:
    """The sums of each client, in a listing of a million rows."""

    def __init__(self, fees: Mapping[str, FeeSums]) -> None:
        self.fees = fees

    def fees_by_client(self) -> Mapping[str, FeeSums]:
        return self.fees

    def count(self) -> int:
        return 1_000_000


def suspects(
    stated: Mapping[str, Decimal],
    fees: Mapping[str, FeeSums] = FEES,
    before: Mapping[str, FeeSums] | None = None,
    checked: Sequence[tuple[str, Decimal | None, str]] = (),
) -> list[str]:
    known = {creditor: usd for creditor, usd, verdict in checked if verdict == "differs" and usd is not None}
    equal = sum(verdict == "equal" for _, usd, verdict in checked if usd)
    is_understood = bool(equal) and equal >= UNDERSTOOD * sum(bool(usd) for _, usd, _ in checked)
    earnings = ClientEarnings(StatedEarnings(stated, known, is_understood), before=before)
    expected: Any = Expected(fees)
    return earnings.suspects(expected)


@pytest.mark.parametrize("meaning", range(len(EARNINGS)))
def test_whatever_earnings_mean_the_clients_that_differ_are_found(meaning: int) -> None:
    stated = {creditor: sums[meaning] for creditor, sums in FEES.items()}
    assert suspects(stated) == []
    stated["c040"] += Decimal("0.01")
    stated["c007"] -= Decimal("0.01")
    assert suspects(stated) == ["c007", "c040"]


def test_figures_that_mean_something_else_send_no_requests() -> None:
    assert suspects({creditor: sums[0] * 3 for creditor, sums in FEES.items()}) == []


def test_figures_that_were_understood_and_differ_for_many_need_a_reading_of_everything() -> None:
    """Clients that are linked anew take all their transactions with them."""
    stated = {creditor: sums[0] for creditor, sums in FEES.items()}
    checked = [(creditor, usd, "equal") for creditor, usd in stated.items()]
    moved = {creditor: usd + 1 if creditor < "c020" else usd for creditor, usd in stated.items()}
    with pytest.raises(TooManySuspects, match="20 clients"):
        suspects(moved, checked=checked)
    assert suspects(moved, checked=[(creditor, usd, "differs") for creditor, usd, _ in checked]) == []


def test_a_difference_that_a_proven_reading_left_is_checked_again_only_if_the_figure_changes() -> None:
    stated = {creditor: sums[0] for creditor, sums in FEES.items()} | {"c040": Decimal(1)}
    checked = [("c040", Decimal(1), "differs")]
    assert suspects(stated) == ["c040"]
    assert suspects(stated, checked=checked) == []
    assert suspects(stated | {"c040": Decimal(2)}, checked=checked) == ["c040"]


def test_clients_without_earnings_do_not_make_others_few() -> None:
    """Of ten thousand clients a tenth may have fees, and rates may move the earnings of all of those."""
    idle = {f"idle{number}": Decimal(0) for number in range(10_000)}
    assert suspects({creditor: sums[0] * 3 for creditor, sums in FEES.items()} | idle) == []


def test_few_clients_are_checked_even_if_every_one_differs() -> None:
    """What the figures mean cannot be told from so few."""
    few = dict(list(FEES.items())[:FEW])
    assert suspects({creditor: Decimal(7) for creditor in few}, few) == sorted(few)


def test_a_record_that_was_read_before_its_transactions_changed_is_no_contradiction() -> None:
    stated = {creditor: sums[3] for creditor, sums in FEES.items()}
    now = {**FEES, "c040": tuple(fee + 5 for fee in FEES["c040"])}
    assert suspects(stated, now, FEES) == []
    assert suspects(stated, now) == ["c040"]


def test_a_client_without_expected_transactions_has_no_fees() -> None:
    stated = {**{creditor: sums[0] for creditor, sums in FEES.items()}, "new": Decimal(5), "empty": NO_FEES[0]}
    assert suspects(stated) == ["new"]


def test_totals_of_clients_that_share_a_tenant_id_are_added() -> None:
    assert added_up([{"Paid": (1, 5), "Pending": (2, 3)}, {"Paid": (4, 1)}, {}]) == {"Paid": (5, 6), "Pending": (2, 3)}


def stated_totals(rows: int, usd: int, in_stages: int | None = None) -> Totals:
    stages = {stage: Total(0, Decimal(0)) for stage in STAGES}
    return Totals(rows, {**stages, "Paid": Total(rows if in_stages is None else in_stages, Decimal(usd))})


OVERALL = stated_totals(50_000, 500_000)


@pytest.mark.parametrize(
    ("stated", "ours", "verdict"),
    [
        (stated_totals(10, 100), [{"Paid": (10, 1_000_000)}], "equal"),
        (stated_totals(10, 101), [{"Paid": (10, 1_000_000)}], "differs"),
        (stated_totals(11, 100), [{"Paid": (10, 1_000_000)}], "differs"),
        (stated_totals(10, 100), [{"Paid": (4, 400_000)}, {"Paid": (6, 600_000)}], "differs"),
        (stated_totals(10, 500_000, in_stages=50_000), [{"Paid": (10, 1_000_000)}], "differs"),
        (stated_totals(9_000, 500_000, in_stages=50_000), [{"Paid": (9_000, 1_000_000)}], "unproven"),
    ],
    ids=["equal", "sum", "count", "one tenant id of two", "summary of all rows", "summary of all rows, a large client"],
)
def test_equal_counts_prove_nothing_without_sums_of_the_client_itself(
    stated: Totals, ours: list[dict[str, CountAndSum]], verdict: str
) -> None:
    """Two clients that exchange a row each count as many as before."""
    assert compare_client(stated, OVERALL, ours, ROW_PRECISION) == verdict
