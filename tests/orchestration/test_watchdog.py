"""Silent runs: failed whatever engine executes them, their slots freed, and harmless when their process comes back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.orchestration.beating import RunIsOver, beating, heartbeats_of
from debitura_pipeline.orchestration.heartbeat_storage import FILE, LOOKS, TABLE
from debitura_pipeline.orchestration.heartbeats import RHYTHM, Rhythm
from debitura_pipeline.orchestration.instance import end_dead_runs, open_instance
from debitura_pipeline.orchestration.keys import WAREHOUSE_POOL
from debitura_pipeline.orchestration.nightly_runs import last_nights
from debitura_pipeline.orchestration.nights import read_nights
from debitura_pipeline.orchestration.runs import EXECUTING, lock_number, read_runs
from debitura_pipeline.orchestration.watchdog_sensor import INTERVAL_S, watchdog
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.process_lock import ProcessLock
from debitura_pipeline.warehouse.run_lock import current_run, exclusive_run
from debitura_pipeline.warehouse.write_guard import check_may_write
from tests.orchestration.conftest import Pointed
from tests.support.both_storages import STORAGES, settings_on
from tests.support.command import ended, start
from tests.support.forks import Forked, fork_server
from tests.support.sandbox import ROOT, RunningSandbox

QUICK = Rhythm(beat_s=0.05, retry_s=0.05, lease_s=0.4, suspect_s=0.4, silent_s=0.6, confirm_s=0.2)
ASKS_ALWAYS = Rhythm(beat_s=600, retry_s=0.02, lease_s=0, asks_for_s=0.1)
AN_HOUR_S = 3600.0
WITHIN_S = 30.0
BUSY_RUN = f"""
    import time
    import dagster as dg
    from debitura_pipeline.orchestration.beating import beating
    from debitura_pipeline.orchestration.heartbeats import Rhythm
    from debitura_pipeline.orchestration.instance import mark_run, open_instance
    from debitura_pipeline.settings import load_settings
    from debitura_pipeline.warehouse.opening import open_warehouse
    from debitura_pipeline.warehouse.run_lock import exclusive_run

    @dg.job
    def empty(): pass

    settings = load_settings()
    with open_instance(settings) as instance, exclusive_run(settings, "nightly"):
        run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)
        mark_run(instance, run.run_id)
        instance.event_log_storage.claim_concurrency_slot("{WAREHOUSE_POOL}", run.run_id, "step")
        with beating(instance, run.run_id, rhythm={QUICK!r}), open_warehouse(settings) as warehouse:
            with warehouse.transaction():
                warehouse.run("CREATE SCHEMA aside")
                warehouse.run("CREATE TABLE aside.written (written_at DOUBLE PRECISION)")
            print(run.run_id, flush=True)
            while not time.sleep(0.01):
                with warehouse.transaction():
                    warehouse.run(f"INSERT INTO aside.written VALUES ({{time.time()}})")
"""


@pytest.fixture(params=STORAGES)
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_on(request, tmp_path / "data", monkeypatch)


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as instance:
        yield instance


@contextmanager
def a_busy_run() -> Iterator[tuple[Forked, str]]:
    """A process that executes a run: it beats, has a slot and the run lock, and writes to the warehouse without a pause."""
    process = fork_server().start(textwrap.dedent(BUSY_RUN), [], ROOT)
    try:
        yield process, process.stdout.readline().decode().strip()
    finally:
        process.stop()


def a_run(instance: dg.DagsterInstance) -> str:
    @dg.job
    def empty() -> None:
        pass

    return instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED).run_id


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def slots_taken(instance: dg.DagsterInstance) -> int:
    return instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count


def stop_between_writes(command: subprocess.Popen[str], instance: dg.DagsterInstance) -> None:
    """Stop a process when it does not hold a lock of Dagster's SQLite files, as it does for a moment at each heartbeat: they can
    be read by nobody then."""

    def is_stopped() -> bool:
        command.send_signal(signal.SIGSTOP)
        try:
            instance.get_run_records()
        except OperationalError:
            command.send_signal(signal.SIGCONT)
            return False
        return True

    wait_for(is_stopped)


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def pass_time(settings: Settings, by_s: float) -> None:
    """As if nothing had happened for so long."""
    for column in ("beat_at", "suspected_at"):
        older(settings, column, by_s)
    for column in ("looked_at", "awake_since"):
        older(settings, column, by_s, LOOKS)


def older(settings: Settings, column: str, by_s: float, table: str = TABLE) -> None:
    """As if an instant in the heartbeats were longer ago."""
    sql = f"UPDATE {table} SET {column} = {column} - {by_s}"
    if settings.dagster_postgres is not None:
        with psycopg.connect(settings.dagster_postgres.reveal()) as connection:
            connection.execute(sql.encode())
        return
    with closing(sqlite3.connect(settings.dagster_home / FILE, isolation_level=None)) as file:
        file.execute(sql)


def status(settings: Settings) -> tuple[str, str]:
    """What `debitura status` says of the last night."""
    nights = read_runs(settings, datetime.now(UTC))[0]
    (night,) = last_nights(read_nights(settings.data_dir), nights, current_run(settings), 5)
    return night.status, night.reason or ""


@contextmanager
def still_locked(settings: Settings, run_id: str) -> Iterator[None]:
    """The run's lock, as a server keeps it whose client has vanished without a word."""
    if settings.dagster_postgres is None:
        lock = ProcessLock(settings.dagster_home / EXECUTING / f"{run_id}.lock")
        assert lock.take("a machine that has vanished") is None
        yield
        lock.release()
        return
    with psycopg.connect(settings.dagster_postgres.reveal()) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (lock_number(run_id),))
        yield


