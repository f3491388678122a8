"""Hundreds of histories, each of its own: whatever happens between two requests, the warehouse keeps its promises.

The promises, and the one excuse of a nightly plan, are in `judge.py`; `make simulate SEEDS=20000` plays more of them.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.simulation.many import Result, by_profile, play_many, seeds_of
from tests.simulation.options import FIRST_SHARED_SEED

# Seeds that once failed, each by another mechanism; and others, so that a quiet day is comparable with the one before.
LESSONS = (
    1002, 1022, 1050, 1112, 1131, 1151, 2001, 2040, 2051, 2090, 2092, 2136, 2160, 3036, 6042, 6111, 7287, 7376, 300479, 301505,
    302382, 303119, 500466, 1006069,
    739947000182,
)  # fmt: skip
FIXED = range(FIRST_SHARED_SEED, FIRST_SHARED_SEED + 100)
HISTORIES = 500
PROCESSES = 2
CALM = 0.03  # chance of moves before each answer; worlds more restless are played for the promises, and may be refused
# What is allowed for each sync; what is measured is printed with `-s`.
MOST_REFUSED, MOST_GIVEN_UP, MOST_MASKED, MOST_SLIPPED = 0.005, 0.03, 0.05, 0.004


@pytest.mark.slow
@pytest.mark.timeout(2_400)
def test_histories_keep_every_promise() -> None:
    """No live row missing, no ghost, no value that never was, no false certificate; a failing seed says how to play it.

    One test, so that the histories are played once, whatever the number of workers.
    """
    fixed = [*LESSONS, *FIXED]
    of_the_day = seeds_of(datetime.now(UTC).date(), HISTORIES - len(fixed))
    print(f"seeds of the day: {of_the_day}")  # noqa: T201 (so that a failure can be played again)
    result = play_many(by_profile([*fixed, *of_the_day], PROCESSES), PROCESSES)
    assert not result.failures, result.text()
    assert result.histories == HISTORIES
    few_are_refused_and_little_is_hidden(result)
    are_worth_playing(result)


def few_are_refused_and_little_is_hidden(result: Result) -> None:
    """A sync that gave up at every move would keep every promise, too."""
    shares = {name: result.counts[name] / result.syncs for name in ("nights given up", "masked", "slipped")}
    print(result.text(), shares)  # noqa: T201 (the figures are the point of a run with -s)
    assert result.refused(CALM) <= MOST_REFUSED, result.text()
    assert result.wrong <= MOST_REFUSED, result.text()
    assert shares["nights given up"] < MOST_GIVEN_UP
    assert shares["masked"] < MOST_MASKED
    assert shares["slipped"] < MOST_SLIPPED


def are_worth_playing(result: Result) -> None:
    """All plans, moves within syncs, deaths: in numbers, or the rest says little."""
    counts = result.counts
    assert counts["full syncs"] > HISTORIES
    assert counts["first nights shared"] > HISTORIES // 4
    assert counts["nightly syncs"] > HISTORIES // 2
    assert counts["small syncs"] > HISTORIES // 2
    assert counts["client syncs"] > HISTORIES // 50
    assert counts["moves during syncs"] > 2 * HISTORIES
    assert counts["deaths"] > HISTORIES // 10
    assert counts["deaths after the merge"] > 0
    assert counts["replays"] > HISTORIES // 20
