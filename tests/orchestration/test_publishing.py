"""Publishing in a process of its own: same result, same words, and it ends with the run that started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.orchestration.publishing import publish_apart
from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse import published_folder
from debitura_pipeline.warehouse.publish import publish
from tests.support.day import engine_of_the_day
from tests.support.sandbox import ROOT
from tests.warehouse.folders import NAMES, fill, marks, nights, shown

RUN = (
    "import os; from debitura_pipeline.settings import load_settings\n"
    "from debitura_pipeline.orchestration.publishing import publish_apart\n"
    "publish_apart(load_settings(os.environ))"
)


@pytest.fixture
def env(tmp_path: Path, warehouse_env: dict[str, str]) -> dict[str, str]:
    return {"DEBITURA_DATA_DIR": str(tmp_path / "data"), **warehouse_env}


@pytest.fixture
def settings(env: dict[str, str]) -> Settings:
    return load_settings(env)


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_gives_what_publishing_here_gives(settings: Settings) -> None:
    fill(settings, 1)
    result = publish_apart(settings)
    assert result.path == settings.published_dir / "warehouse.duckdb" and result.bytes > 0
    assert {path.name for path in result.parquet} == {"a.parquet", "b.parquet"}
    assert result.night == published_folder.current_night(settings.published_dir)
    assert marks(settings.published_dir) == {1} and shown(settings.published_dir) == NAMES


def test_its_errors_arrive_in_the_same_words(settings: Settings) -> None:
    with pytest.raises(WarehouseError, match="debitura nightly"):
        publish_apart(settings)
    fill(settings, 1)
    shutil.rmtree(settings.published_dir, ignore_errors=True)
    settings.published_dir.touch()
    with pytest.raises(WarehouseError, match=r"failed: File exists\. Nothing is published yet\.$"):
        publish_apart(settings)


def test_a_process_that_was_killed_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the system when memory is short."""
    killer = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", killer], **options))
    with pytest.raises(WarehouseError, match=r"Publishing ended by signal 9\. Nothing is published yet\."):
        publish_apart(settings)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
@engine_of_the_day("duckdb")
def test_it_ends_with_the_run_and_the_next_one_publishes(
    settings: Settings, env: dict[str, str], ending: signal.Signals
) -> None:
    fill(settings, 1)
    publish(settings)
    fill(settings, 2, rows=400_000)
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, env={**os.environ, **env}, stderr=-1) as run:
        eventually(lambda: list(settings.published_dir.glob(f"nights/{published_folder.DRAFT}*")))
        children = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(ending)
        run.wait(30)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    assert marks(settings.published_dir) in ({1}, {2}), (
        "one night, whole; the new one if the signal came at its very end"
    )
    if ending == signal.SIGINT:
        assert all(name[0] == "2" for name in nights(settings.published_dir)), "its draft is gone"
    publish(settings)
    assert marks(settings.published_dir) == {2}
    assert all(name[0] == "2" for name in nights(settings.published_dir))


def test_two_do_not_write_at_once(settings: Settings) -> None:
    folder = settings.published_dir
    message = "Another process has been writing to"
    with published_folder.exclusive_writer(folder), pytest.raises(WarehouseError, match=message):  # noqa: SIM117
        with published_folder.exclusive_writer(folder, wait_s=0.1):
            pytest.fail("both were let in")
