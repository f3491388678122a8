"""Many rows of many clients gone at once: they are found by reading the listing again, and no row that moved is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mirror import assert_same_keys
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox
from tests.sync.test_moving_lists import EARLY, LATE, micros, row_change

CLIENTS, GONE = 320, 250


@pytest.fixture
def large() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=CLIENTS, cases=10, transactions=2, seed=11, no_rate_limit=True)
    yield running
    running.stop()


@pytest.mark.usefixtures("warehouse_env")
def test_many_clients_that_are_gone_are_found_by_reading_once_more(
    large: RunningSandbox, tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """Each was asked for alone, until the limit of requests was reached, in every night anew."""
    pipeline = Pipeline(tmp_path / "data", large, **warehouse_env)
    (first,) = pipeline.sync("clients")
    for row in range(GONE):
        large.admin("change", row_change("clients", "delete", row))
    left = len(large.truth("clients"))
    (second,) = pipeline.sync("clients", allow_shrink=True)
    assert (second.deleted, second.is_proven) == (first.inserted - left, True), second.message
    assert second.deleted > 200 and second.requests < 20
    assert len(pipeline.records("clients")) == left


@pytest.fixture
def purged(tmp_path: Path) -> Iterator[tuple[RunningSandbox, Pipeline, set[str]]]:
    """A purge by age takes a case of nearly every client after the first sync: sandbox, pipeline, and keys of these cases."""
    sandbox = start_sandbox(clients=300, cases=3_000, transactions=2, seed=12, no_rate_limit=True)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    keys = {key for (key,) in pipeline.rows("SELECT min(case_id) FROM raw.cases GROUP BY creditor_id")[:280]}
    numbers = {case["id"]: number for number, case in enumerate(sandbox.truth("cases"))}
    for key in keys:
        sandbox.admin("change", row_change("cases", "delete", numbers[key]))
    yield sandbox, pipeline, keys
    sandbox.stop()


def test_rows_of_many_clients_that_are_gone_are_found_by_reading_once_more(
    purged: tuple[RunningSandbox, Pipeline, set[str]],
) -> None:
    _, pipeline, keys = purged
    assert len(keys) > 220
    (report,) = pipeline.sync("cases", full=True, allow_shrink=True)
    assert (report.deleted, report.is_proven) == (len(keys), True), report.message
    assert_same_keys(pipeline, "cases")


@pytest.mark.parametrize("rule", [{"nth": 9}, {"nth": 30}, {"nth": 45}, {"times": 0}], ids=str)
def test_rows_that_move_beside_a_purge_are_not_taken_for_deleted(
    purged: tuple[RunningSandbox, Pipeline, set[str]], rule: dict[str, int]
) -> None:
    """Once to a stretch that was read already; and with every request, so that no two readings agree."""
    sandbox, pipeline, _ = purged
    alive = {case["id"] for case in sandbox.truth("cases")}
    ends = micros(EARLY), micros(LATE)
    if "times" in rule:
        moves = [row_change("cases", "move", row, at=ends[row % 2] + row) for row in range(2_999, 2_399, -1)]
        sandbox.faults(
            *({"kind": "change", "path": "/cases", "nth": nth, "change": move} for nth, move in enumerate(moves, 2))
        )
    else:
        sandbox.faults(
            {
                "kind": "change",
                "path": "/cases",
                **rule,
                "change": row_change("cases", "move", 2_000, at=ends[rule["nth"] % 2]),
            }
        )
    (report,) = pipeline.sync("cases", full=True, allow_shrink=True)
    sandbox.faults()
    left = set(pipeline.records("cases"))
    assert alive <= left, "a row that was there throughout"
    assert left == alive or not report.is_proven
    pipeline.sync("cases", full=True, allow_shrink=True)
    assert_same_keys(pipeline, "cases")
