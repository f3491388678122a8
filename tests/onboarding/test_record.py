"""A client's row in `ops.onboarding`: made once, then changed where a step has news; on both engines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.record import RowUpdate, record
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import open_warehouse

FIRST = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


def test_row_is_made_once_and_keeps_what_is_not_said_again(tmp_path: Path, warehouse_env: dict[str, str]) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), **warehouse_env})
    waiting = {"state": "waiting_for_signature", "onboarding_done": False, "outstanding": None}
    record(settings, [RowUpdate(ClientRef("tenant", "creditor"), FIRST, waiting)])
    later = FIRST + timedelta(days=1)
    loaded = {"state": "loaded", "cases_loaded": 12, "history_loaded_at": later}
    record(
        settings,
        [
            RowUpdate(ClientRef("tenant", "creditor"), later, loaded),
            RowUpdate(ClientRef("tenant", "other"), later, {"state": "signed"}),
        ],
    )
    with open_warehouse(settings, read_only=True) as warehouse:
        found = warehouse.rows(
            "SELECT external_tenant_id, creditor_id, state, onboarding_done, outstanding, cases_loaded, history_loaded_at, "
            "first_seen_at, updated_at FROM ops.onboarding ORDER BY creditor_id"
        )
    assert found == [
        ("tenant", "creditor", "loaded", False, None, 12, later, FIRST, later),
        ("tenant", "other", "signed", None, None, None, None, later, later),
    ]


def test_unknown_column_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        record(
            load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")}),
            [RowUpdate(ClientRef("t", "c"), FIRST, {"nonsense": 1})],
        )
    assert not (tmp_path / "data").exists()
