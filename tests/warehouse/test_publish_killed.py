"""Publishing that is killed, at every write and at any moment: readers have one whole night, and the next run mends the rest."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.publish import publish
from tests.support.day import day, engine_of_the_day, of_the_day
from tests.support.sandbox import ROOT
from tests.warehouse.folders import NAMES, fill, marks, nights, shown

FEWEST_WRITES, MOST_WRITES = 17, 100
RANDOM_KILLS = 5

Try = Callable[[str, float], str]


@pytest.fixture
def attempt(env: dict[str, str]) -> Iterator[Try]:
    """One try at publishing in a process of its own; its exit status, or what it said."""
    command = [sys.executable, "-m", "tests.warehouse.publisher"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def one(how: str, number: float) -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(f"{how} {number}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        yield one
        process.stdin.close()  # type: ignore[union-attr]


def make_plain(folder: Path) -> None:
    """The layout before there were nights: files in place of links."""
    for path in folder.iterdir():
        if path.is_file() and path.is_symlink():
            content = path.resolve()
            path.unlink()
            shutil.copyfile(content, path)
    (folder / "reports.duckdb").unlink()
    (folder / "current").unlink()
    shutil.rmtree(folder / "nights")


def after_kill(settings: Settings, before: set[int], mark: int) -> None:
    """Old or new, whole; then the next run publishes and leaves nothing behind."""
    folder = settings.published_dir
    found = marks(folder) if folder.exists() else set()
    assert found in (before, {mark})
    if found == {mark}:
        assert shown(folder) == NAMES
    publish(settings)
    assert marks(folder) == {mark} and shown(folder) == NAMES
    assert all(name[0] == "2" for name in nights(folder)) and len(nights(folder)) <= 3
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


# Each fourth write where nights stand already, from another one on each day. Other layouts differ at the end alone, Postgres at
# the beginning: fewer writes of theirs, and not every day.
@pytest.mark.parametrize(
    ("engine", "layout", "step"),
    [
        ("duckdb", "nights", 4),
        *of_the_day([("duckdb", "plain", 5), ("postgresql", "nights", 7), ("duckdb", "nothing", 5)]),
    ],
)
def test_killed_at_every_write(settings: Settings, attempt: Try, layout: str, step: int) -> None:
    fill(settings, 0)
    publish(settings)
    first = 1 + day() // 3 % step  # those of one layout in three come each third day
    for mark in range(first, MOST_WRITES, step):
        before = marks(settings.published_dir)
        if layout == "plain":
            make_plain(settings.published_dir)
        if layout == "nothing":
            before = set()
            shutil.rmtree(settings.published_dir, ignore_errors=True)
        fill(settings, mark)
        status = attempt("at", mark)
        if status == "0":
            assert mark > FEWEST_WRITES, "the writes were not seen"
            return
        assert status == str(-signal.SIGKILL)
        after_kill(settings, before, mark)
    pytest.fail("never came to an end")


@engine_of_the_day("duckdb")
def test_killed_at_random_moments(settings: Settings, attempt: Try) -> None:
    moments = random.Random(20261127)
    fill(settings, 0, rows=20_000)
    publish(settings)
    for mark in range(1, RANDOM_KILLS):
        fill(settings, mark, rows=20_000)
        attempt("after", moments.uniform(0.01, 0.25))
        after_kill(settings, {mark - 1}, mark)


@pytest.mark.parametrize("most_bytes", of_the_day([100, 300_000, 20_000, 800_000], 2))
@engine_of_the_day("postgresql")
def test_full_disk_leaves_the_old_night_and_nothing_else(settings: Settings, attempt: Try, most_bytes: int) -> None:
    """A limit on the size of files stands for the disk: the write fails in the same places."""
    fill(settings, 1)
    publish(settings)
    before = nights(settings.published_dir)
    fill(settings, 2, rows=200_000)
    said = attempt("within", most_bytes)
    assert said.startswith("Publishing into ") and "Still published: the night" in said, said
    assert marks(settings.published_dir) == {1} and nights(settings.published_dir) == before
    assert not [path for path in settings.published_dir.iterdir() if path.name.startswith(".")]
    publish(settings)
    assert marks(settings.published_dir) == {2}
