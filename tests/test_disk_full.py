"""A disk that is full in the middle of a night is one line with the folder and the cure, and no harm once there is room."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import debitura
from tests.support.day import of_the_day
from tests.support.parsed import reuse_parse
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.truth import expected

# Fills the disk when the step has ended, as another program would.
FILLED_AFTER = """
from pathlib import Path
import debitura_pipeline.cli.nightly as night
tell = night._print_step
def filling(step):
    tell(step)
    if (step.name, step.state) == ("{step}", "done"):
        for size in (2**20, 2**12, 1):
            try:
                with Path("{filler}").open("ab", buffering=0) as file:
                    while file.write(bytes(size)) == size:
                        pass
            except OSError:
                pass
night._print_step = filling
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=112m", "none", str(place)], check=False).returncode:
        pytest.skip("mounting a disk of its own takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a disk of its own takes root")
def test_a_disk_that_is_full_is_one_line(disk: Path, sandbox_factory: Callable[..., RunningSandbox]) -> None:
    """In the middle of reading, or between dbt and the report; the next night is whole."""
    sandbox = sandbox_factory(clients=2, cases=30, transactions=60)
    pipeline = Pipeline(disk / "data", sandbox)
    reuse_parse(pipeline.settings)
    filler = disk / "filler"
    for step in of_the_day(["raw__clients", "dbt_build"]):
        said = debitura("nightly", env=pipeline.env, before=FILLED_AFTER.format(step=step, filler=filler))
        assert said.status == 1, said.out
        assert str(disk / "data") in said.error_line
        assert (
            re.search("What is landed stays|Landed data is kept", said.error_line)
            or "The nightly run failed: " in said.error_line
        )
        assert "Traceback" not in said.out
        filler.unlink()
    again = debitura("nightly", env=pipeline.env)
    assert again.status == 0, again.err
    for resource in ("clients", "cases", "transactions"):
        key = pipeline.settings.obtain_privacy_key()
        assert pipeline.records(resource) == expected(resource, sandbox.truth(resource), key)
