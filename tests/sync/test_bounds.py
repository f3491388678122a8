"""Rows at the edges of windows and of time: on a bound, a breath before it, in the future, without a zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from debitura_pipeline.extract import calendar_parts
from debitura_pipeline.extract.windows import EPOCH
from debitura_pipeline.landing.landing_zone import sync_folders
from tests.support.mirror import assert_mirrors
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

BREATH = timedelta(microseconds=1)
EDGES = [
    edge + step
    for edge in (
        datetime(2024, 1, 1, tzinfo=UTC),  # year
        datetime(2025, 4, 1, tzinfo=UTC),  # quarter
        datetime(2024, 11, 1, tzinfo=UTC),  # month
        datetime(2025, 11, 11, tzinfo=UTC),  # third of a month
        datetime(2025, 11, 16, tzinfo=UTC),  # sixth of a month
        datetime(2025, 11, 18, tzinfo=UTC),  # twelfth of a month
        datetime(2025, 12, 5, tzinfo=UTC),  # day
        datetime(2025, 12, 5, 14, tzinfo=UTC),  # hour
    )
    for step in (-timedelta(seconds=1), -BREATH, timedelta(), BREATH, timedelta(seconds=1))
]


def put(sandbox: RunningSandbox, resource: str, action: str, row: int, at: datetime) -> None:
    micros = (at - EPOCH) // BREATH
    sandbox.admin("change", {"op": "row", "resource": resource, "action": action, "row": row, "at": micros})


@pytest.mark.parametrize("resource", ["cases", "transactions"])
def test_rows_on_the_bounds_of_windows_are_read_and_counted_once(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resource: str
) -> None:
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", 12)
    sandbox = sandbox_factory(cases=500, transactions=500)
    for row, at in enumerate(EDGES):
        put(sandbox, resource, "move", row, at)
    for row in range(40, 280):  # a crowded day, so that its hours become windows of their own
        put(sandbox, resource, "move", row, datetime(2025, 12, 5, (row - 40) // 10, 30, tzinfo=UTC))
    pipeline = Pipeline(tmp_path / "data", sandbox)
    report = pipeline.sync(resource)[0]
    assert_mirrors(pipeline, resource)
    assert report.verdict == "equal"
    assert report.windows > 20, "proven by its windows, not by the last resort of one reading without dates"
    lines = next(sync_folders(pipeline.settings.landing_dir, resource)).windows
    spans = {x.end - x.start for x in lines if x.start and x.end}
    assert timedelta(hours=1) in spans, "the finest windows were there too"
    assert len(spans) > 3


@pytest.mark.parametrize("largest", [10_000, 30])
def test_rows_dated_in_the_future_are_rows_like_others(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    """More of them than one window should hold, too: behind the upper bound there is nothing to split by."""
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", largest)
    sandbox = sandbox_factory()
    for row in range(40):
        put(sandbox, "cases", "move", row, datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=9 * row))
    put(sandbox, "transactions", "move", 3, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync()
    assert_mirrors(pipeline)


def test_rows_from_before_all_others_are_found(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_parts, "MAX_WINDOW_ROWS", 30)
    sandbox = sandbox_factory()
    put(sandbox, "cases", "move", 0, datetime(1999, 12, 31, 23, tzinfo=UTC))
    put(sandbox, "cases", "move", 1, datetime(1969, 7, 20, tzinfo=UTC))
    put(sandbox, "cases", "move", 2, datetime(1900, 1, 1, tzinfo=UTC))
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    assert_mirrors(pipeline, "cases")


def test_naive_instants_are_utc_wherever_the_machine_stands(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/St_Johns")
    sandbox = sandbox_factory()
    naive = [
        row for row in sandbox.truth("cases") if row["dateCreated"][-1].isdigit() and "+" not in row["dateCreated"]
    ]
    assert len(naive) > 3, "the world must hold some"
    pipeline = Pipeline(tmp_path / "data", sandbox)
    pipeline.sync("cases")
    assert_mirrors(pipeline, "cases")
