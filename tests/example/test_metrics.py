"""The semantic layer, compiled by MetricFlow: worked by hand in both engines, and the same cents wherever they show."""

from __future__ import annotations

import subprocess
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
from debitura_pipeline.warehouse.publish import publish
from tests.bi.running import show
from tests.example.tables import parse, plain

PYTHON = PROJECT_ROOT / ".venv-metrics" / "bin" / "python"
Read = Callable[[str, str], list[tuple[Any, ...]]]

# See money_by_hand.py and cases_by_hand.py for the sums. To come: 146.3 - 65.
BY_HAND = {
    "fee_by_stage": """
transaction_id__revenue_stage | fee_in_stage_usd | transaction_count
Pending                          | 12   | 1
ConfirmedPendingInvoice          | 3    | 1
AwaitingCollectionPartnerPayment | 48.5 | 3
ReadyToInvoiceDebitura           | 9    | 2
AwaitingDebituraPayment          | 8.8  | 1
Paid                             | 65   | 2
Disputed                         | 30   | 1
Unclassified                     | 4    | 1
""",
    "fee_total": """
fee_usd | fee_paid_usd | fee_to_come_usd | fee_of_which_estimate_usd | fee_clawback_risk_usd | fee_disputed_usd
146.3 | 65 | 81.3 | 12 | 50 | 30
""",
    "fee_by_month": """
metric_time__month | fee_usd | fee_paid_usd
2025-04 | 50   | 50
2025-12 | 1.5  | -
2026-01 | 23.8 | 15
2026-02 | 46   | -
2026-03 | 25   | -
""",
    "fee_by_client": """
creditor_id | creditor_id__company_name | fee_usd | fee_paid_usd
client-a | Acme | 71.3 | 15
client-b | Berg | 75   | 50
""",
    "fee_by_collection_partner": """
transaction_id__collection_partner | transaction_id__revenue_stage | fee_in_stage_usd
Nord | AwaitingCollectionPartnerPayment | 22
Nord | AwaitingDebituraPayment          | 8.8
Nord | Pending                          | 12
Nord | ReadyToInvoiceDebitura           | 0
Sol  | AwaitingCollectionPartnerPayment | 1.5
Sol  | ConfirmedPendingInvoice          | 3
Sol  | Paid                             | 15
Sol  | ReadyToInvoiceDebitura           | 9
-    | AwaitingCollectionPartnerPayment | 25
-    | Disputed                         | 30
-    | Paid                             | 50
-    | Unclassified                     | 4
""",
    "recovery_by_currency": """
case_id__currency | recovered_amount | recoverable_amount | recovery_rate_of_gross
DKK | 2000 | 2000 | 1.000000
EUR | 730  | 1300 | 0.561538
USD | 1090 | 2000 | 0.545000
""",
    "cases_by_lifecycle": """
case_id__lifecycle_group | case_count | open_case_count
active | 2 | 2
closed | 2 | -
""",
    "clients_by_attribution": """
creditor_id__attribution | client_count
attributed | 1
linked     | 1
""",
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """SQL of each saved query by engine."""
    assert PYTHON.exists(), "`make test` sets up .venv-metrics, which this test needs"
    tool, manifest = PROJECT_ROOT / "tools/metrics/compile.py", obtain_manifest().with_name("semantic_manifest.json")

    def queries(engine: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp(engine)
        subprocess.run([PYTHON, "-I", tool, manifest, engine, folder], check=True, capture_output=True, timeout=120)
        return {path.stem: path.read_text() for path in folder.glob("*.sql")}

    return queries


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_every_saved_query_gives_what_was_worked_out(
    warehouses: dict[str, Settings], compiled: Callable[[str], dict[str, str]], engine: str
) -> None:
    queries = compiled(engine)
    assert queries.keys() == BY_HAND.keys()
    with open_warehouse(warehouses[engine], read_only=True) as warehouse:
        for name, text in BY_HAND.items():
            columns, expected = parse(text)
            rows = warehouse.rows(f"SELECT {', '.join(columns)} FROM ({queries[name]}) AS metrics")
            assert sorted(tuple(map(_shown, columns, row)) for row in rows) == expected, name


def _shown(column: str, value: Any) -> str:
    if column.startswith("metric_time"):
        return f"{value:%Y-%m}"
    return f"{value:.6f}" if isinstance(value, float) else plain(value)


def test_metric_report_page_spreadsheet_and_dashboard_give_the_same_cents(
    warehouses: dict[str, Settings], compiled: Callable[[str], dict[str, str]]
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
    published = publish(settings)
    assert _by_stage(published.spreadsheet) == metric
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


def _by_stage(spreadsheet: Path) -> dict[str, Decimal]:
    """Sums of sheet `revenue_by_client`."""
    sheet = openpyxl.load_workbook(spreadsheet, read_only=True)["revenue_by_client"]
    header, *rows = sheet.iter_rows(values_only=True)
    stage, usd = header.index("revenue_stage"), header.index("referral_fee_usd")
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row[stage]] = sums.get(row[stage], Decimal(0)) + Decimal(str(row[usd]))
    return sums
