"""The figures on the page are the warehouse's, to the last decimal, and are called what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from debitura_pipeline.formats import format_amount, in_cents
from debitura_pipeline.report import ReportFacts
from debitura_pipeline.report.answers import how_much
from debitura_pipeline.report.page import render, sentence
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.sections_revenue import stage_sums
from debitura_pipeline.report.stages import StageSum, headline, printed_parts
from debitura_pipeline.report.write import compose
from debitura_pipeline.settings import Settings
from tests.report.maker import TableMaker, tables
from tests.report.tables import NOW

FIGURE = re.compile(r'<data value="([^"]*)" data-figure="([^"]*)">([^<]*)</data>')
STAGES_OF = {
    "paid_usd": {"Paid"},
    "ready_usd": {"ReadyToInvoiceDebitura"},
    "awaited_usd": {"AwaitingDebituraPayment", "AwaitingCollectionPartnerPayment", "ConfirmedPendingInvoice"},
    "estimated_usd": {"Pending"},
    "disputed_usd": {"Disputed"},
    "unclassified_usd": {"Unclassified"},
}
STAGES = sorted(set().union(*STAGES_OF.values()))
MONEY = st.decimals(min_value=Decimal("-99999999.9999"), max_value=Decimal("99999999.9999"), places=4)


def add_fee(maker: TableMaker, stage: str, usd: Decimal, risk: Decimal = Decimal(0)) -> None:
    maker.insert(
        "reports.revenue_by_client", creditor_id="c-1", company_name="Klient A/S", month_label="2026-02",
        revenue_stage=stage, currency="EUR", transaction_count=1, referral_fee=usd, referral_fee_usd=usd,
        of_which_estimate_usd=usd if stage == "Pending" else 0, clawback_risk_usd=risk,
    )  # fmt: skip


def page_text(maker: TableMaker) -> str:
    return render(compose(maker, is_simulated=False, written_at=NOW))


def test_page_carries_the_figures_that_the_run_reports(filled: tuple[Settings, ReportFacts]) -> None:
    """Else the asset's metadata and the page would tell two stories."""
    _, facts = filled
    on_page = {key: value for value, key, _ in FIGURE.findall(facts.path.read_text())}
    assert on_page == facts.figures
    assert list(on_page) == ["paid_usd", "ready_usd", "awaited_usd", "estimated_usd", "disputed_usd"]


def test_figures_are_the_exact_sums_of_the_report_table(filled: tuple[Settings, ReportFacts]) -> None:
    """A float on the way would show in the fourth decimal."""
    settings, facts = filled
    assert settings.warehouse.path is not None
    with tables_read(settings.warehouse.path) as rows:
        sums = dict(rows("SELECT revenue_stage, sum(referral_fee_usd) FROM reports.revenue_by_client GROUP BY ALL"))
    for key, text in facts.figures.items():
        assert Decimal(text) == sum((sums.get(stage, Decimal(0)) for stage in STAGES_OF[key]), Decimal(0))
        assert re.fullmatch(r"-?\d+\.\d{4}", text)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableMaker]:
    with tables(tmp_path_factory.mktemp("empty") / "w.duckdb") as maker:
        yield maker


@given(fees=st.lists(st.tuples(st.sampled_from(STAGES), MONEY), min_size=1, max_size=12))
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_money_comes_through_unrounded(empty: TableMaker, fees: list[tuple[str, Decimal]]) -> None:
    """Amounts are exact decimals from the table to the page."""
    empty.connection.execute("DELETE FROM reports.revenue_by_client")
    for stage, usd in fees:
        add_fee(empty, stage, usd)
    figures = {figure.key: figure.value for figure in headline(stage_sums(Reports(empty)))}
    for key, stages in STAGES_OF.items():
        wanted = sum((usd for stage, usd in fees if stage in stages), Decimal(0))
        assert figures.get(key, Decimal(0)) == wanted
    assert ("unclassified_usd" in figures) == any(stage == "Unclassified" for stage, _ in fees)


