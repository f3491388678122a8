"""Lists that move while they are read: offset pages shift, and still no row is lost, none stays that is gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.extract import calendar_parts
from debitura_pipeline.extract.windows import EPOCH
from debitura_pipeline.landing.landing_zone import sync_folders
from tests.support.day import of_the_day
from tests.support.mirror import assert_mirrors, assert_same_keys
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

PATHS = {"cases": "/cases", "transactions": "/reporting/transactions"}
EARLY, LATE = datetime(2023, 4, 2, 9, tzinfo=UTC), datetime(2025, 11, 20, 9, tzinfo=UTC)
NEWEST = datetime(2026, 1, 5, 1, tzinfo=UTC)
ONE_LIST, SOME_PAGES_EACH, MANY_SMALL = 10_000, 330, 60


def micros(at: datetime) -> int:
    return int((at - EPOCH).total_seconds()) * 1_000_000 + at.microsecond


def row_change(resource: str, action: str, row: int, **more: Any) -> dict[str, Any]:
    return {"op": "row", "resource": resource, "action": action, "row": row, **more}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=6, cases=650, transactions=800, seed=5, no_rate_limit=True)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("resource", "largest"),
    of_the_day(
        [("cases", ONE_LIST), ("cases", MANY_SMALL), ("transactions", SOME_PAGES_EACH), ("transactions", ONE_LIST)], 2
    ),
)
def test_a_row_that_comes_goes_or_moves_meanwhile_is_neither_lost_nor_kept(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resource: str, largest: int
) -> None:
    """Each change pushes the rows behind it to another page: a plain reader skips one or sees one twice."""
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", largest)
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
        assert "read" not in (reports[0].message or ""), "all that moved was read again"
        assert_same_keys(pipeline, resource)
    pipeline.sync(resource)
    assert_mirrors(pipeline, resource)


@pytest.mark.parametrize("largest", of_the_day([MANY_SMALL, ONE_LIST]))
def test_several_changes_of_one_kind_in_one_sync(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", largest)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    rules = [
        {"kind": "change", "path": "/cases", "nth": nth, "change": row_change("cases", "insert", nth, at=micros(EARLY))}
        for nth in (2, 4, 5, 7)
    ]
    sandbox.faults(*rules)
    pipeline.sync("cases")
    sandbox.faults()
    assert_mirrors(pipeline, "cases")


def test_a_list_that_never_holds_still_is_merged_and_not_called_proven(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path
) -> None:
    """Rows that were there throughout are all there; that the totals never fitted is said, and the next night proves it."""
    sandbox = sandbox_factory(cases=260)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    before = set(pipeline.records("cases"))
    restless = row_change("cases", "insert", 0, at=micros(EARLY))
    sandbox.faults({"kind": "change", "path": "/cases", "times": 0, "change": restless})
    report = pipeline.sync("cases")[0]
    assert report.message is not None
    assert "after 5 reads" in report.message
    assert before <= set(pipeline.records("cases"))
    sandbox.faults()
    assert not pipeline.sync("cases")[0].message
    assert_mirrors(pipeline, "cases")


@pytest.mark.parametrize("resource", of_the_day(list(PATHS)))
def test_one_row_out_and_one_in_between_two_answers_loses_none(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, resource: str
) -> None:
    """Every count stays as it was, and by page numbers a row in the middle would never be shown."""
    sandbox = sandbox_factory(cases=350, transactions=350)
    pipeline = Pipeline(tmp_path / "data", sandbox)
    path = PATHS[resource]
    for nth in (2, 3, 4):
        changes = (row_change(resource, "delete", nth), row_change(resource, "insert", nth + 100, at=micros(NEWEST)))
        rules = [{"kind": "change", "path": path, "nth": nth, "change": change} for change in changes]
        sandbox.faults(*rules)
        pipeline.sync(resource, full=True)
        sandbox.faults()
        assert_same_keys(pipeline, resource)


@pytest.mark.parametrize("resource", PATHS)
def test_a_bulk_upload_at_one_instant_in_no_fixed_order_is_read_whole(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, resource: str
) -> None:
    """Equal instants change places from request to request; no page's edge inside them can be trusted."""
    sandbox = sandbox_factory(cases=600, transactions=600, ties_shuffle=True)
    for row in range(60, 320):
        sandbox.admin("change", row_change(resource, "move", row, at=micros(LATE)))
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync(resource)
    assert_mirrors(pipeline, resource)
    lines = next(sync_folders(pipeline.settings.landing_dir, resource)).windows
    assert "union" in {stretch[3] for line in lines for stretch in line.stretches}


@pytest.mark.parametrize("resource", of_the_day(list(reversed(PATHS))))
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
