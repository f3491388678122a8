"""DAGSTER_HOME: made once, by whoever comes first; runs of dead processes do not stay on."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._daemon.types import DaemonHeartbeat

from debitura_pipeline.orchestration.home import (
    POSTGRES_TEMPLATE,
    ROOT_NAMES,
    TEMPLATE,
    InstanceError,
    for_partners,
    for_workers,
    process_mark,
    read_config,
)
from debitura_pipeline.orchestration.instance import end_dead_runs, mark_run, open_instance, prepare_home
from debitura_pipeline.orchestration.keys import POOLS, WAREHOUSE_POOL
from debitura_pipeline.orchestration.runs import PROCESS_TAG
from debitura_pipeline.settings import Settings, load_settings
from tests.support.command import environment
from tests.support.postgres import Database
from tests.support.sandbox import ROOT


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data")})


def test_the_home_is_private_and_telemetry_is_off(settings: Settings) -> None:
    home = prepare_home(settings)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "dagster.yaml").stat().st_mode) == 0o600
    with open_instance(settings) as instance:
        assert not instance.telemetry_enabled
        assert {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()} == dict.fromkeys(
            POOLS, 1
        )


def test_the_names_that_a_dagster_yaml_may_hold_are_dagsters() -> None:
    assert set(dagster_instance_config_schema()) == ROOT_NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("storage: [", "line 1: is not valid YAML"),
        ("- a", "not a mapping"),
        ("storrage: {}", "knows no setting storrage"),
        ("telemetry: 5", "Dagster rejects it: Value at path root:telemetry must be dict"),
    ],
)
def test_a_dagster_yaml_that_cannot_be_used_is_one_line(settings: Settings, text: str, words: str) -> None:
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_text(text)
    with pytest.raises(InstanceError, match=words) as refused:
        prepare_home(settings)
    assert str(settings.dagster_home / "dagster.yaml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_dagster_yaml_of_the_users_own_is_left_as_it_is(settings: Settings) -> None:
    settings.dagster_home.mkdir(parents=True)
    own = settings.dagster_home / "dagster.yaml"
    own.write_text("telemetry:\n  enabled: false\n# mine\n")
    prepare_home(settings)
    assert own.read_text().endswith("# mine\n")


ADDED_SINCE = (
    """\
run_retries:
  enabled: true
  max_retries: 0  # a run asks for more by its tag dagster/max_retries, as the scheduled night does (DEBITURA_RUN_RETRIES)
""",
    """\
  config:  # a run whose turn comes while the code server is being started again goes back into the queue
    max_user_code_failure_retries: 30
    user_code_failure_retry_delay: 10
""",
    """\
retention:  # in days; the sensor ticks every half minute
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      success: 90
""",
)


UTC_STORAGE = """\
  custom:
    module: debitura_pipeline.orchestration.postgres_storage
    class: UtcPostgresStorage
    config:
      postgres_url:
        env: DAGSTER_POSTGRES_URL
"""
STORAGE = """\
  postgres:
    postgres_url:
      env: DAGSTER_POSTGRES_URL
