"""Lists that move while they are read: offset pages shift, and still no row is lost, none stays that is gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.errors import UnprovenError
from debitura_pipeline.extract import read
from debitura_pipeline.extract.windows import DAWN
from debitura_pipeline.landing.store import folders
from tests.support.mirror import assert_mirrors, assert_same_keys
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

PATHS = {"cases": "/cases", "transactions": "/reporting/transactions"}
EARLY, LATE = datetime(2023, 4, 2, 9, tzinfo=UTC), datetime(2025, 11, 20, 9, tzinfo=UTC)
ONE_LIST, SOME_PAGES_EACH, MANY_SMALL = 10_000, 330, 60


def micros(at: datetime) -> int:
    return int((at - DAWN).total_seconds()) * 1_000_000 + at.microsecond


def row_change(resource: str, action: str, row: int, **more: Any) -> dict[str, Any]:
    return {"op": "row", "resource": resource, "action": action, "row": row, **more}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=6, cases=650, transactions=800, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("resource", "largest"),
    [("cases", ONE_LIST), ("cases", MANY_SMALL), ("transactions", ONE_LIST), ("transactions", SOME_PAGES_EACH)],
)
def test_a_row_that_comes_goes_or_moves_meanwhile_is_neither_lost_nor_kept(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resource: str, largest: int
) -> None:
    """Each change pushes the rows behind it to another page: a plain reader skips one or sees one twice."""
    monkeypatch.setattr(read, "MAX_WINDOW_ROWS", largest)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    requests = pipeline.sync(resource)[0].requests
    chance = random.Random(f"{resource} {largest}")
    row = iter(chance.sample(range(600), 20))
    changes = [
        row_change(resource, "delete", next(row)),
        row_change(resource, "insert", next(row), at=micros(EARLY)),
        row_change(resource, "move", next(row), at=micros(EARLY)),
        row_change(resource, "move", next(row), at=micros(LATE)),
    ]
    for change in changes:
        moment = chance.randint(2, requests)
        sandbox.faults({"kind": "change", "path": PATHS[resource], "nth": moment, "change": change})
        reports = pipeline.sync(resource)
        sandbox.faults()
        assert not reports[0].message
        assert_same_keys(pipeline, resource)
    pipeline.sync(resource)
    assert_mirrors(pipeline, resource)


@pytest.mark.parametrize("largest", [ONE_LIST, MANY_SMALL])
def test_several_changes_of_one_kind_in_one_sync(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(read, "MAX_WINDOW_ROWS", largest)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    rules = [
        {"kind": "change", "path": "/cases", "nth": nth, "change": row_change("cases", "insert", nth, at=micros(EARLY))}
        for nth in (2, 4, 5, 7)
    ]
    sandbox.faults(*rules)
    pipeline.sync("cases")
    sandbox.faults()
    assert_mirrors(pipeline, "cases")


def test_a_list_whose_second_page_never_holds_still_is_read_by_smaller_windows(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(cases=260)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    restless = row_change("cases", "insert", 0, at=micros(EARLY))
    sandbox.faults({"kind": "change", "path": "/cases", "query": "&Page=2", "times": 0, "change": restless})
    pipeline.sync("cases")
    assert sandbox.log()["fault change"] >= read.MAX_ATTEMPTS
    assert_mirrors(pipeline, "cases")


def test_a_list_that_never_holds_still_is_refused_and_raw_is_as_it_was(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    sandbox = sandbox_factory(cases=260)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    before = pipeline.state()
    restless = row_change("cases", "insert", 0, at=micros(EARLY))
    sandbox.faults({"kind": "change", "path": "/cases", "times": 0, "change": restless})
    with pytest.raises(UnprovenError, match=r"Nothing of this sync reached the warehouse"):
        pipeline.sync("cases")
    assert pipeline.state() == before
    status, message = pipeline.rows("SELECT status, message FROM ops.syncs ORDER BY started_at DESC LIMIT 1")[0]
    assert status == "failed"
    assert "cases" in message
    sandbox.faults()
    pipeline.sync("cases")
    assert_mirrors(pipeline, "cases")


def test_rows_of_one_instant_in_no_fixed_order_are_read_by_smaller_windows(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """Equal instants change places from request to request; a page's edge inside them loses some and doubles others."""
    sandbox = sandbox_factory(cases=400, ties_shuffle=True)
    for row in range(60, 150):
        sandbox.admin("change", row_change("cases", "move", row, at=micros(LATE)))
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    assert_mirrors(pipeline, "cases")
    windows = [line for folder in folders(pipeline.settings.landing_dir) for line in folder.of("window")]
    assert len(windows) > 1, "one reading of the whole list must not have sufficed"


@pytest.mark.parametrize("resource", PATHS)
def test_a_deleted_row_is_marked_and_clear_again_when_it_comes_back(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, resource: str
) -> None:
    sandbox = sandbox_factory()
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync(resource)
    gone = sandbox.admin("change", row_change(resource, "delete", 5))["id"]
    key = {"cases": "case_id", "transactions": "transaction_id"}[resource]
    assert pipeline.sync(resource)[0].deleted == 1
    current = f"SELECT _deleted_at, _verified_at FROM raw.{resource} WHERE {key} = $1"
    versions = f"SELECT _valid_from, _valid_to, _deleted_at FROM raw.{resource}_history WHERE {key} = $1 ORDER BY 1"
    deleted_at, verified_at = pipeline.rows(current, (gone,))[0]
    assert deleted_at > verified_at, "seen last before it was missed"
    assert [row[1:] for row in pipeline.rows(versions, (gone,))] == [(deleted_at, deleted_at)]
    assert pipeline.sync(resource)[0].deleted == 0
    assert pipeline.rows(current, (gone,))[0] == (deleted_at, verified_at), "a deletion keeps its instant"
    sandbox.admin("change", row_change(resource, "restore", 5))
    pipeline.sync(resource)
    assert pipeline.rows(current, (gone,))[0][0] is None
    first, second = pipeline.rows(versions, (gone,))
    assert first[1] == deleted_at
    assert second[0] > deleted_at, "history shows the gap"
    assert second[1:] == (None, None)
    assert_mirrors(pipeline, resource)
