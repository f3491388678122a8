"""Verdicts of control totals: equal, differing, and differences with an explanation."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from debitura_pipeline.api.page_metadata import Total
from debitura_pipeline.contract.stages import STAGES, UNCLASSIFIED, stage_sql
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.reconcile.control_totals import compare_control_totals
from debitura_pipeline.warehouse.tables import create_statements

COMMISSION = (None, "Unpaid", "Paid", "Credited", "Waived")
PLATFORM = (None, "NotInvoiced", "InvoiceIssued", "PaymentReceived", "InvoiceCredited")
REFERRAL = (None, "Pending", "Invoiced", "Paid", "Disputed", "Frozen")


def by_hand(commission: str | None, platform: str | None, referral: str | None, mode: str) -> str:
    """The API's buckets, implemented a second time in the words of the contract."""
    if referral in ("Disputed", "Paid", "Invoiced"):
        return {"Disputed": "Disputed", "Paid": "Paid", "Invoiced": "AwaitingDebituraPayment"}[referral]
    if referral not in (None, "Pending"):
        return UNCLASSIFIED
    if mode == "ConfirmedPipeline" and commission == "Paid" and platform in ("NotInvoiced", "InvoiceIssued"):
        return "ReadyToInvoiceDebitura"
    if platform == "PaymentReceived":
        return "ReadyToInvoiceDebitura"
    if platform == "InvoiceIssued":
        return "AwaitingCollectionPartnerPayment"
    if platform == "NotInvoiced" and commission in ("Paid", "Unpaid", "Credited"):
        return "ConfirmedPendingInvoice" if commission == "Paid" else "Pending"
    return UNCLASSIFIED


@pytest.mark.parametrize("mode", ["PayWhenPaid", "ConfirmedPipeline"])
def test_every_combination_of_statuses_has_the_contracts_stage(mode: str) -> None:
    with duckdb.connect() as connection:
        for commission, platform, referral in itertools.product(COMMISSION, PLATFORM, REFERRAL):
            sql = f"""SELECT {stage_sql(mode)} FROM (SELECT $1::VARCHAR AS commission_status,
                $2::VARCHAR AS platform_invoicing_status, $3::VARCHAR AS referral_invoicing_status)"""
            found = connection.execute(sql, [commission, platform, referral]).fetchone()
            assert found == (by_hand(commission, platform, referral, mode),), (commission, platform, referral)


@pytest.fixture
def rows() -> Any:
    """A warehouse with two transactions: one paid of 10.25 USD, one pending of 3.10 USD."""
    with duckdb.connect() as connection:
        for statement in create_statements():
            connection.execute(statement)
        insert = """INSERT INTO raw.transactions (transaction_id, referral_fee_usd, debitura_revenue_usd,
            commission_status, platform_invoicing_status, referral_invoicing_status) VALUES ($1, $2, $2, $3, $4, $5)"""
        connection.execute(insert, ["a", Decimal("10.25"), "Paid", "PaymentReceived", "Paid"])
        connection.execute(insert, ["b", Decimal("3.10"), "Unpaid", "NotInvoiced", None])
        yield lambda sql: connection.execute(sql).fetchall()


def stated(paid: str, pending: str, count: int = 2, paid_count: int = 1) -> Totals:
    summary = {stage: Total(0, Decimal(0)) for stage in STAGES}
    summary |= {"Paid": Total(paid_count, Decimal(paid)), "Pending": Total(1, Decimal(pending))}
    return Totals(count, summary)


def verdicts(totals: Totals, rows: Any) -> dict[tuple[str, str], str]:
    found = compare_control_totals("transactions", totals, None, rows)
    return {(total.bucket, total.unit): total.verdict for total in found}


def test_if_the_api_rounds_to_cents_half_a_cent_is_equal(rows: Any) -> None:
    rows("UPDATE raw.transactions SET referral_fee_usd = 10.2549 WHERE transaction_id = 'a' RETURNING 1")
    assert verdicts(stated("10.25", "3.10"), rows)["Paid", "usd"] == "equal"
    assert verdicts(stated("10.26", "3.10"), rows)["Paid", "usd"] == "differs"


def test_if_any_sum_has_fractions_of_a_cent_all_are_compared_exactly(rows: Any) -> None:
    """`reconcile` once accepted 0.0051 USD that a sync would have re-read."""
    assert verdicts(stated("10.2501", "3.10"), rows)["Paid", "usd"] == "differs"
    assert verdicts(stated("10.25", "3.1001"), rows)["Paid", "usd"] == "equal"
    rows("UPDATE raw.transactions SET referral_fee_usd = 10.2549 WHERE transaction_id = 'a' RETURNING 1")
    assert verdicts(stated("10.25", "3.1001"), rows)["Paid", "usd"] == "differs"
    month = stated("0.0051", "0")
    found = compare_control_totals("transactions", stated("10.25", "3.10"), None, rows, [month])
    assert {t.verdict for t in found if (t.bucket, t.unit) == ("Paid", "usd")} == {"differs"}, "a month shows fractions"


