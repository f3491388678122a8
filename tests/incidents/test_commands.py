"""Incidents as the commands report them: real nights on a sandbox, a real receiver."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.doctor import alerts
from debitura_pipeline.errors import RefusedError
from debitura_pipeline.incidents.api_fault import clear_api_fault, note_api_fault
from debitura_pipeline.incidents.webhook_facts import forget_off, note_off
from debitura_pipeline.orchestration import sensors, telling
from debitura_pipeline.orchestration.beating import heartbeats_of
from debitura_pipeline.orchestration.heartbeat_storage import FILE as HEARTBEATS
from debitura_pipeline.orchestration.heartbeat_storage import TABLE
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.nights import COMMAND, FILE, note_end, note_start
from debitura_pipeline.orchestration.resources import Debitura
from debitura_pipeline.settings import Secret, Settings, load_settings
from debitura_pipeline.webhooks.segments import Received, pack
from debitura_pipeline.webhooks.stale import StaleDeliveries
from debitura_pipeline.webhooks.watch import SubscriptionOff
from tests.support.command import debitura
from tests.support.receiver import Receiver, receiving

SECRET = "hook-secret-path"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def env(tmp_path: Path, receiver: Receiver) -> dict[str, str]:
    return {
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "DEBITURA_ALERTS": receiver.url(SECRET),
        "DEBITURA_HEARTBEAT_URL": f"http://127.0.0.1:{receiver.port}/beat-secret?x=1",
    }


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    settings = load_settings(env)
    settings.data_dir.mkdir()
    return settings


def a_good_night(settings: Settings, ago: timedelta) -> None:
    """A night in the record that ended so long ago."""
    note_start(settings, "good", COMMAND)
    note_end(settings, "good", is_proven=True, reason=None, has_failed=False)
    record = settings.data_dir / FILE
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    at = (datetime.now(UTC) - ago).isoformat()
    record.write_text("".join(json.dumps({**line, "at": at}) + "\n" for line in lines))


def test_watch_reports_a_late_night_and_a_dead_daemon(settings: Settings, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(hours=25))
    assert telling.check_staleness(settings, now) == [] and receiver.alerts == []
    (reason,) = telling.check_staleness(settings, now + timedelta(hours=2))
    assert "more than 26 hours ago" in reason
    with open_instance(settings) as instance:
        beat(instance, now)
    assert telling.check_staleness(settings, now + timedelta(minutes=4)) == []
    (reason,) = telling.check_staleness(settings, now + timedelta(minutes=6))
    assert "heartbeat" in reason
    assert receiver.titles == [
        "Debitura [sandbox]: the nightly run is late",
        "Debitura [sandbox]: over: the nightly run is late",
        "Debitura [sandbox]: the daemon is not running",
    ]
    assert telling.tick(settings, now + timedelta(minutes=7)) == []  # the daemon is there again, and says so
    assert receiver.titles[-1] == "Debitura [sandbox]: over: the daemon is not running"


def test_watch_reports_a_run_that_is_silent_as_long_as_nobody_has_failed_it(settings: Settings) -> None:
    a_good_night(settings, timedelta(hours=1))
    with open_instance(settings) as instance:
        heartbeats_of(instance).beat("0123456789", "nowhere:77:1")
        assert telling.check_staleness(settings, datetime.now(UTC)) == []
        older = f"UPDATE {TABLE} SET beat_at = beat_at - 100"
        with closing(sqlite3.connect(settings.dagster_home / HEARTBEATS, isolation_level=None)) as file:
            file.execute(older)
        (reason,) = telling.check_staleness(settings, datetime.now(UTC))
        assert reason.startswith("Run 01234567 has given no sign of life for 10")
        assert reason.endswith(" s (process 77 on host nowhere).")
        heartbeats_of(instance).fail("0123456789")
    assert telling.check_staleness(settings, datetime.now(UTC)) == []


def beat(instance: object, at: datetime) -> None:
    from dagster._daemon.types import DaemonHeartbeat

    instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), "SENSOR", "id", []))  # type: ignore[attr-defined]


def test_the_daemon_evaluates_the_sensor(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It requests no run, names what is open, and writes the metrics."""
    monkeypatch.setenv("DEBITURA_DATA_DIR", str(settings.data_dir))
    note_start(settings, "killed", COMMAND)
    with dg.build_sensor_context(resources={"debitura": Debitura()}) as context:
        outcome = sensors.incidents(context)
    assert isinstance(outcome, dg.SkipReason)
    assert outcome.skip_message == "1 open incident: night_failed (nightly)"
    metrics = (settings.data_dir / "metrics" / "debitura.prom").read_text()
    assert 'debitura_open_incidents{incident="night_failed"} 1\n' in metrics
    assert "debitura_last_night_success 0\n" in metrics


