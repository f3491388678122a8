"""What the page says of figures that a reader could take for something else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from debitura_pipeline.report.answer_changed import changed_since
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.sections_calendar import Due, dues
from debitura_pipeline.report.sections_changes import NOTHING, compared_with, is_first_night, what_changed
from debitura_pipeline.report.sections_onboarding import onboarding_funnel
from debitura_pipeline.report.sections_revenue import revenue_by_month
from debitura_pipeline.report.sections_waterfall import stage_waterfall
from debitura_pipeline.report.statement import compose_statement
from tests.report.maker import TableMaker, tables

NIGHTS = [datetime(2026, 3, day, 2, tzinfo=UTC) for day in (4, 5, 6)]


def read(maker: TableMaker, *instants: datetime, published: tuple[int, ...] = ()) -> None:
    for number, at in enumerate(instants):
        when = at + timedelta(minutes=30) if number in published else None
        maker.insert(
            "ops.syncs", sync_id=f"s{number}", resource="transactions", mode="small", status="done", as_of=at,
            started_at=at + timedelta(seconds=number), published_at=when,
        )  # fmt: skip


def add_change(maker: TableMaker, **values: Any) -> None:
    row = {"subject": "transaction", "subject_id": "t1", "change_id": "t1 1", "change": "edited", "field": "referral_fee",
           "delta_usd": 0, "delta_expected_usd": 0, "not_after": NIGHTS[2]}  # fmt: skip
    maker.insert("reports.what_changed", **(row | values))


def test_changes_tell_what_exchange_rates_made_of_estimates(tmp_path: Path) -> None:
    """Without it, the pages of two nights differed by an amount that neither of them named."""
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        maker.insert(
            "marts.fct_transactions", transaction_id="t1", revenue_stage="Pending", referral_fee_usd=Decimal("30")
        )
        maker.insert(
            "marts.fct_transactions", transaction_id="t2", revenue_stage="Disputed", referral_fee_usd=Decimal("99")
        )
        add_change(maker, delta_expected_usd=Decimal("3"))
        assert changed_since(Reports(maker))[0].amount == Decimal("3"), "a file that cannot say what was"
        maker.connection.execute(
            "CREATE MACRO marts.transactions_as_of(ts) AS TABLE SELECT 'Pending' AS revenue_stage, "
            f"CASE WHEN ts = '{NIGHTS[1].isoformat()}' THEN CAST(22 AS DECIMAL(28, 4)) END AS referral_fee_usd"
        )
        line, section = changed_since(Reports(maker))[0], what_changed(Reports(maker))
    assert line.amount == Decimal("8") and line.words == "1 fee changed: 1 edited; +5.00 of it from exchange rates"
    assert section is not None and "+5.00 USD: +8.00 USD in all." in section.lead


@pytest.mark.parametrize(("then", "says"), [("22", "Exchange rates moved estimates by +8.00 USD"), ("29.9999", None)])
def test_night_on_which_only_rates_moved_is_no_night_without_changes(
    tmp_path: Path, then: str, says: str | None
) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        maker.insert(
            "marts.fct_transactions", transaction_id="t1", revenue_stage="Pending", referral_fee_usd=Decimal("30")
        )
        maker.connection.execute(
            f"CREATE MACRO marts.transactions_as_of(ts) AS TABLE SELECT 'Pending' AS revenue_stage, "
            f"CAST({then} AS DECIMAL(28, 4)) AS referral_fee_usd"
        )
        section = what_changed(Reports(maker))
    assert section is not None
    assert section.verdict == (None if says else NOTHING)
    assert (says or "After the next reading") in section.lead


def test_what_became_an_estimate_is_told_in_words(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        add_change(maker, field="is_estimate", from_value="false", to_value="true")
        section = what_changed(Reports(maker))
    assert section is not None
    (row,) = next(table for table in section.tables if table.name == "edits").rows
    assert row[3:5] == ("Final", "An estimate")


@pytest.mark.parametrize(
    ("instants", "published", "since"),
    [
        (NIGHTS, (), NIGHTS[1]),
        (NIGHTS, (0,), NIGHTS[0]),
        ([*NIGHTS[:2], NIGHTS[1]], (0,), NIGHTS[0]),
        ([NIGHTS[1], NIGHTS[0]], (), NIGHTS[0]),
    ],
)
def test_readings_are_in_the_order_of_the_api_and_those_of_one_clock_are_one(
    tmp_path: Path, instants: list[datetime], published: tuple[int, ...], since: datetime
) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *instants, published=published)
        assert compared_with(Reports(maker)) == since
        assert not is_first_night(Reports(maker))
    with tables(tmp_path / "one.duckdb") as maker:
        read(maker, NIGHTS[0], NIGHTS[0])
        assert is_first_night(Reports(maker))


def test_calendar_goes_by_the_payment_not_by_the_step_before_it(tmp_path: Path) -> None:
    """A confirmed fee is invoiced by Debitura first. Files of an older version know the step alone."""
    with tables(tmp_path / "w.duckdb") as maker:
        for stage, due_class, payment_class, days in (
            ("ConfirmedPendingInvoice", "due", "due", 30), ("ConfirmedPendingInvoice", "overdue", "not_before", 20),
            ("AwaitingCollectionPartnerPayment", "overdue", "overdue", 0),
        ):  # fmt: skip
            maker.insert(
                "reports.payment_calendar", due_class=due_class, due_on=date(2026, 3, 8), payment_class=payment_class,
                payment_due_on=date(2026, 3, 8) + timedelta(days=days), payer="Nord", payer_kind="collection_partner",
                revenue_stage=stage, is_expected_income=True, referral_fee_usd=Decimal(1), transaction_count=1,
                of_which_estimate_usd=0,
            )  # fmt: skip
        found = dues(Reports(maker))
        maker.connection.execute("ALTER TABLE reports.payment_calendar DROP COLUMN payment_class")
        older = dues(Reports(maker))
    one = Decimal(1)
    assert found == [
        Due("overdue", date(2026, 3, 8), one), Due("due", date(2026, 4, 7), one), Due("not_before", date(2026, 3, 28), one),
    ]  # fmt: skip
    assert older == [Due("overdue", date(2026, 3, 8), 2 * one), Due("due", date(2026, 3, 8), one)]


def test_clients_with_a_payment_are_counted_whatever_step_they_stand_at(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        for key, stage, paid_at in (
            ("a", "access", NIGHTS[0]), ("b", "first_payment", NIGHTS[0]), ("c", "left", NIGHTS[0]), ("d", "signed", None),
        ):  # fmt: skip
            maker.insert(
                "reports.onboarding_funnel", client_key=key, stage=stage, first_payment_at=paid_at, is_stuck=False
            )
        section = onboarding_funnel(Reports(maker))
    assert section is not None and section.lead.startswith("4 clients, 3 of them with a first payment.")
    assert section.notes[1] == "Payments of 1 client came before an earlier step was seen; they stand at that step."


def test_one_date_in_the_far_future_leaves_the_months_in_the_chart(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        for month in ("2026-01", "2026-03", "2062-06"):
            maker.insert(
                "reports.revenue_by_client", creditor_id="c", month_label=month, revenue_stage="Paid", transaction_count=1,
                referral_fee_usd=Decimal(12), clawback_risk_usd=0,
            )  # fmt: skip
        section = revenue_by_month(Reports(maker))
    assert section is not None and section.chart is not None
    assert "one per month from Jan 2026 to Mar 2026. Sums of all months: Paid 36.00 USD" in section.chart.description
    assert [row[0] for row in section.chart.table.rows] == ["Jun 2062", "Mar 2026", "Jan 2026"]


def test_what_was_paid_out_of_a_dispute_was_not_open(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        amounts = dict.fromkeys(("appeared_usd", "edited_usd", "fx_usd", "gone_usd"), 0)
        for stage, opening, into, out in (("Pending", 50, 0, 20), ("Paid", 0, 38, 7), ("Disputed", 18, 7, 18)):
            maker.insert(
                "reports.stage_waterfall", month=date(2026, 3, 1), revenue_stage=stage, stage_order=1, is_current_month=True,
                opening_usd=opening, moved_in_usd=into, moved_out_usd=out, closing_usd=opening + into - out, **amounts,
            )  # fmt: skip
        for number, (before, after, usd) in enumerate(
            [("Pending", "Paid", 20), ("Disputed", "Paid", 18), ("Paid", "Disputed", 7)]
        ):
            maker.insert(
                "marts.fct_stage_changes", change_id=f"c{number}", kind="moved", from_stage=before, to_stage=after,
                moved_usd=usd, not_after=NIGHTS[2],
            )  # fmt: skip
        section = stage_waterfall(Reports(maker))
    assert section is not None and section.chart is not None
    steps = {name: amount for name, amount in section.chart.table.rows if amount}
    assert steps == {"At the start": 50, "Paid": -20, "Now": 30}


def test_statement_says_what_may_be_clawed_back_of_the_client(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        maker.insert(
            "reports.attribution_by_client", creditor_id="c", external_tenant_id="t", transactions_total=1, fee_paid_usd=22,
            cases_total=1, cases_open=0, fee_total_usd=22,
        )  # fmt: skip
        for creditor, risk in (("c", Decimal(22)), ("other", Decimal(5))):
            maker.insert(
                "reports.revenue_by_client", creditor_id=creditor, month_label="2026-03", revenue_stage="Paid",
                transaction_count=1, referral_fee_usd=Decimal(22), clawback_risk_usd=risk,
            )  # fmt: skip
        page = compose_statement(maker, "c", is_simulated=False, written_at=NIGHTS[2])
    assert "Of which may be clawed back: 22.00." in next(one.meaning for one in page.figures if one.key == "paid_usd")
