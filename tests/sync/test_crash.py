"""SIGKILL at any moment of a sync, then the same command again: the warehouse of an undisturbed run, nothing read twice."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.extract import calendar_parts
from debitura_pipeline.landing.landing_zone import SyncFolder, sync_folders
from debitura_pipeline.sync import replay, verify
from tests.support.command import debitura, start
from tests.support.day import engine_of_the_day, of_the_day
from tests.support.killed import SMALL_WINDOWS, at_line, in_merge
from tests.support.mirror import assert_mirrors
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

WINDOW_ROWS = 60
WINDOWS = SMALL_WINDOWS.format(rows=WINDOW_ROWS)
AFTER_COMMIT = 10_000


@dataclass(frozen=True)
class Second:
    """The second night, about to begin: the data directory after the first, and how an undisturbed run of it ends."""

    sandbox: RunningSandbox
    first_night: Path
    state: dict[str, list[tuple[Any, ...]]]
    requests: int


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """Two nights apart, so that the merge has rows to insert, to change and to mark deleted."""
    folder = tmp_path_factory.mktemp("nights")
    sandbox = start_sandbox(clients=6, cases=320, transactions=300, seed=3, no_rate_limit=True)
    Pipeline(folder / "first", sandbox).sync()
    sandbox.admin("advance", {"days": 3})
    sandbox.admin("change", {"op": "row", "resource": "cases", "action": "delete", "row": 9})
    shutil.copytree(folder / "first", folder / "undisturbed")
    undisturbed = Pipeline(folder / "undisturbed", sandbox)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calendar_parts, "MAX_WINDOW_ROWS", WINDOW_ROWS)
        reports = {report.resource: report for report in undisturbed.sync()}
    assert min(getattr(reports["cases"], name) for name in ("inserted", "changed", "deleted")) > 0
    assert reports["cases"].windows > 8
    yield Second(sandbox, folder / "first", undisturbed.state(), reports["cases"].requests)
    sandbox.stop()


@pytest.fixture
def engine() -> str:
    """Reading is the same on both engines; what writes the warehouse asks for both."""
    return "duckdb"


@pytest.fixture
def pipeline(second: Second, tmp_path: Path, warehouse_env: dict[str, str]) -> Pipeline:
    shutil.copytree(second.first_night, tmp_path / "data")
    pipeline = Pipeline(tmp_path / "data", second.sandbox, **warehouse_env)
    if warehouse_env:
        replay(pipeline.settings)  # the first night, from its landed files
    return pipeline


def open_folder(pipeline: Pipeline, resource: str = "cases") -> SyncFolder:
    (found,) = [folder for folder in sync_folders(pipeline.settings.landing_dir, resource) if folder.is_open]
    return found


def rerun(pipeline: Pipeline, second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", WINDOW_ROWS)
    pipeline.sync()
    assert pipeline.state() == second.state
    assert not [finding for finding in verify(pipeline.settings) if finding.faults]
    assert not [folder for folder in sync_folders(pipeline.settings.landing_dir) if not folder.is_merged]


@pytest.mark.parametrize(("count", "when"), of_the_day([(4, "before"), (12, "halfway"), (13, "after")]), ids=str)
def test_killed_while_reading_it_goes_on_from_the_landed_windows(
    second: Second, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, count: int, when: str
) -> None:
    """`before`: the file is there, its line is not; `halfway`: the journal ends in half a line."""
    assert (
        debitura("sync", env=pipeline.env, before=WINDOWS + at_line("window", count, when=when)).status
        == -signal.SIGKILL
    )
    interrupted = open_folder(pipeline)
    landed = interrupted.windows
    assert len(landed) == count - (when != "after")
    second.sandbox.admin("log", method="DELETE")
    rerun(pipeline, second, monkeypatch)
    resumed = SyncFolder.load(interrupted.path)
    assert resumed.is_merged, "the same sync, not another one"
    assert resumed.windows[: len(landed)] == landed
    names = [line.name for line in resumed.windows]
    assert len(names) == len(set(names)), "no window was read twice"
    # The first page, by which the list is parted, is asked for again, and it fills the first windows by itself.
    assert second.sandbox.log()["GET /cases"] <= second.requests - (4 if count > 10 else 0)


def test_killed_between_reading_and_merging_a_rerun_merges_that_as_of_its_time_and_reads_again(
    second: Second, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for its own reading, it once passed for today's truth: proven, with whatever had changed since it was read."""
    assert debitura("sync", env=pipeline.env, before=WINDOWS + at_line("end")).status == -signal.SIGKILL
    killed = open_folder(pipeline)
    second.sandbox.admin("log", method="DELETE")
    rerun(pipeline, second, monkeypatch)
    assert second.sandbox.log()["GET /cases"] > 4, "the list was read"
    earlier, latest = pipeline.rows("SELECT sync_id, message FROM ops.syncs WHERE resource = 'cases' ORDER BY as_of")[
        -2:
    ]
    assert earlier[0] == killed.begin.sync_id and "merged by a later run" in earlier[1]
    assert latest[0] != killed.begin.sync_id and "merged by a later run" not in (latest[1] or "")


