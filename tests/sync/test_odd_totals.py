"""Totals that are doubles with noise, or absurd, and listings of which most is gone: a sync ends with what can be known."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.altering import altering
from tests.support.pipeline import Pipeline
from tests.support.sandbox import RunningSandbox, start_sandbox

NOISE = Decimal("0.00000000000001")
CLIENTS, GONE = 320, 250


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=9, cases=40, transactions=60, seed=11, no_rate_limit=True)
    yield running
    running.stop()


@pytest.fixture
def large() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=CLIENTS, cases=10, transactions=2, seed=11, no_rate_limit=True)
    yield running
    running.stop()


def behind(folder: Path, sandbox: RunningSandbox, url: str, **env: str) -> Pipeline:
    pipeline = Pipeline(folder / "data", sandbox, **{**env, "DEBITURA_API_URL": url})
    pipeline.endpoint = type(pipeline.endpoint)(
        url, pipeline.endpoint.api_key, pipeline.endpoint.customer_url, is_simulated=True
    )
    return pipeline


def each_sum(document: Any, change: Any) -> Any:
    """The document with its sums in USD changed."""
    if isinstance(document, dict):
        return {
            name: change(value) if name.lower().endswith("usd") and isinstance(value, int | Decimal) else each_sum(value, change)
            for name, value in document.items()
        }  # fmt: skip
    return document


@pytest.mark.usefixtures("warehouse_env")
def test_noise_of_doubles_in_totals_stops_no_merge(
    sandbox: RunningSandbox, tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """22.00000000000001 instead of 22 ended the night: the column of totals has four decimals."""

    def noisy(path: str, document: Any) -> Any:
        if path.startswith("/reporting/transactions") and "summary" in document:
            document["summary"] = each_sum(document["summary"], lambda value: Decimal(value) + NOISE)
        return document

    with altering(sandbox, noisy) as url:
        pipeline = behind(tmp_path, sandbox, url, **warehouse_env)
        for _ in range(2):
            reports = {report.resource: report for report in pipeline.sync()}
            assert reports["transactions"].is_proven, reports["transactions"].message
        verdicts = pipeline.rows("SELECT DISTINCT verdict FROM ops.control_totals WHERE resource = 'transactions'")
    assert verdicts == [("equal",)]


@pytest.mark.parametrize("usd", [Decimal("1e17"), Decimal("-3e14")])
def test_absurd_total_proves_nothing_and_stops_nothing(sandbox: RunningSandbox, tmp_path: Path, usd: Decimal) -> None:
    """The row that it comes from is in quarantine; the others are loaded."""

    def absurd(path: str, document: Any) -> Any:
        if path.startswith("/reporting/transactions") and "summary" in document:
            document["summary"] = each_sum(document["summary"], lambda value: value + usd)
        return document

    with altering(sandbox, absurd) as url:
        pipeline = behind(tmp_path, sandbox, url)
        reports = {report.resource: report for report in pipeline.sync()}
    assert pipeline.rows("SELECT count(*) FROM raw.transactions")[0][0] > 50
    assert not reports["transactions"].is_proven and not reports["transactions"].is_contradicted


@pytest.mark.usefixtures("warehouse_env")
def test_many_clients_that_are_gone_are_found_by_reading_once_more(
    large: RunningSandbox, tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """Each was asked for alone, until the limit of requests was reached, in every night anew."""
    pipeline = Pipeline(tmp_path / "data", large, **warehouse_env)
    (first,) = pipeline.sync("clients")
    for row in range(GONE):
        large.admin("change", {"op": "row", "resource": "clients", "action": "delete", "row": row})
    left = len(large.truth("clients"))
    (second,) = pipeline.sync("clients", allow_shrink=True)
    assert (second.deleted, second.is_proven) == (first.inserted - left, True), second.message
    assert second.deleted > 200 and second.requests < 20
    assert len(pipeline.records("clients")) == left


def test_rows_of_many_clients_that_are_gone_are_found_by_reading_once_more(tmp_path: Path) -> None:
    """A purge by age takes a case or two of every client."""
    sandbox = start_sandbox(clients=300, cases=3_000, transactions=2, seed=12, no_rate_limit=True)
    try:
        pipeline = Pipeline(tmp_path / "data", sandbox)
        (first,) = pipeline.sync("cases")
        rows = pipeline.rows("SELECT min(case_id) FROM raw.cases GROUP BY creditor_id")
        purged = {case_id for (case_id,) in rows[:280]}
        numbers = {case["id"]: number for number, case in enumerate(sandbox.truth("cases"))}
        assert len(purged) > 220 and purged <= numbers.keys()
        for case_id in purged:
            sandbox.admin("change", {"op": "row", "resource": "cases", "action": "delete", "row": numbers[case_id]})
        (second,) = pipeline.sync("cases", full=True, allow_shrink=True)
        assert (second.deleted, second.is_proven) == (len(purged), True), second.message
        assert len(pipeline.records("cases")) == first.inserted - len(purged)
        assert not purged & pipeline.records("cases").keys()
    finally:
        sandbox.stop()
