"""SIGKILL of the pipeline, or of the database server, at any moment of load and merge; then a rerun: the same warehouse
as if nothing had happened.
"""

from __future__ import annotations

import pickle
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from debitura_pipeline.settings import load_settings
from debitura_pipeline.warehouse.opening import open_warehouse
from tests.support.day import engine_of_the_day
from tests.support.postgres import PostgresServer
from tests.warehouse.landings import Landings
from tests.warehouse.merger import DONE, KILLED, REFUSED, Merger, kill
from tests.warehouse.nights import many_nights
from tests.warehouse.states import State, check_rules, state

KILLS = 4  # that strike while the merge is on
MOST_TRIES = 60
LATEST_S = 5.0  # of a strike; half of the merge is sooner on a quiet machine
ROWS = 700

Env = dict[str, str]


@pytest.fixture(scope="module")
def merger() -> Iterator[Merger]:
    with Merger() as started:
        yield started


@pytest.fixture
def nights(landings: Landings, tmp_path: Path) -> Path:
    path = tmp_path / "nights.pickle"
    path.write_bytes(pickle.dumps(many_nights(landings, rows=ROWS)))
    return path


@pytest.fixture
def new_env(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Env]]:
    """`new_env(name)`: the environment of a pipeline with a warehouse of its own."""
    opened = []

    def make(name: str) -> Env:
        env = {"DEBITURA_DATA_DIR": str(tmp_path / name)}
        if engine == "postgresql":
            opened.append(request.getfixturevalue("postgres_server").database())
            env["DEBITURA_WAREHOUSE"] = opened[-1].__enter__().url
        return env

    yield make
    for database in opened:
        database.__exit__(None, None, None)


def state_of(env: Mapping[str, str]) -> State:
    with open_warehouse(load_settings(env)) as warehouse:
        check_rules(warehouse)
        return state(warehouse)


@engine_of_the_day("duckdb")
def test_killed_merge_then_rerun_equals_an_undisturbed_run(
    merger: Merger, nights: Path, new_env: Callable[[str], Env]
) -> None:
    disturb(merger, nights, new_env, kill, KILLED)


@pytest.mark.parametrize("engine", ["postgresql"])
def test_killed_server_then_rerun_equals_an_undisturbed_run(
    merger: Merger, nights: Path, new_env: Callable[[str], Env], postgres_server: PostgresServer
) -> None:
    def strike(_: int) -> None:
        postgres_server.kill()
        postgres_server.start()

    for words in disturb(merger, nights, new_env, strike, REFUSED):
        assert "connection to Postgres was lost" in words, words


def disturb(
    merger: Merger, nights: Path, new_env: Callable[[str], Env], strike: Callable[[int], None], ends_as: int
) -> list[str]:
    """Strike until it has hit a merge KILLS times; what the merges said that were hit.

    A merge that was over first, or began afterwards, is compared, and the next strike is at one from the beginning: how
    fast the machine is at the moment decides nothing.
    """
    began = time.monotonic()
    quiet = new_env("quiet")
    assert merger.merge(quiet, nights) == (DONE, "")
    latest_s, expected = min((time.monotonic() - began) / 2, LATEST_S), state_of(quiet)
    disturbed, moments, said = new_env("disturbed"), random.Random(20260301), list[str]()
    for number in range(MOST_TRIES):
        status, words = merger.merge(disturbed, nights, moments.uniform(latest_s / 4, latest_s), strike)
        assert status in (ends_as, DONE), words
        if status == ends_as:
            said.append(words)
            if ends_as == KILLED:  # the server's death rolls back by itself
                with open_warehouse(load_settings(disturbed)) as warehouse:
                    check_rules(warehouse)
        else:
            assert state_of(disturbed) == expected
            disturbed = new_env(f"disturbed-{number}")
        if len(said) == KILLS:
            break
    assert len(said) == KILLS
    assert merger.merge(disturbed, nights) == (DONE, "")
    assert state_of(disturbed) == expected
    return said


@pytest.mark.parametrize("engine", ["duckdb"])
def test_what_a_killed_process_has_spilled_is_removed(env: Env) -> None:
    settings = load_settings(env)
    left = settings.data_dir / "tmp" / "duckdb-999999999-x"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x")
    with open_warehouse(settings):
        assert not left.exists()
