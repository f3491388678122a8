"""A process that was stopped holds the run lock after its run has ended: doctor, status, watch and an incident say so."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from debitura_pipeline.cli.watch import watch_once
from debitura_pipeline.doctor import runs
from debitura_pipeline.incidents import causes, kinds
from debitura_pipeline.incidents.facts import LockFact
from debitura_pipeline.incidents.judge import judge
from debitura_pipeline.orchestration import telling
from debitura_pipeline.orchestration.held_locks import find_held_locks
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.nightly_runs import STILL_THERE
from debitura_pipeline.orchestration.nights import COMMAND, note_end, note_start
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.status.document import read_status_document
from tests.incidents.planted import NOW, failed_night
from tests.support.both_storages import STORAGES, settings_on
from tests.support.forks import Forked, fork_server
from tests.support.receiver import Receiver, receiving
from tests.support.sandbox import ROOT

RUN = """
    import sys, time
    import dagster as dg
    from debitura_pipeline.orchestration.instance import mark_run, open_instance
    from debitura_pipeline.settings import load_settings
    from debitura_pipeline.warehouse.run_lock import exclusive_run

    @dg.job
    def refresh_reports(): pass

    settings, is_command, holds_again = load_settings(), sys.argv[1] == "command", sys.argv[2:] == ["again"]
    with open_instance(settings) as instance:
        run = instance.create_run_for_job(refresh_reports, status=dg.DagsterRunStatus.STARTED)
        mark_run(instance, run.run_id)
        purpose = "nightly" if is_command else f"refresh_reports (Dagster run {run.run_id[:8]})"
        if holds_again:
            instance.report_run_failed(run, "a test")
            instance.report_run_failed(run, "a test")
            time.sleep(1.1)
        with exclusive_run(settings, purpose):
            print(run.run_id, flush=True)
            time.sleep(600)
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(params=STORAGES)
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> Settings:
    return settings_on(request, tmp_path / "data", monkeypatch, DEBITURA_ALERTS=receiver.url())


@contextmanager
def a_stopped_run(*arguments: str) -> Iterator[tuple[Forked, str]]:
    """A process that holds the run lock for a run of Dagster's, and is stopped."""
    process = fork_server().start(textwrap.dedent(RUN), list(arguments), ROOT)
    try:
        run_id = process.stdout.readline().decode().strip()
        os.kill(process.pid, signal.SIGSTOP)
        yield process, run_id
    finally:
        if psutil.pid_exists(process.pid):
            os.kill(process.pid, signal.SIGKILL)
        process.stop()


def give_up(settings: Settings, run_id: str) -> None:
    with open_instance(settings) as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        instance.report_run_failed(run, "it gave no sign of life")


def a_good_night(settings: Settings) -> None:
    note_start(settings, "good", COMMAND)
    note_end(settings, "good", is_proven=True, reason=None, has_failed=False)


@pytest.mark.parametrize("how", ["daemon", "command"])
def test_lock_of_a_run_that_was_given_up_is_reported_until_its_process_has_ended(
    how: str, settings: Settings, receiver: Receiver
) -> None:
    with a_stopped_run(how) as (process, run_id):
        a_good_night(settings)
        now = datetime.now(UTC) + timedelta(minutes=2)
        assert find_held_locks(settings, now) == [], "the run is in progress"
        give_up(settings, run_id)
        assert find_held_locks(settings, datetime.now(UTC)) == [], "its process may be about to end"
        (lock,) = find_held_locks(settings, now)
        assert (lock.run_id, lock.job, lock.pid) == (run_id, "refresh_reports", process.pid)
        said = f"Dagster run {run_id[:8]} (refresh_reports) was given up at {lock.ended_at:%Y-%m-%d %H:%M} UTC, but its process "
        assert lock.fault == f"{said}{process.pid} still holds the run lock"

        assert [incident.kind for incident in telling.tick(settings, now)] == ["run_lock_held"]
        assert [incident.kind for incident in telling.tick(settings, now + timedelta(minutes=1))] == ["run_lock_held"]
        assert f"{lock.fault}." in telling.check_staleness(settings, now + timedelta(minutes=2))
        document = read_status_document(settings, now)
        assert f"{lock.fault}. {lock.cure}" in document["problems"] and document["run"] is None
        (alert,) = receiver.alerts
        assert lock.fault in alert["message"] and "Next: debitura doctor" in alert["message"]

        os.kill(process.pid, signal.SIGKILL)
        psutil.Process(process.pid).wait(10)
    assert find_held_locks(settings, now) == []
    assert telling.tick(settings, now + timedelta(minutes=3)) == []
    assert receiver.titles == [
        "Debitura [sandbox]: a run that has ended still holds the run lock",
        "Debitura [sandbox]: over: a run that has ended still holds the run lock",
    ]


def test_doctor_names_the_process_and_watch_fails(settings: Settings) -> None:
    with a_stopped_run("daemon") as (process, run_id):
        a_good_night(settings)
        (found,) = [one for one in runs.examine(settings) if one.what == "run"]
        assert found.is_ok and found.seen.startswith(f"in progress: refresh_reports (Dagster run {run_id[:8]})")
        assert watch_once(settings)
        give_up(settings, run_id)
        later = datetime.now(UTC) + timedelta(minutes=2)
        (found,) = [one for one in runs.examine(settings, later) if one.what == "run"]
        assert not found.is_ok and f"its process {process.pid} still holds the run lock" in found.seen
        assert found.cure.startswith(f"End it: `kill -9 {process.pid}`.")
        assert not watch_once(settings, later)


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_lock_of_the_database_alone_is_reported_to_other_data_directories(settings: Settings, tmp_path: Path) -> None:
    """A machine that hangs keeps every other one out of the database."""
    with a_stopped_run("daemon") as (process, run_id):
        give_up(settings, run_id)
        other = replace(settings, data_dir=tmp_path / "other")
        (lock,) = find_held_locks(other, datetime.now(UTC) + timedelta(minutes=2))
    assert (lock.run_id, lock.pid) == (run_id, process.pid)


@pytest.mark.parametrize("settings", ["files"], indirect=True)
def test_process_that_took_the_lock_again_after_its_run_is_left_alone(settings: Settings) -> None:
    """A command may run several things one after the other; its process is at work."""
    with a_stopped_run("command", "again"):
        assert find_held_locks(settings, datetime.now(UTC) + timedelta(hours=1)) == []


@pytest.mark.parametrize("settings", ["files"], indirect=True)
def test_upload_to_a_shared_store_after_the_run_is_given_time(settings: Settings, tmp_path: Path) -> None:
    shared = load_settings({**os.environ, "DEBITURA_SHARED_STORE": f"file://{tmp_path}/store"})
    with a_stopped_run("command") as (_, run_id):
        give_up(settings, run_id)
        now = datetime.now(UTC)
        assert find_held_locks(shared, now + timedelta(minutes=29)) == []
        assert find_held_locks(shared, now + timedelta(minutes=31)) != []


def test_failed_run_whose_process_is_still_there_is_one_incident() -> None:
    failed = failed_night(causes.NIGHT_FAILED, STILL_THERE)
    held = replace(failed, held_locks=(LockFact("0123456789", "Its process still holds the run lock", NOW),))
    open_ = [finding for finding in judge(held).open_ if not finding.is_explained]
    assert [finding.key for finding in open_] == [(kinds.RUN_LOCK_HELD, "01234567")]
