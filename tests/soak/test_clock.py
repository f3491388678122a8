"""The moved clock moves what programs are told of the time, and leaves alone how long they wait."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.soak.clock import ShiftedClock

PROGRAM = """
import sys, threading, time
from datetime import datetime
sys.stdout.write(f"{datetime.now().timestamp()} {time.time()}\\n")
threading.Event().wait(0.2)
time.sleep(0.2)
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to make the library")
def test_the_moved_clock_is_what_programs_see_and_not_how_long_they_wait(tmp_path: Path) -> None:
    clock = ShiftedClock(tmp_path)
    clock.move_to(datetime.now(UTC) + timedelta(days=9))
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **clock.env}, capture_output=True, text=True, check=True
    )
    assert 0.4 <= time.monotonic() - began < 30
    for instant in map(float, told.stdout.split()):
        assert abs(instant - clock.now().timestamp()) < 60
