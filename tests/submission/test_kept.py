"""`ops.submissions` outlives a replay, a backup and its restore, and warehouses of earlier versions are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debitura_pipeline.warehouse.opening import open_warehouse
from tests.submission.histories import signed_tenant
from tests.submission.partner import Claims, claim, fault
from tests.support.command import debitura
from tests.support.day import engine_of_the_day
from tests.support.sandbox import RunningSandbox, start_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=3, cases=3, transactions=1, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@engine_of_the_day("duckdb")
def test_records_outlive_replay_backup_and_restore(
    sandbox: RunningSandbox, tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    partner = Claims(tmp_path / "one", sandbox, **warehouse_env)
    number = 100 if warehouse_env else 1
    tenant = signed_tenant(sandbox)
    partner.wants(claim(tenant, number), claim(tenant, number + 1))
    partner.sync()
    sandbox.faults(fault("status", nth=2))
    partner.apply()
    before = partner.records()
    assert sorted(partner.states().values()) == ["sent", "submitted"]
    assert debitura("replay", env=partner.env).status == 0
    assert partner.records() == before
    file = tmp_path / "kept.backup"
    assert debitura("backup", str(file), env=partner.env).status == 0
    with open_warehouse(partner.settings) as warehouse:
        warehouse.execute("DELETE FROM ops.submissions")
    restored = debitura("restore", str(file), "--replace", env=partner.env)
    assert restored.status == 0, restored.err
    assert partner.records() == before
    assert partner.apply().document.summary == {"sent": 1, "submitted": 1}
    assert all(len(set(keys)) == 1 for keys in partner.keys().values())


def test_warehouse_of_an_earlier_version_is_read_and_completed(sandbox: RunningSandbox, tmp_path: Path) -> None:
    partner = Claims(tmp_path, sandbox)
    partner.wants(claim(signed_tenant(sandbox), 200))
    partner.apply()
    with open_warehouse(partner.settings) as warehouse:
        for column in ("body_hash", "unanswered"):
            warehouse.execute(f"ALTER TABLE ops.submissions DROP COLUMN {column}")
    assert [one.state for one in partner.plan().claims] == ["submitted"]
    assert partner.apply().sent == 0
    with open_warehouse(partner.settings) as warehouse:
        warehouse.execute("DROP TABLE ops.submissions")
    assert [one.state for one in partner.plan().claims] == ["already_there"], "a lost record sends nothing again"
    assert partner.apply().sent == 0
