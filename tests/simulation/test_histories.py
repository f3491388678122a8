"""Thousands of histories, each of its own: whatever happens between two requests, the warehouse keeps its promises.

The promises, and the one excuse, are in `judge.py`; `make simulate SEEDS=20000` plays more of them.
"""

from __future__ import annotations

import pytest

from tests.simulation.history import Options
from tests.simulation.many import Result, play_many

HISTORIES = 2_000  # four to five minutes
PROCESSES = 2
# What is allowed for each sync; what is measured is printed with `-s` and stands some way below.
MOST_UNPROVEN, MOST_GIVEN_UP, MOST_MASKED = 0.005, 0.002, 0.05


@pytest.fixture(scope="module")
def result() -> Result:
    return play_many(0, HISTORIES, PROCESSES)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_histories_keep_every_promise(result: Result) -> None:
    """No live row missing, no ghost, no value that never was, no false certificate; a failing seed says how to play it."""
    assert not result.failures, result.text()
    assert result.histories == HISTORIES


@pytest.mark.slow
def test_proof_fails_rarely_and_little_is_hidden(result: Result) -> None:
    """A sync that gave up at every move would keep every promise, too."""
    shares = {name: result.counts[name] / result.syncs for name in ("unproven", "nights given up", "masked")}
    print(result.text(), shares)  # noqa: T201 (the figures are the point of a run with -s)
    assert shares["unproven"] < MOST_UNPROVEN
    assert shares["nights given up"] < MOST_GIVEN_UP
    assert shares["masked"] < MOST_MASKED


@pytest.mark.slow
def test_the_histories_are_worth_playing(result: Result) -> None:
    """Both plans, moves within syncs, interrupted ones: in numbers, or the two tests above say little."""
    counts = result.counts
    assert counts["nightly syncs"] > HISTORIES
    assert counts["small syncs"] > HISTORIES // 4
    assert counts["moves during syncs"] > HISTORIES
    assert counts["allowance spent"] > HISTORIES // 100


def test_a_seed_decides_everything_beforehand() -> None:
    """Else the command that replays a failure would play something else."""
    assert Options.of(4711) == Options.of(4711)
    assert Options.of(4711) != Options.of(4712)
