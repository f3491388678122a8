"""Webhook events under Dagster: the sensors over several ticks, the job, the night, and subscriptions that are off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.incidents.webhook_facts import read_webhook_facts
from debitura_pipeline.orchestration import webhook_sensors
from debitura_pipeline.orchestration.coverage import read_known
from debitura_pipeline.orchestration.jobs import NIGHTLY, REFRESH
from debitura_pipeline.orchestration.keys import CLIENTS, RAW, WEBHOOK_EVENTS
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.wanted import ready_digest
from debitura_pipeline.orchestration.webhooks import HANDLED, SUBSCRIPTIONS, switch_on
from debitura_pipeline.settings import Settings
from debitura_pipeline.supervision.programs import free_port
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.segments import Received
from debitura_pipeline.webhooks.subscriptions import EVENTS
from debitura_pipeline.webhooks.watch import SubscriptionOff
from tests.orchestration.conftest import Pointed
from tests.orchestration.ticks import add
from tests.support.sandbox import RunningSandbox
from tests.webhooks.deliveries import PATH, SECRET, RunningReceiver

REFRESHED_CASES = "SELECT case_id FROM ops.webhook_events WHERE outcome = 'refreshed' AND case_id IS NOT NULL"


class Hooks:
    """A daemon by hand for the sensors of webhooks."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance, self.settings = instance, settings
        self.cursors: dict[str, str | None] = {}

    def arrive(self, *events: tuple[str, str, str | None, str | None], ago: timedelta = timedelta()) -> None:
        at = datetime.now(UTC) - ago
        inbox = Inbox(self.settings.data_dir, datetime.now(UTC))
        inbox.append(
            [Received(name, kind, at, at, tenant=tenant, case_id=case) for name, kind, tenant, case in events], at
        )
        inbox.close()

    def tick(self, sensor: str) -> tuple[list[dict[str, Any]], str, dict[str, bool]]:
        """Configurations of the runs asked for, the reason where there is none, and the checks that were reported."""
        with dg.build_sensor_context(
            instance=self.instance, resources={"debitura": Debitura()}, cursor=self.cursors.get(sensor)
        ) as context:
            outcome = getattr(webhook_sensors, sensor)(context)
            self.cursors[sensor] = context.cursor
        if isinstance(outcome, dg.SkipReason):
            return [], str(outcome.skip_message), {}
        reason = outcome.skip_reason.skip_message if outcome.skip_reason else ""
        told = {one.check_name: one.passed for one in outcome.asset_events}
        self.requests = list(outcome.run_requests or [])
        return [request.run_config for request in self.requests], str(reason), told

    def run(
        self, config: dict[str, Any] | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        job = defs.resolve_job_def(REFRESH)
        return job.execute_in_process(instance=self.instance, run_config=config, tags=tags, raise_on_error=False)

    def night(self) -> dg.ExecuteInProcessResult:
        """What of a night comes first."""
        job = defs.resolve_job_def(NIGHTLY)
        keys = [WEBHOOK_EVENTS, RAW["clients"]]
        return job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with open_warehouse(self.settings, read_only=True) as warehouse:
            return warehouse.rows(sql)


@pytest.fixture
def hooks(
    sandbox_factory: Callable[..., RunningSandbox],
    point_at: Pointed,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[RunningSandbox, Hooks]:
    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    monkeypatch.setenv("DEBITURA_WEBHOOK_SECRETS", SECRET)
    monkeypatch.setenv("DEBITURA_WRITES", "webhooks")
    return sandbox, Hooks(instance, point_at(sandbox))


def test_an_event_of_the_api_becomes_a_fresh_row(hooks: tuple[RunningSandbox, Hooks]) -> None:
    """From the API's delivery over HTTP to `raw`, with nothing put in by hand."""
    sandbox, daemon = hooks
    job = defs.resolve_job_def(NIGHTLY)
    assert job.execute_in_process(instance=daemon.instance, asset_selection=list(RAW.values())).success
    before = dict(daemon.rows("SELECT case_id, lifecycle FROM raw.cases"))
    port = free_port()
    made = json.loads(
        sandbox.send("POST", "/v1/Webhooks", {"url": f"http://127.0.0.1:{port}{PATH}", "events": list(EVENTS)})[1]
    )
    receiver = RunningReceiver(daemon.settings.data_dir, {"DEBITURA_WEBHOOK_SECRETS": made["secret"]}, port=port)
    try:
        deadline = time.monotonic() + 30
        while not daemon.tick("webhook_inbox")[0] and time.monotonic() < deadline:
            sandbox.admin("advance", {"days": 2})
            time.sleep(0.5)
        moved = {row["id"]: row["lifecycle"] for row in sandbox.truth("cases")}
        assert any(before.get(key) != lifecycle for key, lifecycle in moved.items())
        assert daemon.run().success
    finally:
        receiver.stop()
    told = {case for (case,) in daemon.rows(REFRESHED_CASES)}
    after = dict(daemon.rows("SELECT case_id, lifecycle FROM raw.cases"))
    assert told
    assert all(after[case] == moved[case] for case in told)


def test_events_of_clients_tell_the_sensors_of_new_ones_and_of_new_agreements(
    hooks: tuple[RunningSandbox, Hooks],
) -> None:
    sandbox, daemon = hooks
    job = defs.resolve_job_def(NIGHTLY)
    assert job.execute_in_process(instance=daemon.instance, asset_selection=list(RAW.values())).success
    ((loaded,),) = daemon.rows("SELECT external_tenant_id FROM ops.onboarding WHERE state = 'loaded'")
    new = add(sandbox, "acme")
    ready = ready_digest(daemon.instance)
    sandbox.admin("change", {"op": "upgrade", "tenant": loaded})
    daemon.arrive(("e1", "client.linked", loaded, None), ("e2", "client.linked", "acme", None))
    assert daemon.run().success
    assert daemon.rows("SELECT state FROM ops.onboarding") == [("must_sign_again",)]
    assert daemon.instance.get_dynamic_partitions(str(CLIENTS.name)) == [new]
    assert (len(read_known(daemon.instance).covered), len(read_known(daemon.instance).unsigned)) == (1, 1)
    unsigned = ready_digest(daemon.instance)
    sandbox.admin("sign", {"tenant": loaded})
    daemon.arrive(("e3", "client.linked", loaded, None))
    assert daemon.run().success
    assert daemon.rows("SELECT state FROM ops.onboarding WHERE history_loaded_at IS NOT NULL") == [("loaded",)]
    assert ready_digest(daemon.instance) == ready != unsigned, "claims that waited are looked at again"


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {
        one.check_name: one.passed for one in result.get_asset_check_evaluations() if one.asset_key == WEBHOOK_EVENTS
    }


def test_events_are_handled_by_one_run_at_a_time(
    hooks: tuple[RunningSandbox, Hooks], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, daemon = hooks
    assert daemon.tick("webhook_inbox") == ([], "There is no inbox: no receiver has run.", {})
    assert daemon.night().success
    sandbox.admin("advance", {"days": 3})
    (case, tenant), *_ = [(row["id"], row["client"]["externalTenantId"]) for row in sandbox.truth("cases")]
    daemon.arrive(("e1", "case.updated", tenant, case), ("e2", "client.linked", tenant, None))
    asked, _, told = daemon.tick("webhook_inbox")
    assert (len(asked), told) == (1, {})
    job = defs.resolve_job_def(REFRESH)
    left = daemon.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert daemon.tick("webhook_inbox")[:2] == ([], "2 events wait for the run in progress.")
    daemon.instance.report_run_failed(left)
    asked, reason, _ = daemon.tick("webhook_inbox")
    assert (asked, "next attempt at" in reason) == ([], True), "after a failure it waits a minute"
    daemon.instance.delete_run(left.run_id)
    done = daemon.run()
    assert done.success
    assert checks_of(done) == {HANDLED: True, SUBSCRIPTIONS: True}
    materialized = {event.asset_key for event in done.get_asset_materialization_events()}
    assert {WEBHOOK_EVENTS, RAW["clients"]} <= materialized
    assert daemon.rows("SELECT event_id, outcome, run_id FROM ops.webhook_events ORDER BY 1") == [
        ("e1", "refreshed", done.run_id),
        ("e2", "refreshed", done.run_id),
    ]  # fmt: skip
    assert daemon.tick("webhook_inbox") == ([], "No event waits.", {})

    # Each run leaves files and rows behind for good: under steady load there is one a minute, after a quiet minute one at once.
    daemon.arrive(("e3", "client.linked", tenant, None))
    asked, reason, _ = daemon.tick("webhook_inbox")
    (record,) = daemon.instance.get_run_records(dg.RunsFilter(run_ids=[done.run_id]))
    due = record.create_timestamp + timedelta(minutes=1)
    assert (asked, reason) == ([], f"1 events wait; next attempt at {due:%Y-%m-%d %H:%M:%SZ}.")
    monkeypatch.setattr(webhook_sensors, "BETWEEN_RUNS", timedelta(0))
    assert len(daemon.tick("webhook_inbox")[0]) == 1


def test_events_that_wait_too_long_are_told_once_an_hour_and_the_night_takes_them_first(
    hooks: tuple[RunningSandbox, Hooks],
) -> None:
    sandbox, daemon = hooks
    daemon.arrive(("e1", "client.linked", "tenant-001", None), ago=timedelta(minutes=61))
    asked, _, told = daemon.tick("webhook_inbox")
    assert (len(asked), told) == (1, {HANDLED: False})
    assert daemon.tick("webhook_inbox")[2] == {}
    night = daemon.night()
    assert night.success
    assert checks_of(night)[HANDLED]
    steps = [event.step_key for event in night.all_events if event.is_step_success]
    assert steps[:2] == ["ops__webhook_events", "raw__clients"]
    assert daemon.rows("SELECT event_id, run_id FROM ops.webhook_events") == [("e1", night.run_id)]
    daemon.arrive(("e2", "client.linked", "tenant-001", None))
    sandbox.faults({"kind": "status", "status": 403, "path": "/v1/Webhooks", "times": 0})
    night = daemon.night()
    assert night.success, "nothing of it stops the night"
    assert checks_of(night) == {HANDLED: True, SUBSCRIPTIONS: False}
    (daemon.settings.data_dir / "inbox" / "9999999999.segment").mkdir()  # as unreadable as another user's file
    night = daemon.night()
    assert night.success
    assert checks_of(night) == {HANDLED: False, SUBSCRIPTIONS: False}
    assert "raw__clients" in {event.step_key for event in night.all_events if event.is_step_success}


@contextmanager
def target(status: int) -> Iterator[str]:
    """A receiver that answers all deliveries with that status."""

    class Target(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/in"
    finally:
        server.shutdown()
        server.server_close()


def subscription(sandbox: RunningSandbox) -> dict[str, Any]:
    (found,) = sandbox.get("/v1/Webhooks")
    return dict(found)


def test_a_subscription_that_was_switched_off_is_told_switched_on_and_its_gap_swept(
    hooks: tuple[RunningSandbox, Hooks], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is delivered again for the time that it was off: only a sync finds what happened then."""
    sandbox, daemon = hooks
    with target(410) as url:
        sandbox.send("POST", "/v1/Webhooks", {"url": url, "events": ["client.linked"]})
        assert daemon.tick("webhook_subscriptions")[0] == []
        sandbox.admin("clients", {"tenant": "while-off"})
        deadline = time.monotonic() + 30
        while subscription(sandbox)["isActive"] and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not subscription(sandbox)["isActive"]
    monkeypatch.setenv("DEBITURA_WRITES", "none")
    asked, reason, told = daemon.tick("webhook_subscriptions")
    assert (asked, told) == ([], {SUBSCRIPTIONS: False})
    assert "the API switched it off" in reason
    facts = read_webhook_facts(daemon.settings)
    assert facts is not None
    assert [one.subscription_id for one in facts.off] == [subscription(sandbox)["id"]]
    monkeypatch.setenv("DEBITURA_WRITES", "webhooks")
    (config,), _, told = daemon.tick("webhook_subscriptions")
    tags = dict(daemon.requests[0].tags)
    assert told == {SUBSCRIPTIONS: False}
    sandbox.faults({"kind": "status", "status": 403, "path": "/cases", "times": 0})
    assert not daemon.run(config, tags).success
    assert subscription(sandbox)["isActive"]
    sandbox.faults()
    assert len(daemon.tick("webhook_subscriptions")[0]) == 1, "it is on, and the gap is not swept yet"
    assert daemon.run(config, tags).success
    assert ("while-off",) in daemon.rows("SELECT DISTINCT external_tenant_id FROM raw.cases")
    assert daemon.tick("webhook_subscriptions")[0] == []
    assert daemon.cursors["webhook_subscriptions"] == "unread:0"
    facts = read_webhook_facts(daemon.settings)
    assert facts is not None
    assert facts.off == (), "that is over"


def test_a_subscription_that_cannot_be_switched_on_does_not_hide_the_others(
    hooks: tuple[RunningSandbox, Hooks],
) -> None:
    """The first was on again, the second was refused, and nobody knew that events of the first were missing."""
    sandbox, _ = hooks
    for name in ("a", "b", "c"):
        sandbox.send("POST", "/v1/Webhooks", {"url": f"https://{name}.example.com/in", "events": ["client.linked"]})
    ids = sorted(one["id"] for one in sandbox.get("/v1/Webhooks"))
    sandbox.faults({"kind": "status", "status": 422, "path": f"/v1/Webhooks/{ids[1]}", "method": "PUT", "times": 0})
    off = [SubscriptionOff(one, None, "Too many failures", True) for one in ids]
    settings = Debitura().settings
    with Debitura().endpoint() as endpoint:
        enabled, failed = switch_on(settings, endpoint, off)
    assert enabled == [ids[0], ids[2]]
    assert len(failed) == 1
    assert failed[0].startswith(f"{ids[1]}: ")