@given(fees=st.lists(st.tuples(st.sampled_from(STAGES), MONEY), min_size=1, max_size=12))
def test_first_screen_and_headline_print_the_same_cents_that_add_up(fees: list[tuple[str, Decimal]]) -> None:
    sums: dict[str, StageSum] = {}
    for stage, usd in fees:
        sums[stage] = StageSum(1, usd + (sums[stage].fee_usd if stage in sums else 0))
    _, to_come, *parts = how_much(sums)
    assert to_come.amount is not None
    assert sum(part.printed or Decimal(0) for part in parts) == in_cents(to_come.amount)
    figures = [one for one in headline(sums) if one.key in ("ready_usd", "awaited_usd", "estimated_usd")]
    assert [in_cents(one.value) if one.printed is None else one.printed for one in figures] == [
        p.printed for p in parts
    ]


def test_what_rounding_leaves_is_printed_with_the_least_certain_amount() -> None:
    fees = {"ReadyToInvoiceDebitura": "10.004", "ConfirmedPendingInvoice": "900.004", "Pending": "20.004"}
    sums = {stage: StageSum(1, Decimal(usd)) for stage, usd in fees.items()}
    assert [str(line.printed) for line in how_much(sums)[2:]] == ["10.00", "900.00", "20.01"]
    assert [str(cents) for cents in printed_parts([Decimal("5.006"), Decimal("5.006"), Decimal("0.0001")], Decimal("10.0121"))] == [
        "5.01", "5.00", "0.00",
    ]  # fmt: skip


def test_estimates_and_risks_are_called_by_their_name(tmp_path: Path) -> None:
    """A paid fee whose commission was credited again is final, and may be taken back."""
    with tables(tmp_path / "w.duckdb") as maker:
        add_fee(maker, "Paid", Decimal("100.0000"), risk=Decimal("30.5000"))
        add_fee(maker, "Pending", Decimal("7.0000"))
        text = page_text(maker)
    assert "Of which may be clawed back: 30.50." in text
    assert "An estimate, not earnings" in text


def test_disputed_money_is_in_no_total(tmp_path: Path) -> None:
    """Counted as income, it would be missing later."""
    with tables(tmp_path / "w.duckdb") as maker:
        add_fee(maker, "Paid", Decimal("100.0000"))
        add_fee(maker, "Disputed", Decimal("40.0000"))
        page = compose(maker, is_simulated=False, written_at=NOW)
    chart = next(section for section in page.sections if section.name == "revenue").chart
    assert chart is not None and chart.table.total is not None
    named = dict(zip((column.label for column in chart.table.columns), chart.table.total, strict=True))
    assert named["Total"] == Decimal("100.0000")
    assert named["Disputed (not in total)"] == Decimal("40.0000")
    assert "Disputed" not in {series.label for series in chart.legend}


def test_what_reports_say_is_written_as_the_page_writes() -> None:
    """A second way to write a date or an amount reads as another thing."""
    text = "Due 2026-01-08 (sync 20260108T02), 1250.5000 EUR of 12.34567"
    assert sentence(text) == "Due 8 Jan 2026 (sync 20260108T02), 1,250.50 EUR of 12.34567."
    assert sentence("Acme S.p.A.") == "Acme S.p.A." and sentence("due 2026-13-99") == "due 2026-13-99."


def test_amounts_are_rounded_for_the_eye_half_to_even() -> None:
    assert [format_amount(Decimal(text)) for text in ("0.0050", "0.0150", "-1234567.8951", "0")] == [
        "0.00", "0.02", "−1,234,567.90", "0.00",
    ]  # fmt: skip
    assert format_amount(None) == "–"


@contextmanager
def tables_read(path: Path) -> Iterator[Any]:
    """A second look at the warehouse, past the report's own code."""
    connection = duckdb.connect(str(path), read_only=True)
    try:
        yield lambda sql: connection.execute(sql).fetchall()
    finally:
        connection.close()
