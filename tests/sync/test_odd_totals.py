"""Figures with floating-point noise, and absurd totals: a sync still merges the rows."""

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


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = start_sandbox(clients=9, cases=40, transactions=60, seed=11, no_rate_limit=True)
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


def each_fraction(document: Any, change: Any) -> Any:
    """The document with its numbers that have decimals changed."""
    if isinstance(document, dict):
        return {name: each_fraction(value, change) for name, value in document.items()}
    if isinstance(document, list):
        return [each_fraction(value, change) for value in document]
    return change(document) if isinstance(document, Decimal) else document


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


@pytest.mark.usefixtures("warehouse_env")
def test_noise_of_doubles_in_rows_stops_no_merge(
    sandbox: RunningSandbox, tmp_path: Path, warehouse_env: dict[str, str]
) -> None:
    """Amounts of rows, the clients' own totals, and the partner's share."""

    def noisy(path: str, document: Any) -> Any:
        return each_fraction(document, lambda value: value + NOISE)

    with altering(sandbox, noisy) as url:
        pipeline = behind(tmp_path, sandbox, url, **warehouse_env)
        for _ in range(2):
            reports = pipeline.sync()
            assert [report.quarantined for report in reports] == [0] * 3
            assert not any(report.is_contradicted for report in reports), [report.message for report in reports]
        assert [(report.inserted, report.changed) for report in reports] == [(0, 0)] * 3


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
