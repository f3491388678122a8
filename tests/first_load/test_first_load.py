"""The first load of a long listing, read together with workers: the result is that of a run that reads alone."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.extract.reader import ReadProgress
from debitura_pipeline.first_load import progress as progress_module
from debitura_pipeline.first_load.part_store import BEAT, WHOLE, PartStore, loads, open_part_objects
from debitura_pipeline.first_load.plan import NUMBERS_A_PART, LoadPlan
from debitura_pipeline.landing.landing_zone import SyncFolder, sync_folders
from debitura_pipeline.sync import replay, verify
from debitura_pipeline.sync.part import PartOutcome, read_part
from tests.support.command import start
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database
from tests.support.redis import monitored, redis_server
from tests.support.sandbox import RunningSandbox, start_sandbox

WITHIN_S = 60.0
READERS = "3"
PART_ROWS = 100
LATER = ("_first_seen_at", "_changed_at", "_verified_at", "_sync_id", "_valid_from")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=5, cases=400, transactions=800, seed=11, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def alone(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The same world, loaded by a run that reads alone."""
    pipeline = Pipeline(tmp_path_factory.mktemp("alone") / "data", sandbox)
    pipeline.sync()
    return pipeline


def test_load_shared_with_two_workers_equals_one_that_is_read_alone_though_a_worker_is_killed(
    sandbox: RunningSandbox, alone: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker reads a part when one of them is killed; the run reads that part and takes over the other one's."""
    monkeypatch.setattr(progress_module, "SILENT_S", 6.0)
    with redis_server(tmp_path) as redis:
        seen, listener = monitored(redis)
        pipeline = shared(tmp_path / "data", sandbox, DEBITURA_CELERY_BROKER=redis.url)
        workers = [start(["worker"], pipeline.env) for _ in range(2)]
        try:
            assert all("Taking runs" in line_of(worker) for worker in workers)
            meanwhile = once("transactions", lambda: kill_one_of_two(pipeline, workers))
            reports = pipeline.sync(part_rows=PART_ROWS, progress=meanwhile)
        finally:
            said = [end(worker) for worker in workers]
        redis.client.set("over", "over")
        listener.join(10)
        assert redis.client.llen("debitura") == 0
    assert sorted(worker.returncode for worker in workers) == [-signal.SIGKILL, 130]
    assert any("-transactions: " in out and " rows after" in out for out, _ in said), said
    assert [(report.is_proven, report.message) for report in reports] == [(True, None)] * 3
    assert_equal(pipeline, alone)
    assert len(readers_of(pipeline, "transactions")) >= 2
    folders = sync_folders(pipeline.settings.landing_dir, "transactions")
    openings = {window.opening for folder in folders if isinstance(folder, SyncFolder) for window in folder.windows}
    assert len(openings) == 1, "one opening for all readers, by which a run that goes on finds what has moved"
    assert None not in openings
    assert [finding.faults for finding in verify(pipeline.settings)] == [()] * 3
    assert not list((tmp_path / "data").glob("parts/**/*"))
    assert len([command for command in seen if "debitura.read_part" in command]) >= 2
    assert not [command for command in seen if sandbox.key in command or "caseId" in command]
    replay(pipeline.settings)
    assert pipeline.state() == alone.state()


def test_load_without_workers_is_read_by_the_run_and_not_by_one_with_other_settings(
    sandbox: RunningSandbox, alone: Pipeline, tmp_path: Path
) -> None:
    """A load never waits for a worker that there is not; rows with other pseudonyms would be merged among the rest."""
    outcomes: list[PartOutcome] = []
    with redis_server(tmp_path) as redis:
        pipeline = shared(tmp_path / "data", sandbox, DEBITURA_CELERY_BROKER=redis.url)
        other_key = shared(tmp_path / "data", sandbox, DEBITURA_PRIVACY_KEY="another key for tests only 01234")
        full = shared(tmp_path / "data", sandbox, DEBITURA_PRIVACY="full")

        def read_with_others() -> None:
            outcomes.extend(read(each, 1) for each in (other_key, full))
            other_api = replace(pipeline.settings, environment="test")
            outcomes.append(in_thread(lambda: read_part(other_api, pipeline.endpoint, plan_of(pipeline).load_id, 1)))

        reports = pipeline.sync(part_rows=PART_ROWS, progress=once("transactions", read_with_others))
        assert redis.client.llen("debitura") == 0, "no message is left"
    assert [outcome.status for outcome in outcomes] == ["given up"] * 3
    assert "privacy key" in str(outcomes[0].about)
    assert "differ from those of the loading run in: privacy" in str(outcomes[1].about)
    assert "holds the data of the sandbox API" in str(outcomes[2].about)
    assert [report.is_proven for report in reports] == [True] * 3
    assert_equal(pipeline, alone)
    assert min(readers_of(pipeline, "transactions")) > 3, "it was planned in parts, which the run has read"
    assert read_part(pipeline.settings, pipeline.endpoint, "20260101T000000000000-cases", 1).status == "left alone"


def test_interrupted_load_goes_on_with_the_parts_that_are_whole_on_another_machine(
    sandbox: RunningSandbox, alone: Pipeline, tmp_path: Path, postgres: Database
) -> None:
    """The run is interrupted after the other machine has read two parts; a file of one of those is damaged meanwhile."""
    store = tmp_path / "store"
    store.mkdir()
    common = {"DEBITURA_SHARED_STORE": f"file://{store}", "DEBITURA_WAREHOUSE": postgres.url}
    here, there = (shared(tmp_path / name, sandbox, **common) for name in ("here", "there"))

    def read_two_parts() -> None:
        assert [outcome.status for outcome in (read(there, 1), read(there, 2))] == ["whole", "whole"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here.sync("clients", "transactions", part_rows=PART_ROWS, progress=once("transactions", read_two_parts))
    assert read(there, 1).about == "another process reads it or has read it"
    damaged = next(store.glob("parts/*/1/*/1*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    assert [report.is_proven for report in there.sync(part_rows=PART_ROWS)] == [True] * 3
    assert 2 in readers_of(there, "transactions") and 1 not in readers_of(there, "transactions")
    assert_equal(there, alone)
    assert here.sync("transactions")[0].is_proven, "what was begun here is given up"


def shared(folder: Path, sandbox: RunningSandbox, **more: str) -> Pipeline:
    """A run that reads first loads with others; nobody listens at its broker's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    broker = {"DEBITURA_CELERY_BROKER": f"redis://127.0.0.1:{port}/0", "DEBITURA_FIRST_LOAD_READERS": READERS}
    return Pipeline(folder, sandbox, **{**broker, "DEBITURA_REQUESTS_PER_MINUTE": "1000000", **more})


def once(resource: str, act: Callable[[], Any]) -> Callable[[ReadProgress], None]:
    """Act when the run itself has landed its first window, while it waits: it would have read all before a worker begins."""
    done: list[bool] = []

    def progress(seen: ReadProgress) -> None:
        if seen.resource == resource and seen.windows and not done:
            done.append(True)
            act()

    return progress


def read(pipeline: Pipeline, number: int) -> PartOutcome:
    """Read a part as a worker's process does."""
    return in_thread(lambda: read_part(pipeline.settings, pipeline.endpoint, plan_of(pipeline).load_id, number))


def in_thread(call: Callable[[], PartOutcome]) -> PartOutcome:
    """The run's own thread has a loop already."""
    found: list[PartOutcome] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(WITHIN_S)
    return found[0]


def plan_of(pipeline: Pipeline) -> LoadPlan:
    (plan,) = loads(open_part_objects(pipeline.settings))
    return plan


def kill_one_of_two(pipeline: Pipeline, workers: list[Any]) -> None:
    """SIGKILL to a worker while both are in the middle of a part; then wait until the other one has read its."""
    pipeline.sandbox.faults({"kind": "slow", "path": "/reporting/transactions", "times": 0, "delay_s": 3})
    store = PartStore(open_part_objects(pipeline.settings), plan_of(pipeline).load_id)
    wait(lambda: sum(bool(part.having(BEAT)) for part in store.attempts().values()) == 2)
    workers[0].kill()
    pipeline.sandbox.faults()
    wait(lambda: any(part.having(WHOLE) for part in store.attempts().values()))


def wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def readers_of(pipeline: Pipeline, resource: str) -> set[int]:
    """The parts whose windows workers have read; a number above theirs: what the run has read itself."""
    (folder,) = [each for each in sync_folders(pipeline.settings.landing_dir, resource) if each.end is not None]
    assert isinstance(folder, SyncFolder) and folder.end is not None
    return {seq // NUMBERS_A_PART for seq in folder.end.windows}


def assert_equal(pipeline: Pipeline, alone: Pipeline) -> None:
    """Rows, versions and compared totals, but for when and by which sync they were read."""
    names = [name for name, rows in pipeline.state().items() if rows]
    assert {"transactions", "transactions_history"} <= set(names)
    for name in names:
        assert pipeline.table(name, without=LATER) == alone.table(name, without=LATER), name
    listed = [resource for resource in ("cases", "clients", "transactions") if resource in names]
    for each in listed:
        assert totals(pipeline, each) == totals(alone, each) != []


def totals(pipeline: Pipeline, resource: str) -> list[tuple[Any, ...]]:
    """The listing's totals as compared; those in clients' records are compared by whichever sync is the last."""
    return pipeline.rows(
        "SELECT check_name, bucket, unit, api_value, warehouse_value, verdict FROM ops.control_totals "
        "WHERE sync_id = (SELECT max(sync_id) FROM ops.syncs WHERE resource = $1 AND status = 'done') AND scope = 'all' "
        "ORDER BY 1, 2, 3",
        (resource,),
    )


def line_of(worker: Any) -> str:
    return str(worker.stdout.readline())


def end(worker: Any) -> tuple[str, str]:
    worker.send_signal(signal.SIGTERM)
    try:
        out, err = worker.communicate(timeout=20)
    finally:
        worker.kill()
    return out, err
