"""From the inbox to `raw` and `ops.webhook_events`, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import ApiError
from debitura_pipeline.sync import check_certificates
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.retention import KEPT
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.position import FILE, inbox_state, read_position
from debitura_pipeline.webhooks.refresh import refresh
from debitura_pipeline.webhooks.segments import Received, Repeated, pack, segments
from tests.support.day import engine_of_the_day
from tests.support.leaks import find
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.truth import expected


class Hooked(Pipeline):
    """A pipeline with an inbox that is written without a receiver."""

    def arrive(self, *entries: Received | Repeated) -> None:
        inbox = Inbox(self.settings.data_dir, datetime.now(UTC))
        inbox.append(entries, datetime.now(UTC))
        inbox.close()

    def refresh(self, **runtime: Any) -> tuple[int, int, int]:
        found = refresh(self.settings, self.endpoint, "run-1", replace(Runtime(), **runtime))
        return found.received, found.handled, found.pending

    def events(self, columns: str = "event_id, outcome, run_id, deliveries") -> list[tuple[Any, ...]]:
        return self.rows(f"SELECT {columns} FROM ops.webhook_events ORDER BY event_id")


def event(name: str, kind: str, tenant: str | None = None, case: str | None = None) -> Received:
    now = datetime.now(UTC)
    return Received(name, kind, now, now, tenant=tenant, case_id=case)


@pytest.fixture
def hooked(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]) -> Hooked:
    found = Hooked(tmp_path / "data", sandbox_factory(clients=3, cases=40, transactions=60), **warehouse_env)
    found.sync()
    return found


@engine_of_the_day("duckdb")
def test_events_become_fresh_rows_and_rows_of_their_own(hooked: Hooked) -> None:
    assert hooked.refresh() == (0, 0, 0), "without an inbox nothing is done"
    hooked.sandbox.admin("advance", {"days": 10})
    before, key = hooked.records("cases"), hooked.settings.obtain_privacy_key()
    truth = expected("cases", hooked.sandbox.truth("cases"), key)
    first, *_ = (name for name in before if truth[name] != before[name])
    tenant = str(before[first]["external_tenant_id"])
    hooked.arrive(
        event("e1", "case.updated", tenant, first), event("e2", "case.closed", tenant, first), Repeated("e1", 2),
        event("e3", "client.linked", tenant), event("e4", "client.linked", "nobody"), event("e5", "cases.replay_failed"),
        event("e1", "case.updated", tenant, first),
    )  # fmt: skip
    assert inbox_state(hooked.settings.data_dir).waiting == 6
    assert hooked.refresh() == (5, 5, 0)
    assert inbox_state(hooked.settings.data_dir).waiting == 0
    assert hooked.records("cases")[first] == truth[first]
    assert hooked.events() == [
        ("e1", "refreshed", "run-1", 4), ("e2", "refreshed", "run-1", 1), ("e3", "refreshed", "run-1", 1),
        ("e4", "client_not_loaded", "run-1", 1), ("e5", "nothing_to_read", "run-1", 1),
    ]  # fmt: skip
    assert not any(finding.faults for finding in check_certificates(hooked.settings).findings)
    syncs = hooked.rows("SELECT count(*) FROM ops.syncs")
    assert hooked.refresh() == (0, 0, 0)
    assert hooked.rows("SELECT count(*) FROM ops.syncs") == syncs

    # The position is lost: everything is read again, and nothing is handled twice.
    (hooked.settings.data_dir / "inbox" / FILE).unlink()
    hooked.arrive(event("e6", "something.new", tenant))
    assert hooked.refresh() == (1, 1, 0)
    assert [row[1] for row in hooked.events()] == [
        "refreshed", "refreshed", "refreshed", "client_not_loaded", "nothing_to_read", "refreshed",
    ]  # fmt: skip

    # A segment was cut, and an event of the same length appended to it.
    (_, path) = segments(hooked.settings.data_dir / "inbox")[-1]
    path.write_bytes(pack(event("x6", "something.new", tenant)))
    assert path.stat().st_size == read_position(hooked.settings.data_dir).offset
    assert hooked.refresh() == (1, 1, 0)

    # What was handled long ago is deleted by the next run; what waits stays.
    with exclusive_run(hooked.settings), open_warehouse(hooked.settings) as warehouse:
        for name, days in (("e1", KEPT.days + 1), ("e2", KEPT.days - 1)):
            at = datetime.now(UTC) - timedelta(days=days)
            sql = "UPDATE ops.webhook_events SET handled_at = CAST($1 AS TIMESTAMPTZ) WHERE event_id = $2"
            warehouse.execute(sql, (at, name))
    hooked.arrive(event("e6b", "something.new", tenant))
    assert hooked.refresh() == (1, 1, 0)
    assert [row[0] for row in hooked.events()] == ["e2", "e3", "e4", "e5", "e6", "e6b", "x6"]

    # The API is down: the events wait, in the table and in the small file that sensors read.
    hooked.arrive(event("e7", "case.updated", tenant, first))
    hooked.sandbox.faults({"kind": "status", "status": 503, "path": "/cases", "times": 0})
    with pytest.raises(ApiError):
        hooked.refresh(tries=1)
    assert read_position(hooked.settings.data_dir).pending == 1
    assert (None,) in hooked.events("outcome")
    hooked.sandbox.faults()
    assert hooked.refresh() == (0, 1, 0)
    assert not find(hooked.settings.data_dir / "inbox", hooked.sandbox.personal())