"""


def before_utc(today: str) -> str:
    """What was written before sessions were in UTC."""
    return today.replace(UTC_STORAGE, STORAGE)


def as_it_was(today: str) -> str:
    """What the first version wrote."""
    today = before_utc(today)
    for part in ADDED_SINCE:
        assert part in today
        today = today.replace(part, "")
    return today


@pytest.mark.parametrize("today", [TEMPLATE, POSTGRES_TEMPLATE.read_text()], ids=["files", "postgres"])
def test_what_an_earlier_version_wrote_is_replaced_by_todays_and_what_was_changed_is_not(
    settings: Settings, today: str
) -> None:
    """Homes are older than run_retries; without it no failed night is tried again."""
    settings.dagster_home.mkdir(parents=True)
    config = settings.dagster_home / "dagster.yaml"
    config.write_text(as_it_was(today))
    prepare_home(settings)
    assert config.read_text() == TEMPLATE
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    own = f"{as_it_was(TEMPLATE)}# mine\n"
    config.write_text(own)
    prepare_home(settings)
    assert config.read_text() == own


@pytest.mark.parametrize("has_workers", [False, True])
@pytest.mark.parametrize("serves_all", [False, True])
def test_storage_in_the_server_s_time_zone_is_replaced(
    settings: Settings, *, serves_all: bool, has_workers: bool
) -> None:
    today = POSTGRES_TEMPLATE.read_text()
    today = for_partners(today) if serves_all else today
    today = for_workers(today) if has_workers else today
    assert before_utc(today) != today
    settings.dagster_home.mkdir(parents=True)
    (settings.dagster_home / "dagster.yaml").write_text(before_utc(today))
    assert read_config(settings) is None, "not changed by hand"


def test_processes_that_open_a_fresh_home_at_once_do_not_break_each_other(settings: Settings) -> None:
    """SQLite tables made twice at once: one of the processes used to die."""
    room = "debitura_pipeline.orchestration.instance"
    code = f"from debitura_pipeline.settings import load_settings as load; import {room} as room; room.prepare_home(load())"
    env = {**os.environ, "DEBITURA_DATA_DIR": str(settings.data_dir), "DEBITURA_ENVIRONMENT": "sandbox"}
    env.pop("DAGSTER_HOME", None)
    started = [subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE) for _ in range(2)]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()


def a_run(instance: dg.DagsterInstance) -> str:
    @dg.job
    def empty() -> None:
        pass

    return instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED).run_id


def test_a_run_whose_process_was_killed_ends_as_failed_and_frees_its_pool(settings: Settings) -> None:
    """Its slot would otherwise keep every later night waiting for ever."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open_instance(settings) as instance:
        run_id = a_run(instance)
        mark = process_mark(sleeper.pid)
        assert mark is not None
        instance.add_run_tags(run_id, {PROCESS_TAG: mark})
        instance.event_log_storage.claim_concurrency_slot(WAREHOUSE_POOL, run_id, "step")
        assert end_dead_runs(instance) == []
        sleeper.send_signal(signal.SIGKILL)
        sleeper.wait()
        assert end_dead_runs(instance) == [run_id]
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
        assert instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count == 0
        assert end_dead_runs(instance) == []


def test_a_run_of_a_living_process_is_left_alone(settings: Settings) -> None:
    with open_instance(settings) as instance:
        ours, unmarked = a_run(instance), a_run(instance)
        mark_run(instance, ours)
        assert end_dead_runs(instance) == []
        assert instance.get_run_by_id(unmarked).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]