def test_the_sensor_tells_a_key_that_is_refused_by_day(settings: Settings, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(hours=8))
    error = RefusedError("Reading the clients failed: HTTP 401 on GET /clients.", 401)
    note_api_fault(settings.data_dir, error, now)
    assert telling.tick(settings, now + timedelta(seconds=30)) == []
    note_api_fault(settings.data_dir, error, now + timedelta(minutes=2))
    (incident,) = telling.tick(settings, now + timedelta(minutes=3))
    assert (incident.kind, incident.since) == ("key_refused", now)
    clear_api_fault(settings.data_dir)
    assert telling.tick(settings, now + timedelta(minutes=5)) == []
    assert [title.partition("]: ")[2] for title in receiver.titles] == [
        "the API refuses the key",
        "over: the API refuses the key",
    ]


def test_permission_that_the_key_lacks_is_not_told_as_a_refused_key(settings: Settings, receiver: Receiver) -> None:
    """A new key would not help, and the request names what to ask for."""
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(hours=8))
    error = RefusedError("Reading cases, page 1 failed: HTTP 403 on GET /cases (UnexpectedError).", 403)
    note_api_fault(settings.data_dir, error, now - timedelta(minutes=3))
    assert [incident.kind for incident in telling.tick(settings, now)] == ["permission_missing"]
    (alert,) = receiver.alerts
    assert alert["title"] == "Debitura [sandbox]: the API does not permit a request of this key"
    assert "HTTP 403 on GET /cases" in alert["message"] and "Ask Debitura for the permission" in alert["message"]
    assert "DEBITURA_API_KEY" not in alert["message"]


