"""The day of this test run: what takes long and has several sides shows some of them each day, and all in a few days.

All processes of a run agree on it, also around midnight: the first one leaves it in the environment of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import pytest

ENGINES = ("duckdb", "postgresql")
VARIABLE = "TEST_DAY"  # days since the year 1; set by hand to play another day's tests, or those of all days
ALL = "all"

T = TypeVar("T")


def is_every_day() -> bool:
    """Whether this run shows all sides: `make sweeps`."""
    return os.environ.get(VARIABLE) == ALL


def day() -> int:
    """The number of the day."""
    today = str(datetime.now(UTC).toordinal())
    told = os.environ.setdefault(VARIABLE, today)
    return int(today if told == ALL else told)


def of_the_day(sides: Sequence[T], days: int | None = None) -> list[T]:
    """Some of them, as a list for `parametrize`; over `days` all. Without `days`: one each day."""
    if is_every_day():
        return list(sides)
    every = days or len(sides)
    return list(sides[day() % every :: every])


def engine_of_the_day(first: str) -> pytest.MarkDecorator:
    """The test on one engine a day, the other the next: for deaths and faults that are the same on both but for the SQL. `first`:
    that of even days, so that not all such tests take the same one."""
    others = [engine for engine in ENGINES if engine != first]
    return pytest.mark.parametrize("engine", of_the_day([first, *others]), indirect=True)
