"""The day of this test run: what takes long and has several sides shows one of them on even days, the other on odd ones.

All processes of a run agree on it, also around midnight: the first one leaves it in the environment of the others.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

VARIABLE = "TEST_DAY"  # days since the year 1; set by hand to play another day's tests

T = TypeVar("T")


def day() -> int:
    """The number of the day."""
    return int(os.environ.setdefault(VARIABLE, str(datetime.now(UTC).toordinal())))


def of_the_day(sides: Sequence[T]) -> list[T]:
    """One of them, as a list for `parametrize`; over as many days all."""
    return [sides[day() % len(sides)]]
