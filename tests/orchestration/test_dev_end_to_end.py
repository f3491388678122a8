"""The real thing: web server, daemon, code server and sandbox, and a client that is found with no hand stirred."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import dagster as dg
import psycopg
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.interrupts import INTERRUPTED
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.orchestration.instance import open_instance
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.supervision.programs import free_port
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.run_lock import exclusive_run
from tests.orchestration.conftest import Pointed
from tests.support.command import debitura
from tests.support.day import of_the_day
from tests.support.postgres import Database
from tests.support.sandbox import ROOT, RunningSandbox

T = TypeVar("T")
PATIENCE_S = 240  # it takes a minute on an idle machine
STOP_S = 10


@contextmanager
def dev(port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`debitura dev` as a user starts it, in a group of its own; whatever is left of it at the end is killed."""
    command = [sys.executable, "-m", "debitura_pipeline.supervision.dev", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(10)


def wait_for(what: str, look: Callable[[], T | None], process: subprocess.Popen[bytes], log: Path) -> T:
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        found = look()
        if found:
            return found
        assert process.poll() is None, f"it ended by itself:\n{log.read_text()[-4000:]}"
        time.sleep(1)
    raise AssertionError(f"no {what} within {PATIENCE_S} s:\n{log.read_text()[-4000:]}\n{told_by_dagster()}")


def told_by_dagster() -> str:
    """The newest ticks, runs and messages of the instance in the environment, for a test that waited in vain."""
    lines = []
    with open_instance(load_settings()) as instance:
        for state in instance.all_instigator_state():
            lines += [
                f"{state.name}: {tick.status}, {tick.tick_data.skip_reason}, {tick.tick_data.error}"
                for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=3)
            ]
        for record in instance.get_run_records(limit=3):
            run = record.dagster_run
            lines.append(f"{run.job_name} {run.run_id}: {run.status}")
            for entry in instance.all_logs(run.run_id)[-10:]:
                event = entry.dagster_event
                told = entry.user_message or (f"{event.event_type_value}: {event.message}" if event else "")
                lines.append(f"  {told[:2000]}")
    return "\n".join(lines)


def states(settings: Settings) -> dict[str, str]:
    try:
        with open_warehouse(settings, read_only=True) as warehouse:
            return dict(warehouse.rows("SELECT partition_key, state FROM ops.onboarding"))
    except WarehouseError:  # not there yet
        return {}


def says_for_whom_it_waits(settings: Settings) -> bool:
    """Whether a run of the daemon's has said in its log that it waits for ours."""
    with open_instance(settings) as instance:
        for record in instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
            told = [entry.user_message for entry in instance.all_logs(record.dagster_run.run_id)]
            if any(
                "Waiting for another run" in line and f"a run by hand, process {os.getpid()}" in line for line in told
            ):
                return True
    return False


def kill_child(pid: int, command: str) -> None:
    import psutil

    next(child for child in psutil.Process(pid).children() if command in " ".join(child.cmdline())).kill()


def descendants(pid: int) -> set[int]:
    """Living processes of the session that `pid` leads or that its children lead."""
    import psutil

    try:
        return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    except psutil.NoSuchProcess:
        return set()


@pytest.fixture(params=of_the_day(["files", "postgres"]))  # a minute each
def instance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database | None:
    """Where Dagster keeps runs, events and schedules: in its home, or in a database."""
    if request.param == "files":
        return None
    database: Database = request.getfixturevalue("postgres")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", database.url)
    return database


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_client_added_while_dev_runs_is_found_and_loaded_and_nothing_is_left_running(
    sandbox_factory: Callable[..., RunningSandbox], point_at: Pointed, tmp_path: Path, instance: Database | None
) -> None:
    """What `make dev` promises; without it every new client waits for somebody to press a button."""
    import psutil

    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    settings, port, log = point_at(sandbox), free_port(), tmp_path / "dev.log"

    def page() -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return None

    with ExitStack() as stack:
        by_hand = stack.enter_context(ExitStack())
        by_hand.enter_context(exclusive_run(settings, "a run by hand"))  # before any run of the daemon's can start
        process = stack.enter_context(dev(port, log))
        wait_for("web page", page, process, log)
        second = debitura("dev", env={**os.environ, "DEBITURA_DATA_DIR": str(settings.data_dir)})
        assert second.status == 1
        assert f"has the data directory {settings.data_dir}: dev, process {process.pid} on host" in second.error_line
        wait_for("run that waits", lambda: says_for_whom_it_waits(settings), process, log)
        by_hand.close()
        if instance is None:  # what restarts it knows nothing of where Dagster keeps its runs
            kill_child(process.pid, "api grpc")  # nobody stirs a hand for that either
            killed = r"The code server .* was killed \(SIGKILL\)"
            wait_for("word of it", lambda: re.search(killed, log.read_text()), process, log)
        added = sandbox.admin("clients", {"tenant": "acme/ø 1@x", "cases": 3, "transactions": 4})
        key = ClientRef("acme/ø 1@x", added["creditorId"]).key
        wait_for("loaded client", lambda: states(settings).get(key) == "loaded", process, log)
        with open_warehouse(settings, read_only=True) as warehouse:
            tenant = ("acme/ø 1@x",)
            (cases,) = warehouse.rows("SELECT count(*) FROM raw.cases WHERE external_tenant_id = $1", tenant)[0]
            (paid,) = warehouse.rows("SELECT count(*) FROM raw.transactions WHERE external_tenant_id = $1", tenant)[0]
        assert (cases, paid) == (3, 4)
        family = descendants(process.pid)
        assert len(family) > 2
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_S) == INTERRUPTED
        assert not [pid for pid in family if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]

    told = log.read_text()
    assert " - DEBUG - " not in told
    assert " - INFO - " not in told
    assert f"http://127.0.0.1:{port}" in told
    assert sandbox.key not in told
    if instance is not None:
        with psycopg.connect(instance.url) as connection:
            finished = connection.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'").fetchone()
        assert finished is not None and finished[0] > 0
        assert not list(settings.dagster_home.rglob("*.db"))
    for path in settings.dagster_home.rglob("*"):
        if path.is_file():
            assert sandbox.key.encode() not in path.read_bytes(), path
