"""Every figure of every report and metric of the example, worked by hand, in both engines; the same cents wherever they show."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from debitura_pipeline.orchestration.manifest import obtain_manifest
from debitura_pipeline.report import write_report
from debitura_pipeline.settings import PROJECT_ROOT, Settings
from debitura_pipeline.warehouse.opening import open_warehouse
from debitura_pipeline.warehouse.publish import Published, publish
from tests.bi.running import show
from tests.example import cases_by_hand, changes_by_hand, forecast_by_hand, metrics_by_hand, money_by_hand
from tests.example.nights import TRANSACTIONS
from tests.example.tables import parse, plain

METRICFLOW = PROJECT_ROOT / ".venv-metrics" / "bin" / "python"
TABLES = {
    **{
        report: parse(text)
        for by_hand in (money_by_hand, changes_by_hand, cases_by_hand)
        for report, text in by_hand.TABLES.items()
    },
    "revenue_forecast": forecast_by_hand.table(),
}
COLUMNS = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'reports'"
TEXTS = ("varchar", "text", "character varying")


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
@pytest.mark.parametrize("report", TABLES)
def test_report_says_what_was_worked_out(warehouses: dict[str, Settings], report: str, engine: str) -> None:
    columns, expected = TABLES[report]
    with open_warehouse(warehouses[engine], read_only=True) as warehouse:
        found = warehouse.rows(f"SELECT {', '.join(columns)} FROM reports.{report}")
    assert sorted(tuple(map(plain, row)) for row in found) == expected


def test_no_figure_is_left_out(warehouses: dict[str, Settings]) -> None:
    """A new report or a new figure asks for its place in the example."""
    with open_warehouse(warehouses["duckdb"], read_only=True) as warehouse:
        found = warehouse.rows(COLUMNS)
    figures = {(table, column) for table, column, kind in found if kind.lower() not in TEXTS}
    assert {table for table, _, _ in found} == TABLES.keys()
    assert figures - {(report, column) for report, (columns, _) in TABLES.items() for column in columns} == set()


def test_example_is_small_enough_to_follow() -> None:
    assert len(TRANSACTIONS) <= 30


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """SQL of each saved query by engine."""
    assert METRICFLOW.exists(), "`make test` sets up .venv-metrics, which this test needs"
    tool, manifest = PROJECT_ROOT / "tools/metrics/compile.py", obtain_manifest().with_name("semantic_manifest.json")

    def queries(engine: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp(engine)
        subprocess.run([METRICFLOW, "-I", tool, manifest, engine, folder], check=True, capture_output=True, timeout=120)
        return {path.stem: path.read_text() for path in folder.glob("*.sql")}

    return queries


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_every_saved_query_gives_what_was_worked_out(
    warehouses: dict[str, Settings], compiled: Callable[[str], dict[str, str]], engine: str
) -> None:
    queries = compiled(engine)
    assert queries.keys() == metrics_by_hand.TABLES.keys()
    with open_warehouse(warehouses[engine], read_only=True) as warehouse:
        for name, text in metrics_by_hand.TABLES.items():
            columns, expected = parse(text)
            rows = warehouse.rows(f"SELECT {', '.join(columns)} FROM ({queries[name]}) AS metrics")
            assert sorted(tuple(map(_shown, columns, row)) for row in rows) == expected, name


def _shown(column: str, value: Any) -> str:
    if column.startswith("metric_time"):
        return f"{value:%Y-%m}"
    return f"{value:.6f}" if isinstance(value, float) else plain(value)


@pytest.fixture(scope="module")
def published(warehouses: dict[str, Settings]) -> dict[str, Published]:
    """The files of each engine."""
    return {engine: publish(settings) for engine, settings in warehouses.items()}


def test_metric_report_page_spreadsheet_and_dashboard_give_the_same_cents(
    warehouses: dict[str, Settings],
    compiled: Callable[[str], dict[str, str]],
    published: dict[str, Published],
) -> None:
    settings = warehouses["duckdb"]
    with open_warehouse(settings, read_only=True) as warehouse:
        metric = {stage: usd for stage, usd, _ in warehouse.rows(compiled("duckdb")["fee_by_stage"])}
        report = dict(
            warehouse.rows(
                "SELECT revenue_stage, sum(referral_fee_usd) FROM reports.revenue_by_client GROUP BY revenue_stage"
            )
        )
    assert metric == report
    assert _by_stage(published["duckdb"].spreadsheet) == metric
    figures = {name: Decimal(text) for name, text in write_report(settings).figures.items()}
    awaited = sum(metric[stage] for stage in metric if stage.startswith(("Awaiting", "Confirmed")))
    assert figures == {
        "paid_usd": metric["Paid"],
        "ready_usd": metric["ReadyToInvoiceDebitura"],
        "awaited_usd": awaited,
        "estimated_usd": metric["Pending"],
        "disputed_usd": metric["Disputed"],
        "unclassified_usd": metric["Unclassified"],
    }
    (overview,) = show(settings.data_dir, {"page": "overview"})
    assert overview["metrics"]["Earned and paid"] == f"{metric['Paid']:,.2f} USD"


def test_both_engines_publish_the_same_sheets(published: dict[str, Published]) -> None:
    duckdb, postgres = (_sheets(published[engine].spreadsheet) for engine in ("duckdb", "postgres"))
    assert len(duckdb) > 15 and sum(len(sheet) for sheet in duckdb.values()) > 10_000
    for name, sheet in duckdb.items():
        assert sheet == postgres[name], name


def _sheets(spreadsheet: Path) -> dict[str, bytes]:
    """Content of all sheets but the first, which says when it was written."""
    with zipfile.ZipFile(spreadsheet) as file:
        names = [name for name in file.namelist() if name.startswith("xl/worksheets/sheet")]
        return {name: file.read(name) for name in names if not name.endswith("/sheet1.xml")}


def _by_stage(spreadsheet: Path) -> dict[str, Decimal]:
    """Sums of sheet `revenue_by_client`."""
    sheet = openpyxl.load_workbook(spreadsheet, read_only=True)["revenue_by_client"]
    header, *rows = sheet.iter_rows(values_only=True)
    stage, usd = header.index("revenue_stage"), header.index("referral_fee_usd")
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row[stage]] = sums.get(row[stage], Decimal(0)) + Decimal(str(row[usd]))
    return sums