def test_a_differing_sum_of_estimates_is_unproven_and_a_differing_count_differs(rows: Any) -> None:
    found = verdicts(stated("10.25", "99.00"), rows)
    assert found["Pending", "usd"] == "unproven"
    assert found["Pending", "count"] == "equal"


def test_revenue_moves_only_with_the_estimates(rows: Any) -> None:
    """Nothing else shows that the revenue of a row without a fee was edited."""

    def revenue(pending: str, stated_revenue: str) -> tuple[str, bool]:
        totals = stated("10.25", pending)
        totals = Totals(2, {**totals.summary, "debitura_revenue": Total(None, Decimal(stated_revenue))})
        found = compare_control_totals("transactions", totals, None, rows)
        return next((t.verdict, t.is_floating) for t in found if t.check_name == "debitura_revenue")

    assert revenue("3.10", "13.35") == ("equal", False)
    assert revenue("3.10", "13.36") == ("differs", False)
    assert revenue("3.11", "13.36") == ("unproven", True)
    rows("UPDATE raw.transactions SET is_estimate = true WHERE transaction_id = 'a' RETURNING 1")
    assert revenue("3.10", "13.36") == ("unproven", True), "an estimate among the paid ones"


def test_case_of_an_unknown_lifecycle_is_the_whole_difference(rows: Any) -> None:
    """Merged cases, which no documentation gives a group, are taken to be where the difference is smallest."""
    lifecycles = ["Active"] * 4 + ["MergedIntoOther"] * 3 + ["Closed"] * 2 + ["Pending"] * 5 + ["Suspended"]
    for place, lifecycle in enumerate(lifecycles):
        rows(f"INSERT INTO raw.cases (case_id, lifecycle) VALUES ('{place}', '{lifecycle}') RETURNING 1")
    stated_counts = {"total": 15, "active": 5, "paused": 0, "closed": 2, "pending": 8}
    totals = Totals(15, {name: Total(count, None) for name, count in stated_counts.items()})
    found = {total.bucket: total for total in compare_control_totals("cases", totals, None, rows)}
    assert {name: int(total.difference or 0) for name, total in found.items() if total.verdict == "differs"} == {
        "active": -1,
        "pending": 1,
    }


def test_a_total_that_the_api_does_not_state_is_listed_as_unproven(rows: Any) -> None:
    """Without a summary, a third of the totals once disappeared from the list, and the rest were called equal."""
    whole = set(verdicts(stated("10.25", "3.10"), rows))
    assert len(whole) == 2 * len(STAGES) + 2, "each stage by count and sum, all rows, Debitura's revenue"
    found = verdicts(Totals(2, {}), rows)
    assert set(found) == whole
    assert {place for place, verdict in found.items() if verdict != "unproven"} == {("all", "count")}
    for resource, expected in (("cases", 6), ("clients", 5)):
        totals = compare_control_totals(resource, Totals(0, {}), None, rows)
        assert len(totals) == expected
        assert [t.verdict for t in totals] == ["equal", *["unproven"] * (expected - 1)]
        assert all(t.api_value is None and t.difference is None for t in totals[1:])


def test_rows_that_fit_no_stage_are_counted_and_their_sum_is_unproven(rows: Any) -> None:
    rows(
        "UPDATE raw.transactions SET platform_invoicing_status = 'InvoiceCredited' WHERE transaction_id = 'b' RETURNING 1"
    )
    totals = stated("10.25", "0")
    totals = Totals(2, {**totals.summary, "Pending": Total(0, Decimal(0))})
    found = verdicts(totals, rows)
    assert (found[UNCLASSIFIED, "count"], found[UNCLASSIFIED, "usd"]) == ("equal", "unproven")


def test_a_row_in_quarantine_explains_one_missing_row_and_no_more(rows: Any) -> None:
    """Otherwise one malformed row would block publishing forever, or hide many missing rows."""
    rows(
        "INSERT INTO ops.quarantine (resource, payload_sha256, reason) VALUES ('transactions', 'x', 'no id') RETURNING 1"
    )
    assert verdicts(stated("10.25", "3.10", count=3), rows)["all", "count"] == "unproven"
    assert verdicts(stated("10.25", "3.10", count=4), rows)["all", "count"] == "differs"
