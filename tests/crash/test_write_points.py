"""SIGKILL at write points of sync and replay, on both engines; then a night at once, one a day later, `replay`.

A few points a day, by the date; `python -m tests.crash` takes them all, and random moments besides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.crash.nights import Case, NewEnv, Nights, prepared
from tests.support.day import ENGINES, day, of_the_day
from tests.support.postgres import PostgresServer

# Each some 3 s on a quiet machine. The other engine's turn with `sync` and `replay` is the next day.
SYNCS, SYNCS_OF_THE_OTHER, REPLAYS_OF_THE_OTHER = 2, 1, 1


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    with prepared(tmp_path_factory.mktemp("crash")) as made:
        yield made


@pytest.fixture(scope="module")
def new_env(postgres_server: PostgresServer) -> Iterator[Callable[[str], NewEnv]]:
    """By engine: the setting that puts a warehouse on it, an empty database each time."""
    opened = []

    def database() -> dict[str, str]:
        opened.append(postgres_server.database())
        return {"DEBITURA_WAREHOUSE": opened[-1].__enter__().url}

    yield lambda engine: database if engine == "postgresql" else dict
    for one in opened:
        one.__exit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_write_point_nothing_is_lost_and_nothing_stale_is_used(
    three_nights: Nights, new_env: Callable[[str], NewEnv]
) -> None:
    """A row of a night that was read and never merged, or yesterday's reading in place of tonight's, would show here."""
    today = date.fromordinal(day())
    chance = random.Random(today.toordinal())
    killed = []
    (first, *_), other = of_the_day(ENGINES), of_the_day(ENGINES[::-1])[0]
    for engine, command, wanted in (
        (first, "sync", SYNCS),
        (other, "sync", SYNCS_OF_THE_OTHER),
        (other, "replay", REPLAYS_OF_THE_OTHER),
    ):
        points = three_nights.points(command, new_env(engine))
        for number, point in enumerate(sorted(chance.sample(range(1, points), wanted))):
            case = Case(command, point, later=bool((number + today.toordinal() // 2) % 2))
            print(f"{today}, {engine}: {case} of {points}")  # noqa: T201 (pytest shows it when the test fails)
            killed.append((case, three_nights.kill(case, new_env(engine))))
    for case, pipeline in killed:
        if not case.later:
            three_nights.check(case, pipeline)
    three_nights.next_day()
    for case, pipeline in killed:
        if case.later:
            three_nights.check(case, pipeline)


def test_the_points_are_those_that_write(three_nights: Nights, tmp_path: Path) -> None:
    """Few of them would mean that the places to watch have moved, and that nothing is killed any more."""
    assert three_nights.points("sync", dict) > 60
    assert three_nights.points("replay", dict) > 60
