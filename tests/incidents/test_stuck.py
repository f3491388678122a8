"""Who waits for a signature, as read from the warehouse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from debitura_pipeline.incidents.read_warehouse import read_warehouse_facts
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.onboarding.record import RowUpdate, record
from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import open_warehouse

NOW = datetime(2026, 3, 31, 2, 0, tzinfo=UTC)


def test_clients_that_never_signed_and_that_must_sign_again_are_waiting(
    tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), **warehouse_env})
    states = {"never": "waiting_for_signature", "again": "must_sign_again", "done": "loaded"}
    at = NOW - timedelta(days=20)
    record(settings, (RowUpdate(ClientRef(tenant, "c"), at, {"state": state}) for tenant, state in states.items()))
    with open_warehouse(settings, read_only=True) as warehouse:
        stuck = read_warehouse_facts(warehouse, NOW, is_simulated=False).stuck
    assert [(fact.subject, fact.since) for fact in stuck] == [("again", at), ("never", at)]
