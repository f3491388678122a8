"""Five nights of a changing world: every night `raw` is the world, and history has each observed version once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from debitura_pipeline.contract.tables import TABLES
from tests.support.day import engine_of_the_day, of_the_day
from tests.support.pipeline import PRIVACY_KEY, Pipeline
from tests.support.sandbox import RunningSandbox
from tests.support.truth import expected, version

NIGHTS = 5


@pytest.mark.parametrize(
    ("engine", "small_requests"),
    of_the_day([("duckdb", 200), ("postgresql", 1), ("postgresql", 200), ("duckdb", 1)]),  # 1: read as a large partner
)
def test_five_nights_each_equal_to_the_world_with_every_version_once(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str], small_requests: int
) -> None:
    """A wrong or missing value in any column of any night would show here."""
    sandbox = sandbox_factory(clients=12, cases=700, transactions=2_000, seed=11)
    pipeline = Pipeline(tmp_path / "data", sandbox, **warehouse_env)
    seen: dict[str, dict[str, list[object]]] = {resource: {} for resource in TABLES}
    gone_since: dict[str, set[str]] = {resource: set() for resource in TABLES}
    for night in range(NIGHTS):
        if night:
            sandbox.admin("advance", {"days": 1})
        reports = pipeline.sync(small_requests=small_requests)
        assert [report.verdict for report in reports] == ["equal"] * 3
        for resource in TABLES:
            truth = expected(resource, sandbox.truth(resource), PRIVACY_KEY.encode())
            assert pipeline.records(resource) == truth, f"night {night}, {resource}"
            for key, row in truth.items():
                versions = seen[resource].setdefault(key, [])
                if not versions or versions[-1] != version(resource, row) or key in gone_since[resource]:
                    versions.append(version(resource, row))
            gone_since[resource] = set(seen[resource]) - set(truth)
    for resource, table in TABLES.items():
        names = ", ".join(f'"{name}"' for name in table.names)
        kept: dict[str, list[object]] = {}
        for values in pipeline.rows(f"SELECT {names} FROM raw.{resource}_history ORDER BY {table.key}, _valid_from"):
            record = dict(zip(table.names, values, strict=True))
            kept.setdefault(record[table.key], []).append(version(resource, record))
        assert kept == seen[resource], resource
    assert sum(len(keys) for keys in gone_since.values()) > 0, "the world must have lost rows, or this proves little"
    changed = sum(len(versions) > 1 for versions in seen["transactions"].values())
    assert changed > 20


@engine_of_the_day("postgresql")
def test_a_second_run_in_the_same_night_changes_nothing(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """A rerun must not look like news: no row's change time moves, no version is added."""
    pipeline = Pipeline(tmp_path / "data", sandbox_factory(), **warehouse_env)
    pipeline.sync()
    tables = [*TABLES, *(f"{resource}_history" for resource in TABLES)]
    before = {name: pipeline.table(name, without=("_verified_at", "_sync_id")) for name in tables}
    reports = pipeline.sync()
    after = {name: pipeline.table(name, without=("_verified_at", "_sync_id")) for name in tables}
    assert after == before
    assert [(r.inserted, r.changed, r.deleted) for r in reports] == [(0, 0, 0)] * 3
    assert [report.mode for report in reports] == ["small"] * 3


@engine_of_the_day("duckdb")
def test_replay_rebuilds_what_the_nights_built(
    sandbox_factory: Callable[..., RunningSandbox], tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """The landing zone is the only thing that cannot be had again; it has to be enough."""
    from debitura_pipeline.sync import replay, verify

    sandbox = sandbox_factory()
    pipeline = Pipeline(tmp_path / "data", sandbox, **warehouse_env)
    for _ in range(3):
        pipeline.sync()
        sandbox.admin("advance", {"days": 1})
    tables = [*TABLES, *(f"{resource}_history" for resource in TABLES), "partner_history"]
    before = {name: pipeline.table(name) for name in tables}
    replay(pipeline.settings)
    after = {name: pipeline.table(name) for name in tables}
    assert after == before
    findings = verify(pipeline.settings)
    assert len(findings) == 9
    assert not [finding for finding in findings if finding.faults]
