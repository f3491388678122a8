"""Figures that a page has twice, or that are somebody's: each says of what it is, and once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from debitura_pipeline.report.answer_changed import changed_since
from debitura_pipeline.report.answers import NOTHING_TO_COME, first_screen, when_due
from debitura_pipeline.report.model import Badge
from debitura_pipeline.report.read import Reports
from debitura_pipeline.report.sections_calendar import Due
from debitura_pipeline.report.sections_cases import case_outcomes
from debitura_pipeline.report.sections_changes import what_changed
from debitura_pipeline.report.sections_clients import clients
from debitura_pipeline.report.sections_control import reconciliation
from debitura_pipeline.report.sections_partners import collection_partners, invoice_draft
from debitura_pipeline.report.sections_statement import ROWS_SHOWN, client_findings, client_gaps, client_transactions
from debitura_pipeline.report.statement import compose_statement
from tests.report.maker import tables
from tests.report.test_wording import NIGHTS, add_change, read

NOW = datetime(2026, 3, 31, 2, tzinfo=UTC)
GOOD = Badge("good", "good")


def test_late_invoice_of_debitura_is_no_delay_of_the_collection_partner(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        for partner, count, usd, late, due_on in (
            ("Nord", 2, 30, 10, date(2026, 3, 20)), ("unknown", 1, 5, 0, None), ("Sol", 1, 36, 0, None),
        ):  # fmt: skip
            maker.insert(
                "reports.receivables_by_collection_partner", collection_partner=partner, is_expected_income=True,
                transaction_count=count, referral_fee_usd=Decimal(usd), overdue_usd=Decimal(usd), overdue_count=count,
                next_due_on=date(2026, 2, 8), oldest_days_in_stage=9, payment_due_on=due_on,
                payment_overdue_count=int(late > 0), payment_overdue_usd=Decimal(late),
            )  # fmt: skip
        section = collection_partners(Reports(maker))
    assert section is not None
    assert section.lead.startswith("2 collection partners and partners that are not known still have to pay Debitura")
    rows = {row[0]: row for row in section.tables[0].rows}
    assert [heading.label for heading in section.tables[0].columns][2] == "Overdue, USD"
    assert (rows["Sol"][2], rows["Sol"][-1]) == (0, None)
    assert (rows["Nord"][2], rows["Nord"][-1]) == (10, date(2026, 3, 20))
    assert rows["Unnamed partner"][1] == 5


def test_statement_dates_a_fee_in_one_way(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        maker.insert(
            "marts.fct_transactions", transaction_id="t", creditor_id="c", revenue_stage="ConfirmedPendingInvoice",
            referral_fee_usd=Decimal(36), due_class="overdue", next_due_on=date(2026, 2, 8), payment_class="not_before",
            payment_due_on=date(2026, 4, 30),
        )  # fmt: skip
        section = client_transactions(Reports(maker), "c")
    assert section is not None and section.tables[0].rows[0][4] == "Not before 30 Apr 2026"


def test_all_findings_of_a_client_are_counted_however_many_are_shown(tmp_path: Path) -> None:
    count = ROWS_SHOWN + 20
    with tables(tmp_path / "w.duckdb") as maker:
        for number in range(count):
            maker.insert(
                "reports.attribution_gaps", finding_id=f"zero_fee {number}", finding="zero_fee", priority=number + 1,
                creditor_id="c", usd_at_stake=Decimal(33), detail="Fee 0", what_to_do="Ask", age_days=1,
            )  # fmt: skip
        section, (line,) = client_findings(Reports(maker), "c"), client_gaps(Reports(maker), "c")
        missing = next(one for one in first_screen(Reports(maker), {}, GOOD, GOOD) if one.question.startswith("Is any"))
    assert section is not None and section.lead.startswith(f"{count} findings.")
    assert section.tables[0].caption == f"Findings, the most at stake first; {ROWS_SHOWN} of {count}"
    assert line.badge is not None and line.badge.text == f"{count} findings to look at"
    assert missing.lines[0].words == "most at stake: no fee, although there is a rate, about 17,160.00 in 520 findings"


def test_changes_add_up_alike_and_each_fee_is_counted_once(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        read(maker, *NIGHTS)
        for subject, change, before, after, usd, expected in (
            ("t1", "moved", "Disputed", "Paid", 0, 38), ("t2", "moved", "ReadyToInvoiceDebitura", "Disputed", 0, -44),
            ("t1", "restated", "Paid", "Paid", 0, 0),
        ):  # fmt: skip
            add_change(maker, subject_id=subject, change=change, field="revenue_stage", from_value=before, to_value=after,
                       delta_usd=Decimal(usd), delta_expected_usd=Decimal(expected))  # fmt: skip
        add_change(maker, subject_id="t3", field="referral_fee_usd", from_value="248.15", to_value="239.93", currency="JPY",
                   delta_amount=Decimal(0), delta_usd=Decimal("-8.22"), delta_expected_usd=Decimal("-8.22"))  # fmt: skip
        add_change(maker, subject="client", subject_id="c", change="gone", field="presence")
        section, line = what_changed(Reports(maker)), changed_since(Reports(maker))[0]
    assert section is not None
    found = {table.name: table for table in section.tables}
    moved = next(row for row in found["what_changed"].rows if row[0] == "Transactions moved to another stage")
    assert moved[2] == sum(Decimal(str(row[3])) for row in found["moves"].rows) == -6
    edited = next(row for row in found["edits"].rows if row[3] == "248.15")
    assert edited[4:7] == ("239.93", Decimal("-8.22"), "USD")
    assert line.words.startswith("3 fees changed: ") and "; 1 client archived" in line.words


def test_archived_client_is_called_so(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        maker.insert(
            "reports.attribution_by_client", creditor_id="c", external_tenant_id="t", client_record="archived",
            attribution="attributed", linked_at=NOW, transactions_total=0, cases_total=0, cases_open=0,
        )  # fmt: skip
        section = clients(Reports(maker))
        page = compose_statement(maker, "c", is_simulated=False, written_at=NOW)
    assert section is not None and section.tables[0].rows[0][7] == "Archived, was attributed"
    assert dict(page.masthead.facts)["Link"] == "Archived, was attributed, linked on 31 Mar 2026"


def test_claims_stand_beside_the_number_of_their_cases(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        maker.insert("reports.case_outcomes", outcome="open", engagement_phase="Legal", cases=9)
        maker.insert(
            "reports.recovery_rates", debtor_country="all", currency="EUR", cases=9, cases_open=4, cases_ended=3,
            gross_of_ended_and_open=Decimal(700),
        )  # fmt: skip
        section = case_outcomes(Reports(maker))
    assert section is not None and section.tables[0].rows[0][:3] == ("EUR", 7, Decimal(700))


def test_numbers_of_rows_are_not_printed_as_money(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        for stage, values in (
            ("cases_total", {"api_count": 3, "warehouse_count": 2, "count_difference": -1}),
            ("earnings_usd", {"api_usd": Decimal(3), "warehouse_usd": Decimal(2), "usd_difference": Decimal(-1)}),
        ):
            maker.insert(
                "reports.payout_reconciliation", scope="client", creditor_id="c", resource="clients", stage=stage,
                verdict="differs", checked_at=NOW, **values,
            )  # fmt: skip
        section = reconciliation(Reports(maker))
    assert section is not None
    rows = next(table for table in section.tables if table.name == "reconciled_clients").rows
    assert sorted(str(row[2]) for row in rows) == ["3", "3.0000"]


def test_lines_of_an_invoice_without_usd_are_named(tmp_path: Path) -> None:
    with tables(tmp_path / "w.duckdb") as maker:
        for number, usd in enumerate((Decimal(22), None), start=1):
            maker.insert(
                "reports.invoice_draft", currency="EUR", line_number=number, creditor_id="c", referral_fee=Decimal(20),
                referral_fee_usd=usd, may_be_clawed_back=False,
            )  # fmt: skip
        section = invoice_draft(Reports(maker))
    assert section is not None
    assert section.lead.endswith(" 1 line without an amount in USD is not in the sums in USD.")


def test_few_cents_that_are_late_are_no_headline() -> None:
    def keys(late: str) -> list[tuple[str | None, bool]]:
        found = [Due("overdue", date(2026, 3, 1), Decimal(late)), Due("due", date(2026, 4, 1), Decimal(20))]
        return [(line.key, line.is_late) for line in when_due(found)]

    assert keys("0.99") == [("next", False), ("overdue", False)]
    assert keys("1") == [("overdue", True), ("next", False)]
    assert when_due([Due("overdue", date(2026, 3, 1), Decimal(0))]) == (NOTHING_TO_COME,)
