"""The day of this test run: what takes long and has several sides shows one of them on even days, the other on odd ones.

All processes of a run agree on it, also around midnight: the first one leaves it in the environment of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

import pytest

ENGINES = ("duckdb", "postgresql")
VARIABLE = "TEST_DAY"  # days since the year 1; set by hand to play another day's tests

T = TypeVar("T")


def day() -> int:
    """The number of the day."""
    return int(os.environ.setdefault(VARIABLE, str(datetime.now(UTC).toordinal())))


def of_the_day(sides: Sequence[T]) -> list[T]:
    """One of them, as a list for `parametrize`; over as many days all."""
    return [sides[day() % len(sides)]]


def engine_of_the_day(first: str) -> pytest.MarkDecorator:
    """The test on one engine a day, the other the next: for deaths and faults that are the same on both but for the SQL. `first`:
    that of even days, so that not all such tests take the same one."""
    others = [engine for engine in ENGINES if engine != first]
    return pytest.mark.parametrize("engine", of_the_day([first, *others]), indirect=True)
