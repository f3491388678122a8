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
from tests.support.postgres import PostgresServer
from tests.warehouse.landings import Landings
from tests.warehouse.merger import DONE, KILLED, REFUSED, Nursery, kill
from tests.warehouse.nights import many_nights
from tests.warehouse.states import State, check_rules, state

KILLS = 20
ROWS = 700

Env = dict[str, str]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as started:
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


def test_killed_merge_then_rerun_equals_an_undisturbed_run(
    nursery: Nursery, nights: Path, new_env: Callable[[str], Env]
) -> None:
    began = time.monotonic()
    quiet = new_env("quiet")
    assert nursery.merge(quiet, nights) == (DONE, "")
    whole_s, expected = time.monotonic() - began, state_of(quiet)
    disturbed, moments, ends = new_env("disturbed"), random.Random(20260301), []
    for _ in range(KILLS):
        status, words = nursery.merge(disturbed, nights, moments.uniform(0, whole_s / 4), kill)
        assert status in (KILLED, DONE), words
        ends.append(status)
        with open_warehouse(load_settings(disturbed)) as warehouse:
            check_rules(warehouse)
    assert nursery.merge(disturbed, nights) == (DONE, "")
    assert ends.count(KILLED) > KILLS / 3
    assert state_of(disturbed) == expected


@pytest.mark.parametrize("engine", ["postgresql"])
def test_killed_server_then_rerun_equals_an_undisturbed_run(
    nursery: Nursery, nights: Path, new_env: Callable[[str], Env], postgres_server: PostgresServer
) -> None:
    began = time.monotonic()
    quiet = new_env("quiet")
    assert nursery.merge(quiet, nights) == (DONE, "")
    whole_s, expected = time.monotonic() - began, state_of(quiet)
    disturbed, moments, ends = new_env("disturbed"), random.Random(20260302), []

    def strike(_: int) -> None:
        postgres_server.kill()
        postgres_server.start()

    for _ in range(KILLS):
        status, words = nursery.merge(disturbed, nights, moments.uniform(whole_s / 8, whole_s / 2), strike)
        assert status in (REFUSED, DONE), words
        assert status == DONE or "connection to Postgres was lost" in words, words
        ends.append(status)
    assert nursery.merge(disturbed, nights) == (DONE, "")
    assert ends.count(REFUSED) > KILLS / 3  # the others came after the merge had ended
    assert state_of(disturbed) == expected


@pytest.mark.parametrize("engine", ["duckdb"])
def test_what_a_killed_process_has_spilled_is_removed(env: Env) -> None:
    settings = load_settings(env)
    left = settings.data_dir / "tmp" / "duckdb-999999999-x"
    left.mkdir(parents=True)
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x")
    with open_warehouse(settings):
        assert not left.exists()
