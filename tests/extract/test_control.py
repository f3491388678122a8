"""Verdicts: what equals, what differs, and what a difference can be put down to."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from debitura_pipeline.api.envelope import Total
from debitura_pipeline.extract.control import control_totals
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.extract.stages import STAGES, UNCLASSIFIED, stage_sql
from debitura_pipeline.warehouse.tables import create_statements

COMMISSION = (None, "Unpaid", "Paid", "Credited", "Waived")
PLATFORM = (None, "NotInvoiced", "InvoiceIssued", "PaymentReceived", "InvoiceCredited")
REFERRAL = (None, "Pending", "Invoiced", "Paid", "Disputed", "Frozen")


def by_hand(commission: str | None, platform: str | None, referral: str | None, mode: str) -> str:
    """The API's buckets written down a second time, as the contract words them."""
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
    found = control_totals("transactions", totals, None, rows)
    return {(total.bucket, total.unit): total.verdict for total in found}


def test_a_cent_is_a_difference_and_less_is_rounding(rows: Any) -> None:
    assert verdicts(stated("10.2549", "3.10"), rows)["Paid", "usd"] == "equal"
    assert verdicts(stated("10.26", "3.10"), rows)["Paid", "usd"] == "differs"


def test_an_estimates_usd_proves_nothing_by_differing_but_its_count_does(rows: Any) -> None:
    found = verdicts(stated("10.25", "99.00"), rows)
    assert found["Pending", "usd"] == "unproven"
    assert found["Pending", "count"] == "equal"


def test_a_stage_that_the_api_does_not_state_is_not_taken_for_zero(rows: Any) -> None:
    totals = Totals(2, {"Paid": Total(1, Decimal("10.25"))})
    assert set(verdicts(totals, rows)) == {("all", "count"), ("Paid", "count"), ("Paid", "usd")}


def test_a_row_in_quarantine_explains_one_missing_row_and_no_more(rows: Any) -> None:
    """Else one malformed row would stop publishing for ever; and many missing rows must not hide behind one."""
    rows(
        "INSERT INTO ops.quarantine (resource, payload_sha256, reason) VALUES ('transactions', 'x', 'no id') RETURNING 1"
    )
    assert verdicts(stated("10.25", "3.10", count=3), rows)["all", "count"] == "unproven"
    assert verdicts(stated("10.25", "3.10", count=4), rows)["all", "count"] == "differs"
