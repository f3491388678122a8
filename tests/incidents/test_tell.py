"""Messages as a real receiver gets them: each once, delivered later where that failed, and never a word of an address."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.delivery import DeliveryAttempts, Outgoing, send, targets_of
from debitura_pipeline.incidents.facts import DaemonFact, Facts, StuckFact
from debitura_pipeline.incidents.judge import judge
from debitura_pipeline.incidents.state import FILE, FOLDER, OPENED, OVER, REMINDER, Message, State, read_state
from debitura_pipeline.incidents.tell import RUN_END, TICK, WarehouseReading, read_warehouse, tell
from debitura_pipeline.incidents.update import Recipient, apply_findings, deliverable, take_delivery
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.retention import KEPT
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.incidents.planted import DAY, HOUR, NOW, a_hundred, clean, failed_night, with_stuck
from tests.support.receiver import Receiver, receiving

SECRET = "hook-secret-path"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def settings_with(tmp_path: Path, *urls: str, **more: str) -> Settings:
    (tmp_path / "data").mkdir(exist_ok=True)
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DEBITURA_ALERTS": ",".join(urls), **more})


def move(state: State, facts: Facts) -> list[Message]:
    """One round without delivery; the messages that it has queued."""
    before = len(state.outbox)
    carried = [incident.key for incident in state.open_()]
    apply_findings(state, judge(facts, carried), Recipient(["target"], "production"), facts.now)
    return state.outbox[before:]


def at(facts: Facts, later: timedelta) -> Facts:
    """The same, looked at `later` by a daemon that lives as it did."""
    beat_at = facts.daemon.beat_at if facts.daemon else None
    daemon = DaemonFact(beat_at + later) if beat_at else facts.daemon
    return replace(facts, now=facts.now + later, daemon=daemon)


def test_a_hundred_incidents_are_a_hundred_messages(tmp_path: Path, receiver: Receiver) -> None:
    settings = settings_with(tmp_path, receiver.url())
    state, opened = State(), []
    for number, planted in enumerate(a_hundred()):
        later = number * DAY / 1000
        found = move(state, at(planted.facts, later))
        assert [(m.event, m.about[0][:2]) for m in found] == [(OPENED, (planted.kind, planted.subject))]
        assert move(state, at(planted.facts, later + timedelta(seconds=20))) == []
        assert [m.event for m in move(state, clean(NOW + later + timedelta(seconds=40)))] == [OVER]
        opened += found
    targets = targets_of(settings)
    attempts = send(settings, [Outgoing(m.title, m.body, "failure", targets) for m in opened])
    assert all(each.delivered for each in attempts)
    assert len(receiver.alerts) == 100
    for alert, planted in zip(receiver.alerts, a_hundred(), strict=True):
        assert alert["title"] == f"Debitura: {kinds.KINDS[planted.kind].title}"
        lines = alert["message"].splitlines()
        assert [line.partition(":")[0] for line in lines[:4]] == ["What", "Since", "Figures", "Next"]
        assert lines[3] == f"Next: {planted.command}"


def test_a_year_of_clean_nights_tells_nothing() -> None:
    state = State()
    for day in range(365):
        facts = clean(NOW + day * DAY)
        assert move(state, facts) == []
        assert move(state, at(Facts(facts.now, 14, facts.nights, full_folders=""), 8 * HOUR)) == []  # the daemon by day
    assert state == State()


def test_one_message_when_it_opens_a_reminder_a_day_and_one_when_it_is_over() -> None:
    state, failed = State(), failed_night(causes.NIGHT_FAILED)
    events = []
    for hour in range(50):
        for message in move(state, at(failed, hour * HOUR)):
            events.append((hour, message.event))
            take_delivery(state, message, ["target"], failed.now + hour * HOUR)
    (over,) = move(state, clean(NOW + 50 * HOUR))
    assert events == [(0, OPENED), (24, REMINDER), (48, REMINDER)]
    assert over.event == OVER and over.title == "Debitura: over: the nightly run failed"


def test_very_many_of_a_kind_are_one_message() -> None:
    stuck = [StuckFact(kinds.CLAIM_REFUSED, f"t/{number}", "t", "refused", None) for number in range(500)]
    state = State()
    (message,) = move(state, with_stuck(*stuck))
    assert "500 times" in message.title and "t/0" in message.body and len(message.body) < 1000
    take_delivery(state, message, ["target"], NOW)
    assert move(state, at(with_stuck(*stuck), HOUR)) == []
    assert all(incident.told_at == NOW for incident in state.open_())


def test_an_explained_incident_is_told_once_its_explanation_is_over_for_a_day() -> None:
    state = State()
    late = at(failed_night(causes.NIGHT_FAILED), 2 * DAY)  # also late, of the same cause
    assert len(move(state, late)) == 1
    disk = replace(late, full_folders="/data")
    assert [m.about[0][0] for m in move(state, disk)] == [causes.DISK_FULL]


def test_incidents_go_to_the_warehouse_and_the_metrics(
    tmp_path: Path, receiver: Receiver, warehouse_env: dict[str, str]
) -> None:
    settings = settings_with(tmp_path, receiver.url(), **warehouse_env)
    with exclusive_run(settings), open_warehouse(settings):
        pass

    def rows() -> list[tuple[object, ...]]:
        with open_warehouse(settings, read_only=True) as warehouse:
            return warehouse.rows("SELECT incident, subject, opened_at, closed_at, told_at FROM ops.incidents")

    def round_(facts: Facts) -> None:
        reading = read_warehouse(settings, facts)
        assert reading.facts is not None
        tell(settings, facts, RUN_END, WarehouseReading(clean().warehouse, open_=reading.open_))

    failed = failed_night(causes.KEY_REFUSED, "HTTP 401 on GET /me")
    round_(failed)
    assert rows() == [("key_refused", "nightly", NOW, None, NOW)]
    metrics = settings.data_dir / "metrics" / "debitura.prom"
    assert 'debitura_open_incidents{incident="key_refused"} 1\n' in metrics.read_text()
    (settings.data_dir / FOLDER / FILE).unlink()  # a lost file repeats nothing
    round_(at(failed, HOUR))
    round_(clean(NOW + 2 * HOUR))
    assert rows() == [("key_refused", "nightly", NOW, NOW + 2 * HOUR, NOW)]
    assert receiver.titles == [
        "Debitura [sandbox]: the API refuses the key",
        "Debitura [sandbox]: over: the API refuses the key",
    ]
    assert 'debitura_open_incidents{incident="key_refused"} 0\n' in metrics.read_text()
    state = read_state(settings.data_dir)
    assert state is not None and (state.incidents, state.outbox) == ([], [])
    later = failed_night(causes.KEY_REFUSED, "HTTP 401 on GET /me")
    round_(at(later, KEPT + 2 * HOUR))
    assert len(rows()) == 2, "the first was over 400 days ago, and no longer"
    round_(clean(NOW + KEPT + 3 * HOUR))
    assert [opened_at for _, _, opened_at, *_ in rows()] == [NOW + KEPT + 2 * HOUR]


def test_only_what_was_not_delivered_is_tried_again(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does anything that is written or logged hold an address."""
    with receiving() as other, caplog.at_level(logging.DEBUG):
        settings = settings_with(tmp_path, receiver.url(), other.url(f"{SECRET}-2"))
        other.status = 500
        failed = failed_night(causes.DISK_FULL)
        tell(settings, failed, TICK)
        assert "alert address 2 (json://)" in caplog.text
        tell(settings, at(failed, timedelta(minutes=1)), TICK)  # not due yet
        other.status = 200
        assert (len(receiver.alerts), len(other.alerts)) == (1, 0)
        tell(settings, at(failed, timedelta(minutes=6)), TICK)
    assert (len(receiver.alerts), len(other.alerts)) == (1, 1)
    kept = "".join(path.read_text() for path in settings.data_dir.rglob("*") if path.is_file())
    assert SECRET not in caplog.text + kept and str(receiver.port) not in caplog.text + kept
    assert all(path.stat().st_mode & 0o077 == 0 for path in settings.data_dir.rglob("*.json"))