@pytest.fixture(params=["files", "postgres"])
def storage(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Where Dagster keeps runs and events: in its home, or in a database that machines may share."""
    if request.param == "files":
        return settings
    database: Database = request.getfixturevalue("postgres")
    return load_settings({"DEBITURA_DATA_DIR": str(settings.data_dir), "DAGSTER_POSTGRES_URL": database.url})


EXECUTING = """
    import sys
    import dagster as dg
    from debitura_pipeline.orchestration import home, instance as room
    from debitura_pipeline.settings import load_settings
    home.socket.gethostname = lambda: sys.argv[1]
    with room.open_instance(load_settings()) as instance:
        @dg.job
        def empty(): pass
        run = instance.create_run_for_job(empty, status=dg.DagsterRunStatus.STARTED)
        room.mark_run(instance, run.run_id)
        instance.event_log_storage.claim_concurrency_slot("warehouse", run.run_id, "step")
        print(run.run_id, flush=True)
        sys.stdin.read()
"""


def test_a_run_on_a_host_of_another_name_is_on_while_its_process_lives_and_no_longer(storage: Settings) -> None:
    """A container's next start has another host name: the slot of the killed one kept every later night waiting for ever."""
    values = {"DEBITURA_DATA_DIR": str(storage.data_dir)}
    if storage.dagster_postgres is not None:
        values["DAGSTER_POSTGRES_URL"] = storage.dagster_postgres.reveal()
    command = [sys.executable, "-c", textwrap.dedent(EXECUTING), "another-host"]
    other = subprocess.Popen(
        command, env=environment(values), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with other, open_instance(storage) as instance:
        assert other.stdout is not None
        run_id = other.stdout.readline().strip()
        tags = instance.get_run_by_id(run_id).tags  # type: ignore[union-attr]
        assert tags[PROCESS_TAG].startswith("another-host:")
        assert end_dead_runs(instance) == []
        other.kill()
        other.wait()
        assert end_dead_runs(instance) == [run_id]
        assert instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count == 0


def test_a_run_marked_by_a_host_that_holds_nothing_is_over(settings: Settings) -> None:
    with open_instance(settings) as instance:
        marked, unmarked, queued = a_run(instance), a_run(instance), a_run(instance)
        instance.add_run_tags(marked, {PROCESS_TAG: "another-host:1:1"})
        storage = instance.event_log_storage
        assert storage.claim_concurrency_slot(WAREHOUSE_POOL, unmarked, "step").is_claimed
        assert not storage.claim_concurrency_slot(WAREHOUSE_POOL, queued, "step").is_claimed
        assert end_dead_runs(instance) == sorted([marked, unmarked, queued])
        assert storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count == 0
        assert not storage.get_concurrency_run_ids()


def test_a_slot_of_a_run_that_has_ended_is_freed(settings: Settings) -> None:
    """Killed between its last event and the freeing, a run is over, and its slot taken."""
    with open_instance(settings) as instance:
        run_id = a_run(instance)
        instance.event_log_storage.claim_concurrency_slot(WAREHOUSE_POOL, run_id, "step")
        instance.report_run_failed(instance.get_run_by_id(run_id))  # type: ignore[arg-type]
        assert end_dead_runs(instance) == []
        assert instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL).active_slot_count == 0


def test_a_process_number_used_again_is_noticed() -> None:
    mine = process_mark()
    assert mine is not None
    assert mine.split(":")[1] == str(os.getpid())
    time.sleep(0.05)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert process_mark(other.pid) != mine.replace(f":{os.getpid()}:", f":{other.pid}:")
    finally:
        other.communicate(b"\n")
    assert process_mark(other.pid) is None


def test_on_postgres_nothing_of_the_instance_is_in_files_and_the_address_is_in_none(
    postgres: Database, tmp_path: Path
) -> None:
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DAGSTER_POSTGRES_URL": postgres.url})
    with open_instance(settings) as instance:
        run = instance.create_run_for_job(one_step)
        assert {limit.name for limit in instance.event_log_storage.get_pool_limits()} == set(POOLS)
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute(b"SELECT run_id FROM public.runs").fetchall() == [(run.run_id,)]
    files = [path for path in settings.dagster_home.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".db"]
    password = (urlsplit(postgres.url).password or "").encode()
    assert not [path for path in files if password in path.read_bytes()]
    assert "DAGSTER_POSTGRES_URL" not in os.environ


def test_instants_of_runs_and_daemons_are_right_whatever_the_server_s_time_zone_is(
    postgres: Database, tmp_path: Path
) -> None:
    """The tests' server has another. Hours off, a starting run was failed as a dead one, and a live daemon seemed stale."""
    settings = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "data"), "DAGSTER_POSTGRES_URL": postgres.url})
    with open_instance(settings) as instance:
        run_id = instance.create_run_for_job(one_step).run_id
        starting = dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, "one_step")
        instance.report_dagster_event(starting, run_id)
        now = datetime.now(UTC)
        instance.add_daemon_heartbeat(DaemonHeartbeat(now.timestamp(), "SENSOR", "one", None))
        record = instance.get_run_record_by_id(run_id)
        assert record is not None
        for at in (record.create_timestamp, record.update_timestamp):
            assert abs(at - now) < timedelta(minutes=5)
        assert end_dead_runs(instance) == []
    with psycopg.connect(postgres.url) as connection:
        (beat,) = connection.execute(b"SELECT timestamp FROM public.daemon_heartbeats").fetchone() or (None,)
    assert beat is not None and abs(beat.replace(tzinfo=UTC) - now) < timedelta(minutes=5)


def test_the_deployed_instance_is_the_usual_one_but_for_its_storage() -> None:
    deployed = yaml.safe_load(POSTGRES_TEMPLATE.read_text())
    assert deployed.pop("storage")["custom"]["config"] == {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}
    assert deployed == yaml.safe_load(TEMPLATE)


def test_a_file_changed_by_hand_is_left_and_one_that_leaves_postgres_out_is_named(tmp_path: Path) -> None:
    env = {"DEBITURA_DATA_DIR": str(tmp_path / "data")}
    config = prepare_home(load_settings(env)) / "dagster.yaml"
    config.write_text(config.read_text() + "# mine\n")
    with pytest.raises(InstanceError, match="changed by hand"):
        prepare_home(load_settings({**env, "DAGSTER_POSTGRES_URL": "postgresql://u:p@127.0.0.1:1/d"}))
    assert config.read_text().endswith("# mine\n")


@dg.op
def nothing() -> None: ...


@dg.job
def one_step() -> None:
    nothing()
