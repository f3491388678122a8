"""What is told of nights: from the record, from Dagster's list of runs, and from both where they disagree."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from debitura_pipeline.doctor import dagster
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.orchestration import nights as record
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.orchestration.nightly_runs import last_nights
from debitura_pipeline.orchestration.nights import (
    COMMAND,
    failure_to_start_noted,
    note_end,
    note_failure,
    note_start,
    read_nights,
    storable_reason,
)
from debitura_pipeline.orchestration.runs import DagsterRun, read_runs
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.process_lock import Holder
from tests.support.postgres import Database

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)


@dg.op
def nothing() -> None: ...


@dg.op(name="published__warehouse")
def publication() -> None: ...


@dg.job(name="nightly")
def nightly_job() -> None:
    publication()


@dg.job(name="nightly")
def part_of_nightly_job() -> None:
    nothing()


@dg.job(name="onboarding")
def onboarding_job() -> None:
    nothing()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})


def run(run_id: str, status: str, *, is_dead: bool = False) -> DagsterRun:
    return DagsterRun(run_id, "nightly", status, NOW, NOW, None, is_night=True, is_dead=is_dead)


def me() -> Holder:
    return Holder(os.getpid(), platform.node(), NOW.isoformat(), "nightly")


def test_a_night_is_recorded_with_what_became_of_it(settings: Settings) -> None:
    note_start(settings, "good", COMMAND)
    note_end(settings, "good", is_proven=True, reason=None, has_failed=False)
    note_start(settings, "bad", COMMAND)
    note_end(settings, "bad", is_proven=None, reason="HTTP 401\non GET /me", has_failed=True)
    good, bad = read_nights(settings.data_dir)
    assert (good.outcome, good.is_proven, good.reason) == ("done", True, None)
    assert (bad.outcome, bad.is_proven, bad.reason) == ("failed", None, "HTTP 401 on GET /me")
    assert bad.finished_at is not None and bad.started_at <= bad.finished_at
    assert (settings.data_dir / record.FILE).stat().st_mode & 0o077 == 0


def test_a_line_that_a_crash_has_torn_costs_no_other(settings: Settings) -> None:
    note_start(settings, "first", COMMAND)
    with (settings.data_dir / record.FILE).open("a") as file:
        file.write('{"event": "ended", "run_id": "fir')
    note_start(settings, "second", COMMAND)
    note_end(settings, "second", is_proven=True, reason=None, has_failed=False)
    assert [(night.run_id, night.outcome) for night in read_nights(settings.data_dir)] == [
        ("first", None),
        ("second", "done"),
    ]


def test_the_record_does_not_grow_for_ever(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "KEPT", 10)
    for number in range(30):
        note_start(settings, str(number), COMMAND)
        note_end(settings, str(number), is_proven=True, reason=None, has_failed=False)
    kept = read_nights(settings.data_dir)
    assert 5 <= len(kept) <= 10
    assert kept[-1].run_id == "29"


def test_a_night_without_an_end_runs_where_its_process_has_the_lock_and_was_killed_otherwise(
    settings: Settings,
) -> None:
    note_start(settings, "r", COMMAND)
    entries = read_nights(settings.data_dir)
    other = Holder(os.getppid(), platform.node(), NOW.isoformat(), "sync")
    assert [night.status for night in last_nights(entries, [], me(), 5)] == ["running"]
    for holder in (None, other):
        (night,) = last_nights(entries, [], holder, 5)
        assert (night.status, night.has_failed, night.facts(NOW)["duration_s"]) == ("killed", True, None)
    (night,) = last_nights(entries, [run("r", "FAILURE")], None, 5)
    assert night.status == "killed", "Dagster only knows that it is gone"
    (night,) = last_nights(entries, [run("r", "FAILURE")], me(), 5)
    assert (night.status, night.reason) == ("failed", "Dagster has ended the run; its process is still there")


def test_a_night_that_was_failed_while_its_process_was_stopped_is_recorded_once(settings: Settings) -> None:
    note_start(settings, "r", COMMAND)
    for reason in ("no sign of life", "later"):
        note_failure(settings, "r", reason)
        note_failure(settings, "another job's", reason)
    (night,) = read_nights(settings.data_dir)
    assert (night.run_id, night.outcome, night.reason) == ("r", "failed", "no sign of life")


def test_runs_that_never_came_to_our_code_are_told_too() -> None:
    runs = [
        run("a", "FAILURE"),
        run("b", "CANCELED"),
        run("c", "STARTED"),
        run("d", "STARTED", is_dead=True),
        run("e", "QUEUED"),
        run("f", "SUCCESS"),
    ]
    found = {night.run_id: (night.status, night.is_proven) for night in last_nights([], runs, None, 9)}
    assert found == {
        "a": ("failed", None),
        "b": ("failed", None),
        "c": ("waiting", None),
        "d": ("killed", None),
        "f": ("done", None),
    }


def test_the_newest_come_first_and_only_so_many(settings: Settings) -> None:
    for number in range(7):
        note_start(settings, str(number), COMMAND)
        note_end(settings, str(number), is_proven=number % 2 == 0, reason=None, has_failed=False)
    found = last_nights(read_nights(settings.data_dir), [], None, 5)
    assert [night.run_id for night in found] == ["6", "5", "4", "3", "2"]
    assert [night.verdict for night in found[:2]] == ["done and proven", "done, not proven"]


def test_a_night_that_cannot_even_begin_is_on_record_and_one_that_is_refused_is_not(settings: Settings) -> None:
    """Postgres is down at 02:00: nothing of Dagster's knows that a night was to be."""
    with pytest.raises(WarehouseBusy), failure_to_start_noted(settings):
        raise WarehouseBusy("Another run has the data directory: sync. Nothing was touched.")
    assert read_nights(settings.data_dir) == []
    with pytest.raises(DebituraError), failure_to_start_noted(settings):
        raise DebituraError("Postgres cannot be reached.")
    with pytest.raises(ZeroDivisionError), failure_to_start_noted(settings):
        raise ZeroDivisionError("a row of Jane Doe's")
    known, unknown = read_nights(settings.data_dir)
    assert (known.outcome, known.reason) == ("failed", "Postgres cannot be reached.")
    assert unknown.reason == "ZeroDivisionError before the first step"


