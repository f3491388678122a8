"""The same world through both engines, nights with every kind of change: every table equal, value by value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from debitura_pipeline.api import http
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import publish
from tests.support.catalogue import declared_keys, described, duckdb_comments, postgres_comments, postgres_keys
from tests.support.day import is_every_day
from tests.support.dbt_build import build
from tests.support.past import Figures, figures_as_of, figures_now, figures_of_mart
from tests.support.pipeline import Pipeline
from tests.support.postgres import Database
from tests.support.sandbox import RunningSandbox

NIGHTS = 10 if is_every_day() else 6
BUILT_ON = (1, NIGHTS)
# The bytes of a landed file follow the order in which pages came, and requests the number of retries: no two syncs'.
UNLIKE = {("ops", "windows"): {"file_sha256"}, ("ops", "syncs"): {"requests", "retries"}}

OLDER = "ALTER TABLE marts.fct_case_changes ALTER COLUMN delta_amount TYPE DECIMAL(38,4)"

Table = list[tuple[Any, ...]]


def tables(pipeline: Pipeline, *schemas: str) -> dict[str, Table]:
    """Every table and view of these schemas with all columns, rows in a fixed order, instants as UTC text."""
    names = ", ".join(f"'{schema}'" for schema in schemas)
    listing = (
        f"SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({names})"
    )
    columns: dict[tuple[str, str], list[str]] = {}
    found = {}
    with open_warehouse(pipeline.settings, read_only=True) as warehouse:
        for schema, table, column in sorted(warehouse.rows(listing)):  # each engine has a collation of its own
            if column not in UNLIKE.get((schema, table), ()):
                columns.setdefault((schema, table), []).append(column)
        for (schema, table), shown in columns.items():
            listed = ", ".join(f'"{column}"' for column in shown)
            rows = [tuple(map(plain, row)) for row in warehouse.rows(f'SELECT {listed} FROM {schema}."{table}"')]
            found[f"{schema}.{table} ({listed})"] = sorted(rows, key=repr)
    return found


def plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def assert_equal(one: dict[str, Table], other: dict[str, Table], night: int) -> None:
    assert one.keys() == other.keys()
    for name, rows in one.items():
        unlike = [(a, b) for a, b in zip(rows, other[name], strict=False) if a != b]
        assert (len(rows), unlike[:2]) == (len(other[name]), []), f"night {night}, {name}"


def happen(sandbox: RunningSandbox, night: int) -> None:
    """A night's own changes, and on some nights what happens seldom."""
    sandbox.admin("advance", {"days": 1})
    tenants = sorted(row["externalTenantId"] for row in sandbox.truth("clients"))
    seldom: dict[int, dict[str, Any]] = {
        3: {"op": "upgrade", "tenant": tenants[0]},
        4: {"op": "mode", "mode": "ConfirmedPipeline"},
        5: {"op": "archive", "tenant": tenants[-1]},
    }
    if night == 2:
        sandbox.admin("clients", {"cases": 5, "transactions": 8})
    if night in seldom:
        sandbox.admin("change", seldom[night])


@pytest.mark.slow
def test_nights_leave_the_same_in_both_engines(
    sandbox_factory: Callable[..., RunningSandbox],
    postgres: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = sandbox_factory(clients=5, cases=50, transactions=120, seed=23)
    pipelines = [
        Pipeline(tmp_path / "duckdb", sandbox),
        Pipeline(tmp_path / "postgres", sandbox, DEBITURA_WAREHOUSE=postgres.url),
    ]
    published: list[tuple[datetime, Figures]] = []
    for night in range(1, NIGHTS + 1):
        if night > 1:
            happen(sandbox, night)
        at = datetime.fromisoformat(sandbox.admin("health")["now"]) + timedelta(seconds=1)
        # Both read at the same instant, by a clock that stands: else no two `_verified_at` could be equal.
        monkeypatch.setattr(http, "parse_http_date", lambda _, at=at: at)
        runtime = Runtime(now=lambda at=at: at, monotonic=lambda: 0.0, id_suffix=lambda: "000000")  # type: ignore[misc]
        for pipeline in pipelines:
            assert all(report.is_proven for report in pipeline.sync(runtime=runtime))
        one, other = (tables(pipeline, "raw", "ops") for pipeline in pipelines)
        assert_equal(one, other, night)
        published.append(figures_now(pipelines[0]))
        if night == BUILT_ON[-1]:
            for pipeline in pipelines:  # as an older version would have left it
                with open_warehouse(pipeline.settings) as warehouse:
                    warehouse.execute(OLDER)
        if night in BUILT_ON:
            for number, pipeline in enumerate(pipelines):
                build(pipeline.settings, tmp_path / f"dbt-{number}")
            found = [tables(pipeline, "staging", "marts", "reports") for pipeline in pipelines]
            assert_equal(found[0], found[1], night)
            assert figures_of_mart(pipelines[0].rows) == published[-1][1]
    digits = """SELECT numeric_precision FROM information_schema.columns
        WHERE table_schema = 'marts' AND column_name = 'delta_amount'"""
    assert [pipeline.rows(digits) for pipeline in pipelines] == [[(28,)]] * 2
    assert postgres_keys(postgres.url) == declared_keys()
    for pipeline in pipelines:  # one client's rows side by side: a few blocks to read
        clients = pipeline.rows("SELECT creditor_id FROM marts.fct_transactions")
        assert clients == sorted(clients) != pipeline.rows("SELECT creditor_id FROM raw.transactions")
    gone = [count for (count,) in pipelines[1].rows("SELECT count(_deleted_at) FROM raw.transactions")]
    changes = pipelines[1].rows("SELECT DISTINCT kind FROM marts.fct_stage_changes")
    assert gone != [0]
    assert len(changes) >= 4, "a world in which little happens proves little"
    assert len(found[0]) > 20
    publish(pipelines[1].settings)
    with duckdb.connect(pipelines[1].settings.published_dir / "warehouse.duckdb", read_only=True) as copy:
        for at, figures in published:
            for rows in (pipelines[0].rows, pipelines[1].rows, lambda sql: copy.execute(sql).fetchall()):
                assert figures_as_of(rows, at) == figures, "what was published on a night can be asked for later"
    assert len({str(figures) for _, figures in published}) == NIGHTS
    wanted = described()
    assert duckdb_comments(tmp_path / "duckdb" / "warehouse.duckdb") == wanted
    assert postgres_comments(postgres.url) == wanted
    assert duckdb_comments(pipelines[1].settings.published_dir / "warehouse.duckdb") == wanted
