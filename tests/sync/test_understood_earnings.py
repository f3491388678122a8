"""What clients' earnings mean, as remembered from earlier comparisons."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from debitura_pipeline.incremental.client_earnings import StatedEarnings
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.sync.land import export_baseline
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.prepared import lay_warehouse

NIGHT = datetime(2026, 5, 4, 2, tzinfo=UTC)
CLIENTS = [f"6d5c1f9e-0000-4000-8000-{number:012}" for number in range(20)]


@pytest.fixture
def settings(tmp_path: Path, warehouse_env: dict[str, str]) -> Settings:
    found = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), **warehouse_env})
    lay_warehouse(found)
    found.data_dir.mkdir(exist_ok=True)
    return found


def compared(settings: Settings, night: int, differing: int, *, is_proven: bool) -> None:
    """A sync of transactions, and the comparison after it."""
    at = NIGHT + timedelta(days=night)
    with open_warehouse(settings) as warehouse:
        warehouse.execute(
            "INSERT INTO ops.syncs (sync_id, resource, mode, status, as_of, is_proven) VALUES ($1, 'transactions', 'nightly', "
            "'done', $2, $3)",
            (f"sync-{night}", at, is_proven),
        )
        for number, creditor in enumerate(CLIENTS):
            verdict = "differs" if number < differing else "equal"
            warehouse.execute(
                "INSERT INTO ops.control_totals "
                "(sync_id, checked_at, resource, check_name, scope, bucket, unit, api_value, verdict) "
                "VALUES ($1, $2, 'clients', 'earnings_usd', $3, 'all', 'usd', $4, $5)",
                (f"sync-{night}", at + timedelta(minutes=5), creditor, Decimal(night + number + 1), verdict),
            )


def remembered(settings: Settings) -> StatedEarnings:
    with open_warehouse(settings) as warehouse:
        return export_baseline(warehouse, "transactions", "PayWhenPaid", settings.data_dir).earnings


def test_what_the_figures_mean_outlasts_a_night_that_was_not_proven(settings: Settings) -> None:
    """Rows that moved were taken for figures of another meaning, in every night from then on."""
    compared(settings, 0, 20, is_proven=True)
    assert not remembered(settings).is_understood
    compared(settings, 1, 1, is_proven=True)
    found = remembered(settings)
    assert (found.is_understood, dict(found.known)) == (True, {CLIENTS[0]: Decimal(2)})
    compared(settings, 2, 18, is_proven=False)
    found = remembered(settings)
    assert (found.is_understood, dict(found.known)) == (True, {}), (
        "a difference after it may be any row that is missing"
    )