def test_dagsters_runs_are_read_as_dagster_tells_them(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Read with SQL and without loading Dagster: this holds the two together."""
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    if engine == "postgresql":
        database: Database = request.getfixturevalue("postgres")
        env["DAGSTER_POSTGRES_URL"] = database.url
    settings = load_settings(env)
    assert read_runs(settings, datetime.now(UTC)) == ([], []), "no instance, and none is made"
    assert not settings.dagster_home.exists()
    with open_instance(settings) as instance:
        failed = instance.create_run_for_job(nightly_job)
        instance.report_run_failed(failed, "gone")
        alive = instance.create_run_for_job(nightly_job, status=dg.DagsterRunStatus.STARTED)
        run_locks(instance).hold(alive.run_id)
        instance.create_run_for_job(part_of_nightly_job, status=dg.DagsterRunStatus.SUCCESS)
        dead = instance.create_run_for_job(onboarding_job, status=dg.DagsterRunStatus.STARTED)
        queued = instance.create_run_for_job(onboarding_job)
        now = datetime.now(UTC)
        nights, unfinished = read_runs(settings, now)
        run_locks(instance).release_run(alive.run_id)
    assert [(night.run_id, night.status, night.is_dead) for night in nights] == [
        (alive.run_id, "STARTED", False),
        (failed.run_id, "FAILURE", False),
    ]
    assert nights[1].finished_at is not None and abs(now - nights[1].finished_at) < timedelta(minutes=1)
    assert {one.run_id: (one.job, one.status, one.is_dead) for one in unfinished} == {
        alive.run_id: ("nightly", "STARTED", False),
        dead.run_id: ("onboarding", "STARTED", True),
        queued.run_id: ("onboarding", "NOT_STARTED", False),
    }


def test_a_storage_that_cannot_be_read_is_one_line(settings: Settings) -> None:
    file = settings.dagster_home / "history" / "runs.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database" * 500)
    with pytest.raises(DebituraError, match="cannot be read: file is not a database"):
        read_runs(settings, NOW)


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
def test_damaged_storage_of_dagsters_is_the_reason_of_a_night_and_named_by_doctor(tmp_path: Path, name: str) -> None:
    """And its advice helps: without that file, the next run starts."""
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path)})
    with open_instance(settings):
        pass
    file = settings.dagster_home / name
    file.write_bytes(b"overwritten" * 1000)
    with pytest.raises(Exception, match="not a database"), failure_to_start_noted(settings), open_instance(settings):
        pass
    (night,) = read_nights(settings.data_dir)
    assert night.reason == "Dagster's storage in DAGSTER_HOME cannot be used: file is not a database"
    found = [one for one in dagster.examine(settings) if not one.is_ok]
    assert [one.seen for one in found] == [f"{file} cannot be read: file is not a database."]
    assert f"move {file} away" in found[0].cure
    file.unlink()
    with open_instance(settings) as instance:
        assert instance.get_run_records() == []
    assert all(one.is_ok for one in dagster.examine(settings))


def test_reason_of_a_night_does_not_quote_sqlite_where_it_may_quote_values() -> None:
    assert storable_reason(sqlite3.IntegrityError("a value of a row")) == "IntegrityError before the first step"
