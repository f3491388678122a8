"""The sensor `wanted` and the job `outbound`: level-triggered, and quiet once everything was handled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from debitura_pipeline.definitions import defs
from debitura_pipeline.incidents.outbound_fault import read_faults
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration import resources, source_looks
from debitura_pipeline.orchestration import wanted as wanted_module
from debitura_pipeline.orchestration.jobs import OUTBOUND
from debitura_pipeline.orchestration.keys import CLIENTS, ONBOARDING, REGISTRATION
from debitura_pipeline.orchestration.read_failures import SensorReadError
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.orchestration.source_looks import look_at
from debitura_pipeline.orchestration.wanted import wanted
from debitura_pipeline.source import ROSTER
from debitura_pipeline.source.fingerprint import wanted_fingerprint
from debitura_pipeline.warehouse.process_lock import Holder
from debitura_pipeline.warehouse.run_lock import current_run
from debitura_pipeline.webhooks.inbox import Inbox
from debitura_pipeline.webhooks.refresh import take_in
from debitura_pipeline.webhooks.segments import Received
from tests.source.rows import as_csv, client_row, put, settings_for
from tests.support.leaks import find
from tests.support.postgres import Database
from tests.support.sandbox import RunningSandbox


class Outbound:
    """A daemon by hand."""

    def __init__(self, instance: dg.DagsterInstance, roster: Path) -> None:
        self.instance, self.roster, self._cursor = instance, roster, ""

    def wants(self, *numbers: int) -> None:
        put(self.roster, as_csv([client_row(number) for number in numbers]))

    def tick(self) -> str:
        """The same as `tick_once`, after a second tick where the roster was just written."""
        return self.tick_once() if (said := self.tick_once()) == "(Just written: roster.)" else said

    def tick_once(self) -> str:
        """The reason of the run that is requested, or of the skip in brackets."""
        with dg.build_sensor_context(
            instance=self.instance, resources={"debitura": Debitura()}, cursor=self._cursor
        ) as context:
            outcome = wanted(context)
            self._cursor = context.cursor or ""
        if isinstance(outcome, dg.RunRequest):
            return outcome.tags["debitura/reason"]
        assert isinstance(outcome, dg.SkipReason)
        return f"({outcome.skip_message})"

    def run(self) -> set[str]:
        """Run the job; the names of what was materialised."""
        job = defs.resolve_job_def(OUTBOUND)
        result = job.execute_in_process(instance=self.instance, raise_on_error=False)
        found = {
            event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key
        }
        return found | (set() if result.success else {"failed"})


@pytest.fixture
def outbound(
    sandbox_factory: Callable[..., RunningSandbox],
    point_at: Callable[[RunningSandbox], object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[RunningSandbox, Outbound]]:
    sandbox = sandbox_factory(clients=1, cases=2, transactions=2)
    monkeypatch.setenv("DEBITURA_ROSTER", str(tmp_path / "roster.csv"))
    point_at(sandbox)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        yield sandbox, Outbound(instance, tmp_path / "roster.csv")


HANDLED = "(Everything is up to date.)"


def test_roster_is_planned_then_registered_then_left_alone(
    outbound: tuple[RunningSandbox, Outbound], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sandbox, daemon = outbound
    daemon.wants(1)
    assert daemon.tick() == "the roster was never planned"
    assert daemon.run() == {"registration/plan"}, "without DEBITURA_WRITES nothing is registered"
    assert daemon.tick() == HANDLED
    assert sandbox.ledger() == []
    monkeypatch.setenv("DEBITURA_WRITES", "clients")
    assert daemon.tick() == "DEBITURA_WRITES changed"
    assert daemon.run() == {"registration/plan", "registration/clients"}
    assert daemon.tick() == HANDLED
    daemon.wants(1, 2)
    assert daemon.tick() == "the roster changed"
    daemon.run()
    assert [entry["tenant"] for entry in sandbox.ledger()] == ["tenant-1", "tenant-2"]
    waiting = daemon.instance.get_dynamic_partitions(str(CLIENTS.name))
    assert [ClientRef.parse(key).tenant for key in sorted(waiting)] == ["tenant-1", "tenant-2"], "the sensor knows them"
    daemon.instance.add_dynamic_partitions(str(CLIENTS.name), ["tenant-1@x"])
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization(ONBOARDING["history"], partition="tenant-1@x"))
    assert daemon.tick() == "a client became ready or left"
    personal = [client_row(n)[name] for n in (1, 2) for name in ("company_name", "user_name", "user_email", "address")]
    assert not find(tmp_path / "home", personal)
    assert not find(tmp_path / "data", personal)


def test_failed_run_is_followed_by_a_pause(
    outbound: tuple[RunningSandbox, Outbound], monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, daemon = outbound
    daemon.wants(1)
    monkeypatch.setenv("DEBITURA_WRITES", "clients")
    sandbox.faults({"kind": "status", "status": 401, "path": "/clients", "method": "POST"})
    assert "failed" in daemon.run()
    assert daemon.tick().startswith("(The last run failed, next attempt at ")


def test_roster_that_cannot_be_read_is_a_skip_and_then_a_failure(outbound: tuple[RunningSandbox, Outbound]) -> None:
    _, daemon = outbound
    for _ in range(2):
        assert "is not there" in daemon.tick()
    with pytest.raises(SensorReadError, match="is not there"):
        daemon.tick()


def test_tick_with_ten_thousand_clients_takes_less_than_a_second(outbound: tuple[RunningSandbox, Outbound]) -> None:
    _, daemon = outbound
    daemon.wants(*range(10_000))
    daemon.tick()
    keys = [f"tenant-{number}@{number}" for number in range(9_990)]
    daemon.instance.add_dynamic_partitions(str(CLIENTS.name), keys)
    for key in keys[:50]:  # their number in Dagster's storage is what counts; each costs milliseconds to report
        daemon.instance.report_runless_asset_event(dg.AssetMaterialization(ONBOARDING["history"], partition=key))
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization(REGISTRATION["plan"], metadata={"source": "x"}))
    began = time.process_time()
    assert daemon.tick() == "the roster changed"
    assert time.process_time() - began < 1.0


def test_source_is_read_once_after_it_was_written_and_the_event_log_once_a_tick(
    outbound: tuple[RunningSandbox, Outbound], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, daemon = outbound
    read: list[str] = []

    def counted(name: str, original: Callable[..., str]) -> Callable[..., str]:
        def call(*arguments: Any) -> str:
            read.append(name)
            return original(*arguments)

        return call

    monkeypatch.setattr(source_looks, "wanted_fingerprint", counted("roster", wanted_fingerprint))
    monkeypatch.setattr(wanted_module, "ready_digest", counted("log", wanted_module.ready_digest))
    daemon.wants(1)
    assert daemon.tick_once() == "(Just written: roster.)"
    assert "roster" not in read, "it may be half written"
    daemon.roster.write_text(as_csv([client_row(1), client_row(2)]))
    assert daemon.tick_once() == "(Just written: roster.)"
    for _ in range(3):
        read.append("tick")
        assert daemon.tick_once() == "the roster was never planned"
    assert "-".join(read).split("tick") == ["log-log-", "-roster-log-", "-log-", "-log"]


def test_table_is_read_every_five_minutes(tmp_path: Path, postgres: Database) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        columns = ", ".join(f"{name} text" for name in client_row())
        connection.execute(f"CREATE TABLE public.roster ({columns})")
        settings = settings_for(tmp_path, DEBITURA_ROSTER=f"{postgres.url}?table=public.roster")
        location, now = settings.outbound.roster, datetime(2026, 5, 1, tzinfo=UTC)
        assert location is not None
        first = look_at(settings, location, ROSTER, None, now)
        connection.execute("INSERT INTO public.roster (external_tenant_id) VALUES ('tenant-1')")
    assert look_at(settings, location, ROSTER, first, now + timedelta(minutes=4)) == first
    assert look_at(settings, location, ROSTER, first, now + timedelta(minutes=5)).fingerprint != first.fingerprint


def test_event_about_an_approval_link_requests_a_run(
    outbound: tuple[RunningSandbox, Outbound],
) -> None:
    _, daemon = outbound
    daemon.wants(1)
    daemon.run()
    assert daemon.tick() == HANDLED
    data_dir, at = Debitura().settings.data_dir, datetime(2026, 5, 1, tzinfo=UTC)
    inbox = Inbox(data_dir, at)
    inbox.append([Received("1", "client.link_expired", at, at, "tenant-1"), Received("2", "case.updated", at, at)], at)
    inbox.close()
    assert daemon.tick() == HANDLED, "it is not in ops.webhook_events yet"
    assert take_in(Debitura().settings) == 2
    assert daemon.tick() == "an approval link expired or was declined"
    daemon.run()
    assert daemon.tick() == HANDLED


def test_run_lock_is_free_while_incidents_are_delivered(
    outbound: tuple[RunningSandbox, Outbound], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, daemon = outbound
    holders: list[Holder | None] = []
    monkeypatch.setattr(resources, "conclude_run", lambda settings, _: holders.append(current_run(settings)))
    daemon.roster.write_text("nothing\n")
    assert daemon.run() == {"failed"}
    assert holders == [None]
    (fault,) = read_faults(Debitura().settings.data_dir)
    assert (fault.source, fault.kind) == ("roster", "source_unreadable")