def test_a_stopped_run_is_failed_though_it_has_its_lock_and_writes_nothing_when_it_continues(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    """Its slot would stay taken for as long as it is stopped, and then it would go on beside its successor."""
    with a_busy_run() as (process, run_id):
        assert end_dead_runs(instance, QUICK) == [] and slots_taken(instance) == 1
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        wait_for(lambda: end_dead_runs(instance, QUICK) == [run_id])
        assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE and slots_taken(instance) == 0
        with pytest.raises(WarehouseBusy), exclusive_run(settings):
            raise AssertionError("a stopped process keeps the warehouse to itself")
        continued_at = time.time()
        os.kill(process.pid, signal.SIGCONT)
        assert process.told.read() == b"1"
    with exclusive_run(settings), open_warehouse(settings, read_only=True) as warehouse:
        ((rows, last),) = warehouse.rows("SELECT count(*), max(written_at) FROM aside.written")
    assert rows > 0 and last < continued_at
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_killed_run_whose_lock_seems_to_be_held_is_failed_for_its_silence(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    with a_busy_run() as (process, run_id):
        os.kill(process.pid, signal.SIGKILL)
        assert process.told.read() == b"-9"
        with still_locked(settings, run_id):
            wait_for(lambda: end_dead_runs(instance, QUICK) == [run_id])
            assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE and slots_taken(instance) == 0


def test_runs_that_all_seem_silent_after_an_outage_are_given_time_for_a_heartbeat(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    """A storage that was down, a machine that slept and a clock that jumped look like the silence of every run."""
    heartbeats, run_id = heartbeats_of(instance), a_run(instance)
    assert heartbeats.beat(run_id, "host:1:1")
    older(settings, "beat_at", 3600)
    assert heartbeats.fail_silent() == [], "only suspected"
    assert heartbeats.fail_silent() == [], "for a moment so far"
    assert heartbeats.beat(run_id, "host:1:1")
    older(settings, "beat_at", RHYTHM.silent_s + 1)
    assert heartbeats.fail_silent() == [], "the heartbeat has cleared the suspicion"
    older(settings, "suspected_at", RHYTHM.confirm_s + 1)
    older(settings, "awake_since", RHYTHM.confirm_s + 1, LOOKS)
    (silence,) = heartbeats.fail_silent()
    assert (silence.run_id, silence.where) == (run_id, "1 on host host")
    assert RHYTHM.silent_s < silence.silent_s < 2 * RHYTHM.silent_s
    assert not heartbeats.beat(run_id, "host:1:1")
    heartbeats.forget(run_id)
    assert not heartbeats.beat(run_id, "host:1:1"), "it stays failed"


def test_a_run_that_was_suspected_right_before_the_machine_slept_has_time_for_a_heartbeat(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    """On waking, the watchdog may tick before the run beats, and a night would be lost for nothing."""
    heartbeats, healthy, dead = heartbeats_of(instance), a_run(instance), a_run(instance)
    for run_id in (healthy, dead):
        assert heartbeats.beat(run_id, None)
    pass_time(settings, RHYTHM.suspect_s + 5)
    assert heartbeats.fail_silent() == [], "only suspected"
    pass_time(settings, AN_HOUR_S)
    assert heartbeats.fail_silent() == [], "the watchdog has slept as well"
    assert heartbeats_of(instance).fail_silent() == [], "and so has every other"
    assert heartbeats.beat(healthy, None)
    pass_time(settings, INTERVAL_S)
    assert [silence.run_id for silence in heartbeats.fail_silent()] == [dead]
    assert heartbeats.beat(healthy, None)


def test_a_run_failed_by_a_watchdog_that_then_died_is_failed_by_the_next(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    heartbeats, run_id = heartbeats_of(instance), a_run(instance)
    heartbeats.beat(run_id, None)
    heartbeats.fail(run_id)
    with dg.build_sensor_context(instance=instance) as context:
        assert watchdog(context).skip_message == f"failed: {run_id[:8]}"  # type: ignore[union-attr]
        assert watchdog(context).skip_message == "every run is alive"  # type: ignore[union-attr]
    assert status_of(instance, run_id) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_somebody_has_ended_writes_nothing_any_more(instance: dg.DagsterInstance) -> None:
    run_id, said = a_run(instance), list[str]()
    with beating(instance, run_id, on_over=said.append, rhythm=ASKS_ALWAYS, end=said.append):
        check_may_write()
        instance.report_run_canceled(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
        with pytest.raises(RunIsOver):
            check_may_write()
    check_may_write()
    assert len(said) == 2 and run_id[:8] in said[0]


@pytest.mark.parametrize("settings", ["files"], indirect=True)
def test_a_run_that_cannot_find_out_whether_it_was_failed_writes_nothing(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    run_id, file = a_run(instance), settings.dagster_home / FILE
    with beating(instance, run_id, rhythm=ASKS_ALWAYS), open_warehouse(settings) as warehouse:
        file.rename(file.with_suffix(".aside"))
        file.mkdir()
        with pytest.raises(WarehouseError, match="cannot be found out"), warehouse.transaction():
            warehouse.run("CREATE TABLE ops.written (written_at INTEGER)")
        assert "written" not in {name.partition(".")[2] for name in warehouse.tables()}


@pytest.mark.parametrize("settings", ["files"], indirect=True)
def test_a_write_waits_for_a_storage_that_comes_back(settings: Settings, instance: dg.DagsterInstance) -> None:
    """A database's failover must not cost a night."""
    run_id, file, waits = a_run(instance), settings.dagster_home / FILE, list[float]()
    rhythm = Rhythm(beat_s=600, lease_s=0)

    def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 2:
            file.rmdir()
            file.with_suffix(".aside").rename(file)

    with beating(instance, run_id, rhythm=rhythm, sleep=sleep):
        file.rename(file.with_suffix(".aside"))
        file.mkdir()
        check_may_write()
        check_may_write()
    assert waits == [rhythm.retry_s] * 2


@pytest.mark.parametrize("settings", ["files"], indirect=True)
def test_a_run_that_cannot_give_signs_of_life_goes_on(
    settings: Settings, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    """Locks alone then tell whether it is dead."""
    run_id = a_run(instance)
    (settings.dagster_home / FILE).mkdir()
    with beating(instance, run_id, rhythm=ASKS_ALWAYS):
        check_may_write()
        assert end_dead_runs(instance) == []
    assert "cannot give signs of life" in caplog.text and "cannot be found" in caplog.text


def test_a_nightly_command_that_was_stopped_and_failed_ends_with_one_line_and_is_on_record(
    sandbox_factory: Callable[..., RunningSandbox], point_at: Pointed
) -> None:
    sandbox = sandbox_factory(clients=1, cases=5, transactions=5)
    settings = point_at(sandbox)
    sandbox.faults({"kind": "stall", "path": "/cases", "times": 0, "delay_s": 600})
    quick = f"""
from functools import partial
from debitura_pipeline.orchestration import resources
from debitura_pipeline.orchestration.heartbeats import Rhythm
resources.beating = partial(resources.beating, rhythm={QUICK!r})
"""
    with start(["--quiet", "nightly"], os.environ, quick) as command, open_instance(settings) as instance:
        try:
            wait_for(lambda: bool(heartbeats_of(instance).silent(0)))
            stop_between_writes(command, instance)
            wait_for(lambda: bool(end_dead_runs(instance, QUICK)))
            (record,) = instance.get_run_records()
            (entry,) = instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
            assert f"Its process ({command.pid} on host " in entry.message
            assert status(settings) == ("failed", "Dagster has ended the run; its process is still there")
            command.send_signal(signal.SIGCONT)
            said = ended(command)
        finally:
            command.kill()
    assert said.status == 1 and "was failed while this process gave no sign of life" in said.error_line
    assert status(settings)[0] == "failed" and "gave no sign of life" in status(settings)[1]
