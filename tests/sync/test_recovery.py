"""What a run leaves that fails outside of its reading: the next run puts it right, and `ops.syncs` has the failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.api import http
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import LandingError, RefusedError, WarehouseError
from debitura_pipeline.landing.journal_lines import Line, Merged
from debitura_pipeline.landing.landing_zone import SyncFolder, sync_folders
from debitura_pipeline.sync import read_status, replay, verify
from debitura_pipeline.sync.merge import Merger
from debitura_pipeline.sync.resource import ResourceSync
from debitura_pipeline.warehouse.duckdb_engine import DuckDbWarehouse
from tests.support.day import of_the_day
from tests.support.mirror import assert_mirrors
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox


@pytest.fixture
def pipeline(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "data", sandbox_factory(cases=40, transactions=60))


def statuses(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    return pipeline.rows("SELECT status, message FROM ops.syncs WHERE resource = 'cases' ORDER BY as_of")


def test_a_disk_that_takes_no_line_after_the_commit_costs_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warehouse has the rows; failing now would say that it has not."""
    append = SyncFolder.append

    def full_disk(self: SyncFolder, line: Line) -> None:
        if isinstance(line, Merged):
            raise LandingError("No space left on device")
        append(self, line)

    with monkeypatch.context() as patch:
        patch.setattr(SyncFolder, "append", full_disk)
        pipeline.sync()
    assert not any(folder.is_merged for folder in sync_folders(pipeline.settings.landing_dir))
    assert not [finding for finding in verify(pipeline.settings) if finding.faults]
    before = pipeline.state()
    replay(pipeline.settings)
    assert pipeline.state() == before, "the warehouse says what is merged"
    pipeline.sync()
    assert all(folder.is_merged for folder in sync_folders(pipeline.settings.landing_dir))


def test_a_reading_that_was_never_merged_is_merged_first_a_day_later_and_does_not_stand_in_for_the_night(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = DuckDbWarehouse.merge

    def lost_connection(self: DuckDbWarehouse, landed: Any, **options: Any) -> Any:
        if landed.resource == "cases":
            raise WarehouseError("The connection was lost.")
        return merge(self, landed, **options)

    pipeline.sync()
    pipeline.sandbox.admin("advance", {"days": 1})
    with monkeypatch.context() as patch:
        patch.setattr(DuckDbWarehouse, "merge", lost_connection)
        with pytest.raises(WarehouseError, match="connection was lost"):
            pipeline.sync()
    assert statuses(pipeline)[-1] == ("failed", "The connection was lost.")
    pipeline.sandbox.admin("advance", {"days": 1})
    pipeline.sync()
    assert_mirrors(pipeline)
    assert [status for status, _ in statuses(pipeline)] == ["done"] * 3
    assert "merged by a later run" in statuses(pipeline)[1][1]


def test_what_changes_right_after_a_reading_that_was_not_merged_is_read(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the minute, and whichever run left it: that reading once was the next run's, called proven."""
    merge = DuckDbWarehouse.merge

    def lost_connection(self: DuckDbWarehouse, landed: Any, **options: Any) -> Any:
        if landed.resource == resource:
            raise WarehouseError("The connection was lost.")
        return merge(self, landed, **options)

    pipeline.sync()
    for resource, row in (("cases", 3), ("transactions", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(DuckDbWarehouse, "merge", lost_connection)
            with pytest.raises(WarehouseError, match="connection was lost"):
                pipeline.sync()
        pipeline.sandbox.admin("change", {"op": "row", "resource": resource, "action": "delete", "row": row})
        assert all(report.is_proven for report in pipeline.sync())
        assert_mirrors(pipeline)


def test_a_reading_that_cannot_be_merged_blocks_no_later_night(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.sync()
    monkeypatch.setattr(Merger, "merge", _poisoned(Merger.merge))
    with pytest.raises(ZeroDivisionError):
        pipeline.sync("cases")
    assert statuses(pipeline)[-1][0] == "failed"
    for _ in range(2):
        pipeline.sandbox.admin("advance", {"days": 1})
        pipeline.sync()
        assert_mirrors(pipeline)
    assert [status for status, _ in statuses(pipeline)] == ["done", "failed", "done", "done"]
    assert len(list(sync_folders(pipeline.settings.landing_dir, "cases"))) == 3, "what can never be merged is gone"


def _poisoned(merge: Callable[..., Any]) -> Callable[..., Any]:
    """The second folder of cases can never be merged."""
    poison: list[str] = []

    def merging(self: Merger, folder: SyncFolder, **options: Any) -> Any:
        sync_id = folder.begin.sync_id
        if folder.begin.resource == "cases" and (not poison or sync_id in poison):
            poison.append(sync_id)
            raise ZeroDivisionError("a row's own words")
        return merge(self, folder, **options)

    return merging


@pytest.mark.parametrize("place", of_the_day(["_land", "_end_line"]))
def test_whatever_ends_a_sync_is_on_record_without_a_row_s_words(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """`status` names the failure; before, only errors that were raised on purpose got there."""

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("Jane Doe, 12 Main Street")

    pipeline.sync()
    with monkeypatch.context() as patch:
        patch.setattr(ResourceSync, place, fail)
        with pytest.raises(KeyError):
            pipeline.sync("cases")
    status, message = statuses(pipeline)[-1]
    assert (status, message) == ("failed", "unexpected KeyError")
    assert any("last sync of cases failed" in problem for problem in read_status(pipeline.settings)["problems"])


@pytest.mark.parametrize("status", of_the_day([401, 403]))
def test_a_run_that_is_refused_at_the_door_is_on_record(pipeline: Pipeline, status: int) -> None:
    pipeline.sync()
    pipeline.sandbox.faults({"kind": "status", "status": status, "path": "/me", "times": 0})
    with pytest.raises(RefusedError):
        pipeline.sync()
    assert f"HTTP {status}" in " ".join(read_status(pipeline.settings)["problems"])
    pipeline.sandbox.faults()
    pipeline.sync()
    assert not [problem for problem in read_status(pipeline.settings)["problems"] if "failed" in problem]


def test_a_good_run_within_a_second_of_a_failed_one_is_the_last_one(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `Date` has whole seconds: the two were dated alike, and the failure stayed an open problem."""
    at = datetime.fromisoformat(pipeline.sandbox.admin("health")["now"])
    monkeypatch.setattr(http, "parse_http_date", lambda _: at)
    runtime = Runtime(now=lambda: at, monotonic=lambda: 0.0)
    pipeline.sync("clients", runtime=runtime)
    pipeline.sandbox.faults({"kind": "status", "status": 401, "path": "/me", "times": 0})
    with pytest.raises(RefusedError):
        pipeline.sync("clients", runtime=runtime)
    pipeline.sandbox.faults()
    pipeline.sync("clients", runtime=runtime)
    assert not [problem for problem in read_status(pipeline.settings)["problems"] if "failed" in problem]
