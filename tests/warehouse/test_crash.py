"""SIGKILL at any moment of a merge, then a rerun: the same warehouse as if nothing had happened."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from debitura_pipeline.settings import Settings, load_settings
from debitura_pipeline.warehouse.base import LandedSync
from debitura_pipeline.warehouse.open import open_warehouse
from tests.warehouse.landings import Landings
from tests.warehouse.nights import many_nights
from tests.warehouse.states import State, check_rules, state

KILLS = 12

MERGER = """
    import pickle, sys
    from pathlib import Path
    from debitura_pipeline.settings import load_settings
    from debitura_pipeline.warehouse.open import open_warehouse
    nights = pickle.loads(Path(sys.argv[2]).read_bytes())
    settings = load_settings({"DEBITURA_DATA_DIR": sys.argv[1]})
    print("ready", flush=True)
    for landed in nights:
        with open_warehouse(settings) as warehouse:
            newest = warehouse.rows("SELECT count(*) FROM ops.syncs WHERE resource = $1 AND as_of > $2",
                (landed.resource, landed.at))[0][0]
            if not newest:
                warehouse.merge(landed, allow_shrink=True)
    print("done", flush=True)
"""


def merge_all(folder: Path, nights: Path, kill_after_s: float | None) -> bool:
    """Merge in a child process, killed after a while; True when it got to the end."""
    command = [sys.executable, "-c", textwrap.dedent(MERGER), str(folder), str(nights)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline() == "ready\n", child.stderr.read()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            child.kill()
        said, wrong = child.communicate(timeout=60)
    assert child.returncode in (0, -signal.SIGKILL), wrong
    return said == "done\n"


def state_of(settings: Settings) -> State:
    with open_warehouse(settings) as warehouse:
        check_rules(warehouse)
        return state(warehouse)


@pytest.fixture
def nights(landings: Landings, tmp_path: Path) -> tuple[list[LandedSync], Path]:
    found = many_nights(landings, rows=4_000)
    path = tmp_path / "nights.pickle"
    path.write_bytes(pickle.dumps(found))
    return found, path


def test_killed_merge_then_rerun_equals_an_undisturbed_run(
    tmp_path: Path, nights: tuple[list[LandedSync], Path]
) -> None:
    quiet = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "quiet")})
    started = time.monotonic()
    assert merge_all(quiet.data_dir, nights[1], None)
    whole_s = time.monotonic() - started
    expected = state_of(quiet)

    disturbed = load_settings({"DEBITURA_DATA_DIR": str(tmp_path / "disturbed")})
    moments = random.Random(20260301)
    killed = 0
    for _ in range(KILLS):
        killed += not merge_all(disturbed.data_dir, nights[1], moments.uniform(0, whole_s / 4))
        if (disturbed.data_dir / "warehouse.duckdb").exists():
            with open_warehouse(disturbed) as warehouse:
                check_rules(warehouse)
    assert merge_all(disturbed.data_dir, nights[1], None)
    assert killed > KILLS / 3
    assert state_of(disturbed) == expected


def test_what_a_killed_process_has_spilled_is_removed(settings: Settings) -> None:
    left = settings.data_dir / "tmp" / "duckdb-999999999-x"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x")
    with open_warehouse(settings):
        assert not left.exists()
