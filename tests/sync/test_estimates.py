"""Estimates: their sums move with exchange rates, so windows are compared by count, which a swap of two rows leaves as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from debitura_pipeline.contract.stages import stage_sql
from debitura_pipeline.sync import land
from tests.support.day import of_the_day
from tests.support.mirror import assert_same_keys
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.sync.test_moving_lists import micros, row_change

TRANSACTIONS = "/reporting/transactions"
ROWS = 3_000


@pytest.mark.parametrize(
    ("fee", "client"),
    of_the_day(
        [
            pytest.param("= 0", "<>", id="without a fee, of another client"),
            pytest.param("> 0", "=", id="of the same client"),
        ]
    ),
)
def test_an_estimate_that_moves_behind_the_reading_while_another_is_deleted_is_not_lost(
    sandbox_factory: Callable[..., RunningSandbox],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fee: str,
    client: str,
) -> None:
    """One row's date moves to a stretch that was read already, and a row of that stretch is deleted: every count stays."""
    sandbox = sandbox_factory(clients=12, cases=1_200, transactions=ROWS, years=1, seed=11, unsettled_share=0.1)
    monkeypatch.setattr(land, "MAX_INCREMENTAL_SHARE", 10.0)  # so short a list is read whole otherwise
    numbers = {sandbox.admin("change", row_change("transactions", "restore", row))["id"]: row for row in range(ROWS)}
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync()
    pending = f"""(SELECT transaction_id, occurred_at, creditor_id, referral_fee_usd, row_number() OVER (ORDER BY occurred_at) AS n
        FROM raw.transactions WHERE {stage_sql(None)} = 'Pending')"""
    (found, *_) = pipeline.rows(
        f"""SELECT gone.transaction_id, gone.occurred_at, moved.transaction_id FROM {pending} AS gone, {pending} AS moved
        WHERE gone.n < 80 AND moved.n > 200 AND gone.referral_fee_usd {fee} AND moved.creditor_id {client} gone.creditor_id
        ORDER BY gone.n, moved.n DESC"""
    )
    deleted, at, moved = found
    sandbox.admin("advance", {"days": 1})
    rule = {"kind": "change", "path": TRANSACTIONS, "query": "RevenueStages=0"}
    to = micros(at + timedelta(minutes=1))
    sandbox.faults(
        {**rule, "nth": 2, "change": row_change("transactions", "delete", numbers[deleted])},
        {**rule, "nth": 1, "when": "after", "change": row_change("transactions", "move", numbers[moved], at=to)},
    )
    report = pipeline.sync("transactions", small_requests=1)[0]
    sandbox.faults()
    assert report.mode == "nightly"
    assert_same_keys(pipeline, "transactions")
    assert report.is_proven, report.message
