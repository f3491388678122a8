"""A restored data directory goes on where the old one stood: nothing is sent twice, nothing that waited is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.backup import back_up, restore
from debitura_pipeline.backup.contents import is_backed_up
from debitura_pipeline.errors import SourceError, WarehouseBusy
from debitura_pipeline.submission import plan_claims
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.position import inbox_state
from debitura_pipeline.webhooks.refresh import refresh
from debitura_pipeline.webhooks.segments import Received
from tests.submission.partner import Claims, claim
from tests.support.day import engine_of_the_day
from tests.support.postgres import PostgresServer
from tests.support.sandbox import RunningSandbox, start_sandbox

STATE = (
    "privacy.key", "identity.json", "reached.json", "nights.jsonl", "sources.json", "write-facts.json",
    "landing/cases/sync=1/1.parquet", "landing/cases/sync=1/journal.jsonl",
    "inbox/0000000001.segment", "inbox/position.json", "inbox/stale.json",
    "incidents/state.json", "incidents/api-fault.json", "incidents/outbound-faults.json", "incidents/subscriptions.json",
    "sandbox/state.json",
)  # fmt: skip
NO_STATE = (
    "published/current", "reports/partner-report.html", "metrics/debitura.prom", "budget-api.json", "run.lock", "dev.lock",
    "inbox/receiver.lock", "incidents/state.lock", "tmp/duckdb-1/x", "logs/daemon.log", "sandbox/server.json", ".env",
    ".identity.json.77", "aside/before-restore-1/privacy.key",
)  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=3, cases=30, transactions=5, seed=5, no_rate_limit=True)
    yield running
    running.stop()


def test_every_kind_of_state_is_in_a_backup() -> None:
    assert [name for name in STATE if not is_backed_up(Path(name))] == []
    assert [name for name in NO_STATE if is_backed_up(Path(name))] == []


def receive(partner: Claims, *case_ids: str) -> None:
    """Events that the receiver has stored, and no run has read."""
    at = datetime.now(UTC)
    inbox = Inbox(partner.settings.data_dir, at)
    inbox.append([Received(f"e-{case}", "case.updated", at, at, case_id=case) for case in case_ids], at)
    inbox.close()


@engine_of_the_day("postgresql")
def test_restored_directory_sends_nothing_again_and_handles_what_waited(
    sandbox: RunningSandbox, postgres_server: PostgresServer, warehouse_env: dict[str, str], tmp_path: Path
) -> None:
    sandbox.admin("ledger", method="DELETE")
    shared = {"DEBITURA_CLAIMS": str(tmp_path / "claims.csv")}
    here = Claims(tmp_path / "here", sandbox, **warehouse_env, **shared)
    here.source = tmp_path / "claims.csv"
    here.sync()
    tenant = next(row["externalTenantId"] for row in sandbox.get("/clients", {"OnboardingDone": "true"})["clients"])
    wanted = [claim(str(tenant), 100 * bool(warehouse_env) + number) for number in range(4)]
    here.wants(*wanted)
    back_up(here.settings, tmp_path / "before.tar.gz")
    assert here.apply().document.summary == {"submitted": 4}
    first, second = sorted(row["id"] for row in sandbox.truth("cases"))[:2]
    receive(here, first)
    refresh(here.settings, here.endpoint, "run-1")
    receive(here, second)
    back_up(here.settings, tmp_path / "after.tar.gz")

    with postgres_server.database() as one, postgres_server.database() as other:
        places = [{"DEBITURA_WAREHOUSE": place.url} if warehouse_env else {} for place in (one, other)]
        there = Claims(tmp_path / "there", sandbox, **places[0], **shared)
        restore(there.settings, tmp_path / "after.tar.gz")
        assert there.records() == here.records()
        applied = there.apply()
        assert (applied.sent, applied.document.summary) == (0, {"submitted": 4})
        assert inbox_state(there.settings.data_dir).waiting == 1
        refresh(there.settings, there.endpoint, "run-2")
        assert inbox_state(there.settings.data_dir).waiting == 0
        outcomes = "SELECT event_id, run_id, outcome FROM ops.webhook_events ORDER BY run_id"
        assert there.rows(outcomes) == [(f"e-{first}", "run-1", "refreshed"), (f"e-{second}", "run-2", "refreshed")]
        here.wants(wanted[0])
        with pytest.raises(SourceError, match="has 1 row, but had 4 when it was last read"):
            plan_claims(there.settings, there.endpoint, runtime=there.runtime, allow_shrink=False)

        here.wants(*wanted)
        older = Claims(tmp_path / "older", sandbox, **places[1], **shared)
        restore(older.settings, tmp_path / "before.tar.gz")
        applied = older.apply()
        assert (applied.sent, applied.document.summary) == (0, {"already_there": 4}), "what the backup does not know of"
    assert len(here.posts()) == 4


def test_the_receiver_must_be_stopped_first(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """It would go on writing to the inbox that was moved aside, and answer 200 for events that nobody will read."""
    here = Claims(tmp_path, sandbox)
    here.sync("clients")
    receive(here, "c")
    back_up(here.settings, tmp_path / "b.tar.gz")
    inbox = Inbox(here.settings.data_dir, datetime.now(UTC))
    try:
        with pytest.raises(WarehouseBusy, match="The receiver of webhooks has the inbox"):
            restore(here.settings, tmp_path / "b.tar.gz", replace=True)
    finally:
        inbox.close()
    restore(here.settings, tmp_path / "b.tar.gz", replace=True)
    assert inbox_state(here.settings.data_dir).unread == 1


def test_file_that_vanishes_meanwhile_does_not_stop_a_backup(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver removes old segments, and sensors their notes, without the run lock."""
    create = import_module("debitura_pipeline.backup.create")
    here = Claims(tmp_path, sandbox)
    here.sync("clients")
    receive(here, "c")
    listed = create.data_files

    def vanishing(settings: Any) -> Iterator[tuple[str, Path]]:
        for name, path in listed(settings):
            if path.suffix == ".segment":
                path.unlink()
            yield name, path

    monkeypatch.setattr(create, "data_files", vanishing)
    made = back_up(here.settings, tmp_path / "b.tar.gz")
    assert not [name for name in made.members if name.endswith(".segment")]
    assert "data/inbox/position.json" in made.members or "data/identity.json" in made.members
