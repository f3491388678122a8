"""SIGINT and SIGTERM end a command within ten seconds, wherever it is, with status 130, one line and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from debitura_pipeline.interrupts import INTERRUPTED, MESSAGE
from tests.support.command import debitura, environment, start
from tests.support.day import of_the_day
from tests.support.parsed import reuse_parse
from tests.support.pipeline import Pipeline
from tests.support.sandbox import ROOT, RunningSandbox
from tests.support.truth import expected

WITHIN_S = 10


def interrupted(
    process: subprocess.Popen[str], number: signal.Signals, times: int = 1, *, warned_before: bool = False
) -> None:
    """Send the signal; the process ends in time, says its line, and leaves none of its own behind."""
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    for again in range(times):
        time.sleep(0.3 * bool(again))
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < WITHIN_S
    assert process.returncode == INTERRUPTED, out + err
    assert (err.splitlines()[-1:] if warned_before else [err.removesuffix("\n")]) == [MESSAGE]
    assert "Traceback" not in out
    _, alive = psutil.wait_procs(family, timeout=1)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def read_until(process: subprocess.Popen[str], sign: str) -> None:
    assert process.stdout is not None
    assert any(sign in line for line in process.stdout), f"it never said {sign}"


def stalled(sandbox: RunningSandbox, path: str) -> None:
    sandbox.faults({"kind": "stall", "path": path, "times": 0, "delay_s": 600})


@pytest.mark.parametrize(("delay_s", "number"), [(0.1, signal.SIGINT), (0.5, signal.SIGTERM), (1.5, signal.SIGINT)])
def test_a_sync_is_interrupted_at_any_moment(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, number: signal.Signals, delay_s: float
) -> None:
    """Embedded sandbox and imports included; before Python itself is up there is nobody to say the line."""
    del sandbox_factory
    process = start(
        ["sync"],
        {"DEBITURA_DATA_DIR": str(tmp_path / "data")},
        before="import debitura_pipeline.interrupts as i; i.from_start(); print('up', flush=True)",
    )
    read_until(process, "up")
    time.sleep(delay_s)
    interrupted(process, number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "number", "place"),
    of_the_day(
        [
            ("duckdb", signal.SIGINT, "dbt"),
            ("duckdb", signal.SIGTERM, "reading"),  # the same on both engines
            ("postgresql", signal.SIGTERM, "dbt"),
        ]
    ),
    indirect=["engine"],
)
def test_a_nightly_is_interrupted_in_its_steps(
    sandbox_factory: Callable[..., RunningSandbox],
    tmp_path: Path,
    warehouse_env: dict[str, str],
    number: signal.Signals,
    place: str,
) -> None:
    """While it waits for rows, or while dbt builds; then the same command goes on from there."""
    sandbox = sandbox_factory(clients=2, cases=30, transactions=60)
    pipeline = Pipeline(tmp_path / "data", sandbox, **warehouse_env)
    reuse_parse(pipeline.settings)
    if place == "reading":
        stalled(sandbox, "/cases")
    process = start(["nightly"], pipeline.env)
    if place == "reading":
        read_until(process, "done   raw/clients ")
        time.sleep(1)
    else:
        read_until(process, "done   checks_of_transactions")
        while not any("dbt" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children()):
            time.sleep(0.05)
    interrupted(process, number)
    sandbox.faults()
    said = debitura("nightly", env=pipeline.env)
    assert said.status == 0, said.err
    for resource in ("clients", "cases", "transactions"):
        rows = expected(resource, sandbox.truth(resource), pipeline.settings.obtain_privacy_key())
        assert pipeline.records(resource) == rows


WAITS = """
import time
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
def slow(self, *arguments, **options):
    print("replaying", flush=True)
    time.sleep(600)
DuckDbWarehouse.replay = slow
"""
IGNORES = """
import time
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
def ignoring(self, *arguments, **options):
    print("replaying", flush=True)
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            pass
DuckDbWarehouse.replay = ignoring
"""


@pytest.mark.parametrize(
    ("before", "number", "times"),
    [(WAITS, signal.SIGTERM, 1), (IGNORES, signal.SIGINT, 1), (IGNORES, signal.SIGTERM, 2)],
    ids=["waits", "ignores", "ignores and a second signal"],
)
def test_a_replay_is_interrupted_also_where_the_signal_is_ignored(
    tmp_path: Path, before: str, number: signal.Signals, times: int
) -> None:
    process = start(["replay"], {"DEBITURA_DATA_DIR": str(tmp_path / "data")}, before)
    read_until(process, "replaying")
    began = time.monotonic()
    interrupted(process, number, times)
    if times > 1:
        assert time.monotonic() - began < 3, "a second signal ends it at once"


HAS_THE_POOL = """
    import sys
    import dagster as dg
    from debitura_pipeline.orchestration import instance as room
    from debitura_pipeline.settings import load_settings
    with room.open_instance(load_settings()) as instance:
        @dg.job
        def other(): pass
        run = instance.create_run_for_job(other, status=dg.DagsterRunStatus.STARTED)
        room.mark_run(instance, run.run_id)
        assert instance.event_log_storage.claim_concurrency_slot("warehouse", run.run_id, "step").is_claimed
        print("claimed", flush=True)
        sys.stdin.read()
"""


@contextmanager
def pool_taken(pipeline: Pipeline) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HAS_THE_POOL)],
        cwd=ROOT,
        env=environment(pipeline.env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        read_until(process, "claimed")
        try:
            yield process
        finally:
            process.kill()


def test_a_run_that_waits_for_a_pool_says_for_whom_is_interrupted_and_goes_on_when_the_holder_was_killed(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """It waited for ever, without a word, and only SIGKILL ended it."""
    pipeline = Pipeline(tmp_path / "data", sandbox_factory(clients=1, cases=10, transactions=10))
    with pool_taken(pipeline) as holder:
        for number in (signal.SIGTERM, None):
            process = start(["nightly"], pipeline.env)
            read_until(process, f"(other, process {holder.pid} on host {os.uname().nodename}) has it")
            if number is not None:
                interrupted(process, number)
        holder.kill()
        read_until(process, "done   raw/clients ")
        interrupted(process, signal.SIGINT)


QUICK_TRIES = "import debitura_pipeline.api.client as c; c.FIRST_BACKOFF_S = 0.001"


def test_a_night_that_waits_for_the_api_is_interrupted(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(clients=1, cases=10, transactions=10)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("clients")
    sandbox.stop()
    process = start(["nightly"], pipeline.env, QUICK_TRIES)
    read_until(process, "The API has not answered since")
    interrupted(process, signal.SIGTERM, warned_before=True)
