"""The dashboards in their own environment: pages in a process, or served to a browser.

Belongs here: starting, waiting, the environment. Does not: assertions.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.command import environment
from tests.support.sandbox import ROOT

PYTHON = ROOT / ".venv-bi" / "bin" / "python"
DRIVER = Path(__file__).with_name("drive.py")
START_S = 60
PAGES = ("overview", "revenue", "pipeline", "attribution", "recovery", "onboarding", "quality")


def show(data_dir: Path, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    """What the pages show, a step each (see `drive.py`)."""
    done = subprocess.run(
        [PYTHON, DRIVER], input=json.dumps(steps), capture_output=True, text=True, timeout=300, check=False,
        env=_environment(data_dir), cwd=data_dir,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    shown: list[dict[str, Any]] = json.loads(done.stdout)
    return shown


@contextmanager
def served(data_dir: Path) -> Iterator[str]:
    """The address of the served dashboards."""
    process = subprocess.Popen(
        [PYTHON, "-m", "bi"],
        env=_environment(data_dir),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        _wait_for(f"{url}/_stcore/health")
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _wait_for(url: str) -> None:
    give_up_at = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < give_up_at, f"{url} does not answer"
        time.sleep(0.1)


def _environment(data_dir: Path) -> dict[str, str]:
    assert PYTHON.exists(), "`make test` sets up .venv-bi, which this test needs"
    return environment({"DEBITURA_DATA_DIR": str(data_dir)})
