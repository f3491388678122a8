"""Only the readings in the published file are marked as published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import publish
from debitura_pipeline.warehouse.published_readings import mark_published_readings
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox

PUBLISHED = "SELECT resource, published_at IS NOT NULL FROM ops.syncs ORDER BY resource, started_at"


@pytest.fixture
def pipeline(sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]) -> Pipeline:
    return Pipeline(tmp_path, sandbox_factory(clients=2, cases=6, transactions=9), **warehouse_env)


def mark(pipeline: Pipeline) -> list[tuple[str, bool]]:
    with open_warehouse(pipeline.settings) as warehouse:
        mark_published_readings(warehouse, pipeline.settings.published_dir)
    return pipeline.rows(PUBLISHED)


def test_readings_of_the_published_file_are_marked_and_no_others(pipeline: Pipeline) -> None:
    names = ("cases", "clients", "transactions")
    pipeline.sync()
    assert mark(pipeline) == [(name, False) for name in names]
    night = publish(pipeline.settings).night
    pipeline.sandbox.admin("advance", {"days": 1})
    pipeline.sync()
    assert mark(pipeline) == [(name, is_first) for name in names for is_first in (True, False)]
    assert pipeline.rows("SELECT DISTINCT published_at FROM ops.syncs WHERE published_at IS NOT NULL") == [
        (night.published_at,)
    ]
    publish(pipeline.settings)
    assert mark(pipeline) == [(name, True) for name in names for _ in range(2)]


def test_damaged_published_file_marks_nothing_and_is_no_error(pipeline: Pipeline) -> None:
    pipeline.sync()
    (publish(pipeline.settings).night.path / "warehouse.duckdb").write_bytes(b"no DuckDB file" * 1000)
    assert {is_marked for _, is_marked in mark(pipeline)} == {False}
