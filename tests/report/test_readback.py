"""Every amount on the page is that of its table, to the last decimal: read back from the HTML and asked of the warehouse again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from debitura_pipeline.report import ReportFacts
from debitura_pipeline.settings import Settings
from tests.report.reading import PageTable, read_answers, read_printed, read_tables

ZERO = Decimal(0)
OPEN = (
    "('Pending', 'ConfirmedPendingInvoice', 'AwaitingCollectionPartnerPayment', "
    "'ReadyToInvoiceDebitura', 'AwaitingDebituraPayment')"
)


@dataclass(frozen=True)
class Page:
    """The page as it was read back, and a connection of its own to the warehouse."""

    tables: dict[str, PageTable]
    answers: dict[str, Decimal]
    printed: dict[str, Decimal]
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def one(self, sql: str) -> Any:
        return self.rows(sql)[0][0]


@pytest.fixture(scope="module")
def page(filled: tuple[Settings, ReportFacts]) -> Iterator[Page]:
    settings, facts = filled
    text = facts.path.read_text()
    connection = duckdb.connect(str(settings.warehouse.path), read_only=True)
    connection.execute("SET TimeZone = 'UTC'")
    yield Page(read_tables(text), read_answers(text), read_printed(text), connection)
    connection.close()


def test_answers_are_sums_of_the_reports(page: Page) -> None:
    """The first screen is what people act on."""
    fee, day = "sum(referral_fee_usd)", "reports.payment_calendar WHERE is_expected_income AND payment_class"
    changes = "reports.what_changed WHERE subject = 'transaction'"
    payers = page.rows(
        f"SELECT {fee} FROM reports.payment_calendar WHERE is_expected_income GROUP BY payer, payer_kind "
        "ORDER BY payer_kind <> 'debitura', 1 DESC, payer"
    )
    wanted = {
        "paid": page.one(f"SELECT {fee} FROM reports.revenue_by_client WHERE revenue_stage = 'Paid'"),
        "to-come": page.one(f"SELECT {fee} FROM reports.revenue_by_client WHERE revenue_stage IN {OPEN}"),
        "ready": page.one(f"SELECT {fee} FROM reports.revenue_by_client WHERE revenue_stage = 'ReadyToInvoiceDebitura'"),
        "estimate": page.one(f"SELECT {fee} FROM reports.revenue_by_client WHERE revenue_stage = 'Pending'"),
        "overdue": page.one(f"SELECT {fee} FROM {day} = 'overdue'"),
        "next": page.one(f"SELECT {fee} FROM {day} = 'due' GROUP BY payment_due_on ORDER BY payment_due_on LIMIT 1"),
        "not-before": page.one(f"SELECT {fee} FROM {day} = 'not_before'"),
        "no-date": page.one(f"SELECT {fee} FROM {day} = 'unknown'"),
        "night": page.one(f"SELECT sum(delta_expected_usd) FROM {changes}"),
        "month": page.one("SELECT sum(closing_usd - opening_usd) FROM reports.stage_waterfall "
                          f"WHERE is_current_month AND revenue_stage IN {OPEN}"),
        "month-to-date": page.one("SELECT referral_fee_usd FROM reports.revenue_summary "
                                  "WHERE period = 'month_to_date' AND basis = 'collected'"),
        "last-month-to-date": page.one("SELECT referral_fee_usd FROM reports.revenue_summary "
                                       "WHERE period = 'last_month_to_date' AND basis = 'collected'"),
        **{f"payer-{place}": usd for place, (usd,) in enumerate(payers[:3])},
        "payer-rest": sum(usd for (usd,) in payers[3:]),
    }  # fmt: skip
    assert {key: page.answers[key] for key in wanted} == wanted


def test_answers_fit_together(page: Page) -> None:
    """What is to come is the same sum by stage, by date, and by payer: exactly, and in the cents that are printed."""
    for answers in (page.answers, page.printed):
        to_come = answers["to-come"]
        assert answers["ready"] + answers["awaited"] + answers["estimate"] == to_come
        assert sum(answers[key] for key in ("overdue", "next", "later", "not-before", "no-date")) == to_come
        assert sum(usd for key, usd in answers.items() if key.startswith("payer-")) == to_come
    assert all(abs(page.printed[key] - usd) <= Decimal("0.02") for key, usd in page.answers.items())


def test_calendar_and_partners(page: Page) -> None:
    calendar = page.tables["payment_calendar"]
    wanted = page.rows(
        "SELECT sum(referral_fee_usd), sum(of_which_estimate_usd), sum(transaction_count) "
        "FROM reports.payment_calendar WHERE is_expected_income "
        "GROUP BY due_class_order, payment_due_on, payer_kind, revenue_stage, stage_order "
        "ORDER BY due_class_order, payment_due_on, payer_kind, stage_order DESC"
    )
    assert calendar.amounts("USD") == [usd for usd, _, _ in wanted]
    assert calendar.amounts("Estimate in it, USD") == [predicted or ZERO for _, predicted, _ in wanted]
    assert calendar.amounts("Transactions") == [n for _, _, n in wanted]
    assert (
        sum(page.tables["calendar_by_month"].amounts("All, USD"))
        == Decimal(calendar.foot[1])
        == page.answers["to-come"]
    )
    partners = page.rows(
        "SELECT sum(referral_fee_usd), sum(overdue_usd) FROM reports.receivables_by_collection_partner "
        "GROUP BY collection_partner ORDER BY 1 DESC, collection_partner"
    )
    table = page.tables["receivables_by_collection_partner"]
    assert list(zip(table.amounts("Owed, USD"), table.amounts("Overdue, USD"), strict=True)) == partners


def test_invoice_draft(page: Page) -> None:
    totals = page.tables["invoice_totals"]
    wanted = page.rows(
        "SELECT currency, sum(referral_fee), sum(referral_fee_usd), count(*), sum(referral_fee_usd) FILTER (may_be_clawed_back) "
        "FROM reports.invoice_draft GROUP BY currency ORDER BY sum(referral_fee_usd) DESC"
    )
    columns = [totals.amounts(name) for name in ("To invoice", "In USD", "Lines", "May be clawed back, USD")]
    assert list(zip(totals.column("Currency"), *columns, strict=True)) == wanted
    lines = page.rows(
        "SELECT referral_fee, referral_fee_usd FROM reports.invoice_draft ORDER BY currency, line_number LIMIT 100"
    )
    table = page.tables["invoice_draft"]
    assert list(zip(table.amounts("Fee"), table.amounts("In USD"), strict=True)) == lines
    assert sum(page.tables["invoice_by_client"].amounts("In USD")) == sum(row[2] for row in wanted)


def test_waterfall_closes_on_the_page(page: Page) -> None:
    """A step that is missing would leave a difference that nobody can explain."""
    start, *parts, now = page.tables["waterfall_steps"].amounts("USD")
    assert start + sum(parts) == now == page.answers["to-come"]
    wanted = page.rows("SELECT closing_usd, opening_usd FROM reports.stage_waterfall WHERE is_current_month")
    stages = page.tables["stage_waterfall"]
    assert sorted(zip(stages.amounts("Now"), stages.amounts("At the start"), strict=True)) == sorted(wanted)
    months = page.tables["waterfall_months"]
    for row in months.rows:
        amounts = [Decimal(cell) for cell in row[1:]]
        assert amounts[1] + sum(amounts[2:]) == amounts[0], row


def test_changes(page: Page) -> None:
    kinds = page.tables["what_changed"]
    wanted = page.rows(
        "SELECT count(*), sum(delta_expected_usd) FROM reports.what_changed GROUP BY subject, change "
        "ORDER BY subject DESC, change"
    )
    assert list(zip(kinds.amounts("Count"), kinds.amounts("Change, USD"), strict=True)) == wanted
    edits = page.rows(
        "SELECT delta_usd FROM reports.what_changed WHERE change = 'edited' ORDER BY abs(delta_usd) DESC, subject_id"
    )
    assert page.tables["edits"].amounts("Change, USD") == [usd for (usd,) in edits]
    assert len(page.tables["changed_cases"].rows) == 3


def test_forecast_and_vintages(page: Page) -> None:
    forecast = page.tables["revenue_forecast"]
    wanted = page.rows(
        "SELECT expected_usd, median_usd, low_usd, high_usd FROM reports.revenue_forecast "
        "WHERE revenue_stage = 'Total' ORDER BY month"
    )
    names = ("Expected, USD", "Median", "Low (10 %)", "High (90 %)")
    assert list(zip(*(forecast.amounts(name) for name in names), strict=True)) == wanted
    shares = page.rows(
        "SELECT recovered_share * 100 FROM reports.recovery_vintage WHERE currency = 'EUR' AND months_since = 3 "
        "AND is_complete ORDER BY created_month DESC"
    )
    assert [share for share in page.tables["recovery_vintage"].amounts("3 months") if share is not None] == [
        x for (x,) in shares
    ]


def test_clients_funnel_and_periods(page: Page) -> None:
    clients = page.tables["clients"]
    wanted = page.rows(
        "SELECT company_name, fee_total_usd, fee_total_usd - fee_paid_usd, fee_paid_usd, fee_disputed_usd, cases_total "
        "FROM reports.attribution_by_client ORDER BY fee_total_usd DESC, creditor_id"
    )
    names = ("Fees in all, USD", "Still to come", "Paid", "Disputed (apart)", "Cases")
    assert list(zip(clients.column("Client"), *(clients.amounts(name) for name in names), strict=True)) == wanted
    funnel = page.tables["onboarding_funnel"]
    here = dict(page.rows("SELECT stage, count(*) FROM reports.onboarding_funnel GROUP BY stage"))
    assert (
        funnel.amounts("Stand here")[0] == here["wanted"] and funnel.amounts("Reached it")[-1] == here["first_payment"]
    )
    periods = page.tables["revenue_summary"]
    collected = page.rows(
        "SELECT referral_fee_usd FROM reports.revenue_summary WHERE basis = 'collected' ORDER BY period_order"
    )
    assert periods.amounts("Collected, USD") == [usd for (usd,) in collected]
    assert periods.amounts("Paid, USD")[3:] == [None] * 4  # not known for the whole period