def test_service_that_takes_a_message_slowly_gets_it_once(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers_after_s = 6.0  # Apprise's own time-out is 4 s
    failed = failed_night(causes.DISK_FULL)
    with receiving() as prompt:
        settings = settings_with(tmp_path, receiver.url(), prompt.url(), "json://127.0.0.1:9/nobody")
        for minutes in (0, 1, 6):
            tell(settings, at(failed, timedelta(minutes=minutes)), RUN_END)
        assert (len(receiver.alerts), len(prompt.alerts)) == (1, 1)


def test_message_that_is_not_taken_in_time_is_repeated_early_twice_and_then_at_growing_intervals(
    tmp_path: Path, receiver: Receiver
) -> None:
    """`debitura watch` may run every minute. Whether a service that timed out has taken the message is not known."""
    receiver.answers_after_s = 1.0
    settings, failed = settings_with(tmp_path, receiver.url() + "?rto=0.2"), failed_night(causes.DISK_FULL)
    for minutes in range(13):
        tell(settings, at(failed, timedelta(minutes=minutes)), RUN_END)
    assert len(receiver.alerts) == 3, "in the first three minutes; then twenty pass"


def test_refused_message_is_delivered_later_and_once(tmp_path: Path, receiver: Receiver) -> None:
    settings, failed = settings_with(tmp_path, receiver.url()), failed_night(causes.DISK_FULL)
    receiver.status = 500
    tell(settings, failed, RUN_END)
    receiver.status = 200
    for minutes in (1, 6, 7, 60):
        tell(settings, at(failed, timedelta(minutes=minutes)), RUN_END)
        assert len(receiver.alerts) == 1


def test_messages_for_which_a_slow_service_leaves_no_time_are_sent_next_time(
    tmp_path: Path, receiver: Receiver
) -> None:
    """And not five minutes later, as after a failure: a service that works would be ever further behind."""
    receiver.answers_after_s = 1.5
    settings = settings_with(tmp_path, receiver.url() + "?rto=9")
    failed, pace = replace(failed_night(causes.SHRINK_REFUSED), full_folders="/data"), replace(RUN_END, deliver_s=12.0)
    tell(settings, failed, pace)
    assert len(receiver.alerts) == 1
    tell(settings, at(failed, timedelta(minutes=1)), pace)
    assert len(set(receiver.titles)) == len(receiver.alerts) == 2


def test_a_warehouse_that_cannot_be_opened_is_told(tmp_path: Path, receiver: Receiver) -> None:
    settings = settings_with(tmp_path, receiver.url())
    assert settings.warehouse.path is not None
    settings.warehouse.path.write_bytes(b"no DuckDB file" * 100)
    facts = replace(clean(), warehouse=None)
    tell(settings, facts, RUN_END, read_warehouse(settings, facts))
    (alert,) = receiver.alerts
    assert "not a DuckDB file" in alert["message"] and "Next: debitura doctor" in alert["message"]


def test_addresses_that_are_set_later_are_told_what_is_open(tmp_path: Path, receiver: Receiver) -> None:
    silent = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})
    silent.data_dir.mkdir()
    tell(silent, failed_night(causes.SHRINK_REFUSED), TICK)
    tell(settings_with(tmp_path, receiver.url()), at(failed_night(causes.SHRINK_REFUSED), HOUR), TICK)
    assert receiver.titles == ["Debitura [sandbox]: a merge that would delete many rows was refused"]


def test_a_service_that_hangs_is_left_and_an_address_that_is_removed_is_forgotten(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = settings_with(tmp_path, f"json://127.0.0.1:{silent.getsockname()[1]}/x?rto=60")
        targets = targets_of(settings)
        attempts = send(settings, [Outgoing("t", "b", "info", targets)], within_s=2.0)
        assert attempts == [DeliveryAttempts(tried=frozenset(targets))]
    state = State()
    move(state, failed_night(causes.NIGHT_FAILED))
    assert deliverable(state, ["another"], NOW, retries_early=True) == [] and state.outbox == []


def test_the_state_can_be_read_by_other_tools(tmp_path: Path) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    tell(settings, failed_night(causes.NIGHT_FAILED), TICK)
    (incident,) = json.loads((tmp_path / FOLDER / FILE).read_text())["incidents"]
    assert incident["kind"] == "night_failed" and incident["opened_at"] == "2026-11-27T03:00:00Z"