def test_a_night_is_not_failed_by_what_is_told_about_it(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by services that are down nor by a folder that cannot be used."""
    unreachable = load_settings(
        {
            "DEBITURA_DATA_DIR": str(settings.data_dir),
            "DEBITURA_ALERTS": "json://127.0.0.1:9/secret-path",
            "DEBITURA_HEARTBEAT_URL": "http://127.0.0.1:9/secret-path",
        }
    )
    a_good_night(settings, timedelta())
    note_start(settings, "bad", COMMAND)
    note_end(settings, "bad", is_proven=None, reason="a reason", has_failed=True)
    telling.conclude_run(unreachable, datetime.now(UTC) - timedelta(minutes=1))
    assert "DEBITURA_HEARTBEAT_URL could not be pinged" in caplog.text and "could not be delivered" in caplog.text
    (settings.data_dir / "incidents" / "state.json").unlink()
    (settings.data_dir / "incidents" / "state.json").mkdir()  # nothing can be written there
    telling.conclude_run(unreachable, datetime.now(UTC))
    assert "secret-path" not in caplog.text


def test_doctor_sends_one_message_to_each_address_and_says_which_has_failed(
    env: dict[str, str], receiver: Receiver
) -> None:
    two = {**env, "DEBITURA_ALERTS": f"{env['DEBITURA_ALERTS']},json://127.0.0.1:9/{SECRET}"}
    said = debitura("doctor", "--alert-test", env=two)
    assert said.status == 2 and receiver.titles == ["Debitura: test alert"]
    assert "ok   alert address 1 (json://): delivered" in said.out
    assert "FAIL alert address 2 (json://): not delivered" in said.out and SECRET not in said.out + said.err
    assert debitura("doctor", "--alert-test", env={"DEBITURA_DATA_DIR": env["DEBITURA_DATA_DIR"]}).status == 2


def test_doctor_says_which_address_apprise_does_not_know(env: dict[str, str], receiver: Receiver) -> None:
    wrong = load_settings({**env, "DEBITURA_ALERTS": f"{env['DEBITURA_ALERTS']},slak://{SECRET}"})
    (found,) = alerts.examine(wrong, within_s=60)
    assert not found.is_ok and "alert address 2 (slak://)" in found.seen and SECRET not in found.seen
    (found,) = alerts.examine(load_settings(env), within_s=60)
    assert found.is_ok and receiver.alerts == []


def test_subscription_of_webhooks_that_were_given_up_is_over(settings: Settings, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(hours=8))
    used = replace(settings, webhooks=replace(settings.webhooks, secrets=(Secret("d2hzZWM=", "x"),)))
    note_off(settings.data_dir, [SubscriptionOff("id", None, None, is_automatic=True)])
    assert [incident.kind for incident in telling.tick(used, now)] == ["subscription_off"]
    assert telling.tick(settings, now + timedelta(minutes=1)) == []
    assert receiver.titles[-1].startswith("Debitura") and "over:" in receiver.titles[-1]


def test_good_night_ends_a_fault_that_the_daemon_had_noted(settings: Settings, receiver: Receiver) -> None:
    """Where no daemon runs any more, nobody else looks."""
    now = datetime.now(UTC)
    note_api_fault(
        settings.data_dir, RefusedError("HTTP 401 on GET /me. The key is refused.", 401), now - timedelta(hours=3)
    )
    assert "key_refused" in {incident.kind for incident in telling.tick(settings, now)}
    a_good_night(settings, timedelta())
    telling.conclude_run(settings, now - timedelta(minutes=1))
    assert telling.tick(settings, now + timedelta(minutes=1)) == []
    note_api_fault(settings.data_dir, RefusedError("HTTP 401 on GET /me. The key is refused.", 401), now)
    assert telling.tick(settings, now + timedelta(minutes=1)) == [], "it has to last two minutes again"


def test_next_command_names_the_partner_where_there_are_several(settings: Settings, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(days=2))
    telling.tick(replace(settings, partner="acme"), now)
    messages = [alert["message"] for alert in receiver.alerts]
    assert any("Next: debitura --partner acme nightly" in message for message in messages), messages


def test_what_the_receiver_leaves_behind_is_reported(settings: Settings, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    a_good_night(settings, timedelta(hours=8))
    folder = settings.data_dir / "inbox"
    folder.mkdir()
    StaleDeliveries(folder).note(now - timedelta(hours=1))
    event = Received("e", "case.updated", now - timedelta(hours=2), now - timedelta(hours=2))
    (folder / "0000000001.segment").write_bytes(pack(event))
    note_off(settings.data_dir, [SubscriptionOff("id", None, None, is_automatic=False)])
    open_ = {incident.kind for incident in telling.tick(settings, now)}
    assert open_ == {"stale_deliveries", "events_waiting", "subscription_off"}
    assert any("Next: debitura webhooks enable id" in alert["message"] for alert in receiver.alerts)
    forget_off(settings.data_dir, "ID")
    assert "subscription_off" not in {incident.kind for incident in telling.tick(settings, now + timedelta(minutes=1))}
    metrics = (settings.data_dir / "metrics" / "debitura.prom").read_text()
    assert "debitura_stale_deliveries_total 1\n" in metrics and "debitura_inbox_age_seconds 72" in metrics
