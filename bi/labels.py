"""Headings and formats by the names of columns, so that every page calls a thing the same."""

from __future__ import annotations

from debitura_pipeline.contract.stage_groups import LABELS
from debitura_pipeline.formats import title_case

NAMES = {
    "age_days": "Age, days",
    "case_id": "Case id",
    "case_reference": "Case",
    "check_name": "Check",
    "client_count": "Clients",
    "collected_month": "Month",
    "company_name": "Client",
    "created_on": "Created",
    "creditor_reference": "Own reference",
    "days_in_stage": "Days in stage",
    "days_in_stage_max": "Longest in stage, days",
    "days_to_close": "Days to close",
    "days_to_close_max": "Slowest, days",
    "delta_usd": "Difference, USD",
    "due_class": "Due",
    "earnings_currency": "Currency",
    "external_tenant_id": "Tenant",
    "fee_total_of_which_estimate_usd": "Of which estimate, USD",
    "fee_total_usd": "Fees, USD",
    "findings_count": "Findings",
    "from_on": "From",
    "from_value": "Before",
    "fx_usd": "Exchange rates, USD",
    "gross_amount": "Claims",
    "is_estimate": "Estimate",
    "linked_at": "Linked",
    "next_due_on": "Next step due",
    "not_after": "Seen",
    "occurred_on": "Date",
    "oldest_age_days": "Oldest, days",
    "payment_amount": "Payment",
    "payment_class": "Due",
    "payment_due_on": "Payment due",
    "rate_weighted_pct": "Rate, %",
    "recovered_amount": "Recovered",
    "referral_fee": "Fee",
    "referral_fee_pct": "Rate, %",
    "referral_fee_usd": "Fee, USD",
    "reference": "Case",
    "revenue_stage": "Stage",
    "rows_count": "Rows",
    "stuck_count": "Stuck",
    "to_on": "To",
    "to_value": "After",
    "transaction_count": "Transactions",
    "transaction_id": "Transaction",
    "usd_at_stake": "At stake, USD",
}
DUE = {"overdue": "Overdue", "due": "Due", "not_before": "Not before", "unknown": "No date known"}


def label(column: str) -> str:
    """The heading of a column."""
    if column in NAMES or column in LABELS:
        return NAMES.get(column) or LABELS[column]
    if column.startswith("after_"):
        return title_case(column.removesuffix("_share"))
    return f"{title_case(column.removesuffix('_usd'))}, USD" if column.endswith("_usd") else title_case(column)