def test_killed_between_merge_and_journal_the_journal_follows_and_the_next_night_reads(
    second: Second, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for an interrupted reading, the merged one would be discarded, or stand in for a night."""
    killed = WINDOWS + at_line("merged", when="before")
    assert debitura("sync", env=pipeline.env, before=killed).status == -signal.SIGKILL
    merged = open_folder(pipeline)
    second.sandbox.admin("log", method="DELETE")
    rerun(pipeline, second, monkeypatch)
    assert SyncFolder.load(merged.path).is_merged
    assert second.sandbox.log()["GET /cases"] > 4, "the list was read"


@pytest.mark.parametrize(
    ("engine", "statement"),
    of_the_day([("duckdb", 9), ("duckdb", AFTER_COMMIT), ("postgresql", AFTER_COMMIT), ("postgresql", 9)], 2),
)
def test_killed_in_the_merge_all_of_it_happens_or_nothing(
    second: Second, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    before = pipeline.state()
    assert debitura("sync", env=pipeline.env, before=WINDOWS + in_merge(statement)).status == -signal.SIGKILL
    names = ("cases", "cases_history")
    whole = second.state if statement == AFTER_COMMIT else before
    assert {name: pipeline.state()[name] for name in names} == {name: whole[name] for name in names}
    rerun(pipeline, second, monkeypatch)


@engine_of_the_day("duckdb")
def test_killed_at_random_moments_again_and_again(
    second: Second, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a little later than the journal says that it began, until one run gets through by itself."""
    chance = random.Random(20260105)
    for _ in range(2):
        process = start(["sync"], pipeline.env, WINDOWS)
        known = progress(pipeline)
        while process.poll() is None and progress(pipeline) == known:
            ended_within(process, 0.005)
        if not ended_within(process, chance.uniform(0, 0.6)):
            process.kill()
        process.communicate(timeout=30)
    rerun(pipeline, second, monkeypatch)


def ended_within(process: subprocess.Popen[str], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def progress(pipeline: Pipeline) -> int:
    return sum(path.stat().st_size for path in pipeline.settings.landing_dir.rglob("journal.jsonl"))


def test_a_killed_first_night_ends_as_if_nothing_had_been(second: Second, tmp_path: Path) -> None:
    """And nothing of the broken start is left over: no draft, no orphan, and the replay gives the same."""
    pipeline = Pipeline(tmp_path / "data", second.sandbox)
    (tmp_path / "data").mkdir()
    killed = WINDOWS + at_line("window", 3, resource="transactions", when="halfway")
    assert debitura("sync", env=pipeline.env, before=killed).status == -signal.SIGKILL
    said = debitura("sync", env=pipeline.env, before=WINDOWS)
    assert said.status == 0, said.err
    assert_mirrors(pipeline)
    state = pipeline.state()
    replay(pipeline.settings)
    assert pipeline.state() == state
    left = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file() and path.name.startswith(".")]
    assert left == []
