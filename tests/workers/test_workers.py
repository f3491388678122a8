"""Runs on a queue: a real Redis, a real worker, and what is said where one of them is missing."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.reconstruct import reconstructable
from dagster._core.launcher import LaunchRunContext

from debitura_pipeline.doctor import workers as doctor
from debitura_pipeline.errors import SettingsError
from debitura_pipeline.orchestration import instance as instances
from debitura_pipeline.orchestration.home import QUEUE_TAG
from debitura_pipeline.orchestration.instance import end_dead_runs, open_instance
from debitura_pipeline.orchestration.liveness import run_locks
from debitura_pipeline.orchestration.runs import PROCESS_TAG
from debitura_pipeline.settings import Settings, load_settings, load_work_queue
from debitura_pipeline.work_queue.app import VISIBLE_AGAIN_S, make_app
from debitura_pipeline.work_queue.broker import CONNECT_S, LOOK_S, PAUSE_S, PUT_WITHIN_S
from debitura_pipeline.workers.execute import execute_once
from debitura_pipeline.workers.launcher import QueueLauncher
from debitura_pipeline.workers.waiting import UNHEARD_FOR, Looks, look_after
from tests.support.command import debitura, start
from tests.support.redis import PASSWORD, RedisServer, monitored, redis_server
from tests.workers.jobs import noting

KEY = "key-of-partner-77aa01"
STARTING = dg.DagsterRunStatus.STARTING


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings of this process, and of those that it starts; nothing listens at the broker's address."""
    values = {
        "DEBITURA_DATA_DIR": str(tmp_path / "data"),
        "DEBITURA_API_URL": "http://127.0.0.1:9",
        "DEBITURA_API_KEY": KEY,
        "DEBITURA_CELERY_BROKER": f"redis://:{PASSWORD}@127.0.0.1:{_closed_port()}/0",
        "NOTES": str(tmp_path / "notes"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def redis(tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A server, and the settings that name it."""
    with redis_server(tmp_path) as server:
        monkeypatch.setenv("DEBITURA_CELERY_BROKER", server.url)
        env["DEBITURA_CELERY_BROKER"] = server.url
        yield server


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look for a worker instead of looks for twenty seconds."""
    monkeypatch.setattr(QueueLauncher, "put_within_s", 0.0)


@pytest.fixture
def instance(env: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    with open_instance(load_settings()) as opened:
        yield opened


def new_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus = STARTING, tags: dict[str, str] | None = None
) -> dg.DagsterRun:
    origin = reconstructable(noting).get_python_origin()
    return instance.create_run_for_job(noting, status=status, tags=tags, job_code_origin=origin)


def launch(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Launch as the daemon does; the message with which the run failed, if it did."""
    instance.run_launcher.launch_run(LaunchRunContext(run, None))
    found = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    return " ".join(str(record.event_log_entry.get_dagster_event().message) for record in found)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


def test_a_run_without_a_worker_fails_within_half_a_minute_and_names_the_queue(
    redis: RedisServer, instance: dg.DagsterInstance, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Dagster's own Celery launcher such a run waits for ever."""
    message = launch(instance, new_run(instance))
    assert "No worker listens on queue debitura" in message
    assert "debitura worker" in message
    monkeypatch.setenv("DEBITURA_CELERY_QUEUE", "large")
    run = new_run(instance)
    assert "debitura worker --queue large" in launch(instance, run)
    assert status(instance, run) == "FAILURE"
    assert redis.client.llen("debitura") == redis.client.llen("large") == 0
    assert PUT_WITHIN_S + PAUSE_S + LOOK_S + CONNECT_S * 2 < 30
    monkeypatch.setenv("DEBITURA_CELERY_BROKER", redis.url.replace(PASSWORD, "guessed-1234"))
    refused = launch(instance, new_run(instance))
    assert "refuses the password" in refused
    assert "guessed-1234" not in refused
    monkeypatch.setenv("DEBITURA_CELERY_BROKER", redis.url)
    (_, listening) = doctor.examine(load_settings())
    assert (listening.is_ok, "queue large" in listening.seen) == (False, True)


def test_an_unreachable_broker_is_one_line_without_its_password(
    env: dict[str, str], instance: dg.DagsterInstance, at_once: None
) -> None:
    message = launch(instance, new_run(instance))
    said = debitura("worker", env=env)
    (diagnosis,) = doctor.examine(load_settings())
    for line in (message, said.error_line, f"{diagnosis.seen} {diagnosis.cure}"):
        assert "which keeps queue debitura, cannot be used (no connection)" in line
        assert "DEBITURA_CELERY_BROKER" in line
        assert PASSWORD not in line
        assert "\n" not in line
    assert said.status == 1
    assert PUT_WITHIN_S + PAUSE_S + CONNECT_S * 2 < 30  # to connect, and to log in


def test_a_worker_executes_a_run_once_however_often_its_message_comes(
    redis: RedisServer, env: dict[str, str], instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The run's first message is lost, as by a Redis that was restarted without its data; then it is delivered twice."""
    seen, listener = monitored(redis)
    worker = start(["worker"], env)
    try:
        assert worker.stdout is not None
        greeting = worker.stdout.readline()
        assert "queue debitura" in greeting and "one at a time" in greeting
        run, queue = new_run(instance, tags={QUEUE_TAG: "debitura"}), load_work_queue()
        assert queue is not None
        later = datetime.now(UTC) + timedelta(minutes=2)
        found, lines = look_after(instance, queue, Looks(), later)
        assert (found, lines) == (Looks(missing=[run.run_id]), [])
        assert look_after(instance, queue, found, later) == (Looks(), [f"{run.run_id[:8]} put on queue debitura again"])
        first = worker.stdout.readline()
        assert launch(instance, run) == ""
        second = worker.stdout.readline()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 130
    finally:
        worker.kill()
        _, errors = worker.communicate()
    assert f"Run {run.run_id[:8]} (noting): success" in first, errors
    assert "is left alone: it is success already" in second
    (line,) = (tmp_path / "notes").read_text().splitlines()
    assert line.split()[1:] == ["DEBITURA_API_KEY"], "a run has no broker"
    assert line.split()[0] != str(worker.pid)
    assert (redis.client.llen("debitura"), redis.client.hlen("unacked")) == (0, 0)
    redis.client.set("over", "over")
    listener.join(10)
    assert any(run.run_id in command for command in seen)
    for secret in (KEY, PASSWORD):
        assert not any(secret in command for command in seen)
        assert secret not in greeting + first + second + errors


def test_messages_are_kept_and_acknowledged_late(env: dict[str, str]) -> None:
    queue = load_work_queue()
    assert queue is not None
    conf = make_app(queue.broker).conf
    assert conf.task_acks_late and conf.task_reject_on_worker_lost and conf.task_ignore_result
    assert (conf.worker_prefetch_multiplier, conf.accept_content, conf.result_backend) == (1, ["json"], None)
    assert conf.broker_transport_options["visibility_timeout"] == VISIBLE_AGAIN_S > 86_400 + 172_800


def test_what_another_process_executes_is_left_alone_and_what_none_does_is_canceled_at_once(
    instance: dg.DagsterInstance,
) -> None:
    """Also in the seconds before that process has said so: the lock decides."""
    run = new_run(instance)
    locks = run_locks(instance)
    child = os.fork()
    if child == 0:
        run_locks(instance).hold(run.run_id)
        signal.pause()
    try:
        while locks.dead({run.run_id}):
            time.sleep(0.02)
        outcome = execute_once(instance, run.run_id)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert outcome.about == "another process executes it"
    assert (status(instance, run), execute_once(instance, "unheard-of").status) == ("STARTING", "unknown")
    waiting, going = new_run(instance), new_run(instance, dg.DagsterRunStatus.STARTED)
    run_locks(instance).hold(going.run_id)
    assert instance.run_launcher.terminate(waiting.run_id)
    assert instance.run_launcher.terminate(going.run_id)
    assert (status(instance, waiting), status(instance, going)) == ("CANCELED", "CANCELING")
    assert not instance.run_launcher.terminate(waiting.run_id)
    health = instance.run_launcher.check_run_worker_health
    assert (health(going).status.value, health(waiting).status.value) == ("RUNNING", "FAILED")
    assert PROCESS_TAG not in going.tags


def test_a_run_that_waits_for_a_worker_is_not_taken_for_dead(
    redis: RedisServer, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have failed after ten minutes with all workers busy. Without any worker it fails after two."""
    monkeypatch.setattr(instances, "STARTS_WITHIN", timedelta(seconds=-60))
    waiting, lost = new_run(instance, tags={QUEUE_TAG: "debitura"}), new_run(instance)
    assert end_dead_runs(instance) == [lost.run_id]
    queue = load_work_queue()
    assert queue is not None
    now = datetime.now(UTC) + timedelta(minutes=2)
    found, lines = look_after(instance, queue, Looks(), now)
    assert (list(found.unheard), lines, status(instance, waiting)) == (["debitura"], [], "STARTING")
    assert look_after(instance, queue, found, now + UNHEARD_FOR)[1] == [f"{waiting.run_id[:8]} failed"]
    assert status(instance, waiting) == "FAILURE"


def test_the_instance_uses_the_queue_only_where_there_is_one(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def launcher(settings: Settings) -> Any:
        with open_instance(settings):
            return yaml.safe_load((settings.dagster_home / "dagster.yaml").read_text()).get("run_launcher")

    module = "debitura_pipeline.workers.launcher"
    assert launcher(load_settings()) == {"module": module, "class": "QueueLauncher"}
    monkeypatch.delenv("DEBITURA_CELERY_BROKER")
    assert launcher(load_settings()) is None
    assert load_work_queue() is None


@pytest.mark.parametrize(
    "wrong", ["http://host", "redis://", "redis://host:0", "redis://:pw-5@host:x", "redis://:pw-5@h/name"]
)
def test_an_address_that_is_none_is_refused_without_being_shown(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("DEBITURA_CELERY_BROKER", wrong)
    with pytest.raises(SettingsError, match="DEBITURA_CELERY_BROKER") as raised:
        load_work_queue()
    assert "pw-5" not in str(raised.value)


def test_without_celery_commands_work_and_a_worker_says_what_to_install(env: dict[str, str]) -> None:
    without = "import sys; sys.modules.update(dict.fromkeys(['celery', 'kombu', 'redis']))"
    said = debitura("worker", env=env, before=without)
    assert (said.status, "make celery" in said.error_line) == (1, True)
    assert debitura("status", env=env, before=without).status == 0


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
