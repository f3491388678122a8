"""Revenue stages, and the SQL that counts our rows in the buckets of the API's summaries.

The same statements run on landed Parquet files and on `raw`. dbt derives `revenue_stage` by the same rules; a test compares both.
"""

from __future__ import annotations

from typing import NamedTuple

STAGES = (
    "Pending",
    "ConfirmedPendingInvoice",
    "AwaitingCollectionPartnerPayment",
    "ReadyToInvoiceDebitura",
    "AwaitingDebituraPayment",
    "Paid",
    "Disputed",
)
UNCLASSIFIED = "Unclassified"


class Meaning(NamedTuple):
    """What a client's stated earnings may be. `sql`: a transaction's part of them, over columns of `raw.transactions`."""

    name: str
    sql: str


_FEE = "referral_fee_usd"
# The API does not say which; the first that fits is taken.
EARNINGS = (
    Meaning("all fees", _FEE),
    Meaning(
        "fees without disputed ones", f"CASE WHEN lower(referral_invoicing_status) = 'disputed' THEN 0 ELSE {_FEE} END"
    ),
    Meaning("final fees", f"CASE WHEN is_estimate THEN 0 ELSE {_FEE} END"),
    Meaning("recognized fees", "referral_fee_recognized_usd"),
    Meaning("fees paid out", f"CASE WHEN lower(referral_invoicing_status) = 'paid' THEN {_FEE} ELSE 0 END"),
)


def stage_sql(invoicing_mode: str | None) -> str:
    """Return the CASE expression that derives the stage of a transaction from its three statuses; the first match wins.

    `invoicing_mode` is the partner's invoicing trigger; anything but ConfirmedPipeline is treated as PayWhenPaid.
    """
    referral = "lower(coalesce(referral_invoicing_status, 'pending'))"
    platform, commission = "lower(platform_invoicing_status)", "lower(commission_status)"
    confirmed = ""
    if (invoicing_mode or "").lower() == "confirmedpipeline":
        confirmed = (
            f"WHEN {referral} = 'pending' AND {commission} = 'paid' AND {platform} IN ('notinvoiced', 'invoiceissued') "
            "THEN 'ReadyToInvoiceDebitura'"
        )
    return f"""CASE
        WHEN {referral} = 'disputed' THEN 'Disputed'
        WHEN {referral} = 'paid' THEN 'Paid'
        WHEN {referral} = 'invoiced' THEN 'AwaitingDebituraPayment'
        {confirmed}
        WHEN {referral} = 'pending' AND {platform} = 'paymentreceived' THEN 'ReadyToInvoiceDebitura'
        WHEN {referral} = 'pending' AND {platform} = 'invoiceissued' THEN 'AwaitingCollectionPartnerPayment'
        WHEN {referral} = 'pending' AND {platform} = 'notinvoiced' AND {commission} = 'paid' THEN 'ConfirmedPendingInvoice'
        WHEN {referral} = 'pending' AND {platform} = 'notinvoiced' AND {commission} IN ('unpaid', 'credited') THEN 'Pending'
        ELSE '{UNCLASSIFIED}'
    END"""


def stage_totals_sql(relation: str, invoicing_mode: str | None) -> str:
    """Return the query for (stage, count, fee in USD) over `relation`, which has the columns of `raw.transactions`."""
    return f"""
        SELECT stage, count(*), coalesce(sum(referral_fee_usd), 0)
        FROM (SELECT {stage_sql(invoicing_mode)} AS stage, referral_fee_usd FROM {relation}) AS staged
        GROUP BY stage"""


def estimates_sql(relation: str, invoicing_mode: str | None) -> str:
    """Return the query for one row: estimates, estimates after the first stage, Debitura's revenue in USD. `relation` as above."""
    return f"""
        SELECT count(CASE WHEN is_estimate THEN 1 END),
            count(CASE WHEN is_estimate AND stage <> '{STAGES[0]}' THEN 1 END),
            coalesce(sum(debitura_revenue_usd), 0)
        FROM (SELECT {stage_sql(invoicing_mode)} AS stage, is_estimate, debitura_revenue_usd FROM {relation}) AS staged"""


def lifecycle_totals_sql(relation: str) -> str:
    """Return the query for one row: total, active, paused, closed, merged. `relation` has the columns of `raw.cases`."""
    return f"""
        SELECT count(*),
            count(CASE WHEN lower(lifecycle) = 'active' THEN 1 END),
            count(CASE WHEN lower(lifecycle) = 'paused' THEN 1 END),
            count(CASE WHEN lower(lifecycle) = 'closed' THEN 1 END),
            count(CASE WHEN lower(lifecycle) LIKE 'merged%' THEN 1 END)
        FROM {relation}"""


def client_totals_sql(relation: str) -> str:
    """Return the query for one row: total, attributed, onboarded, pending. `relation` has the columns of `raw.clients`."""
    return f"""
        SELECT count(*),
            count(CASE WHEN is_attributed THEN 1 END),
            count(CASE WHEN onboarding_done THEN 1 END),
            count(CASE WHEN NOT onboarding_done THEN 1 END)
        FROM {relation}"""
