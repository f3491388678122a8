"""The order in which a reader wants the rows of each report. Files are written in it, so that both engines give the same file.

Text is compared by bytes, nulls come last. Each order ends with the report's key, so that no two rows are equal in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from debitura_pipeline.warehouse.merge_sql import quoted

# Newest months first; in them the fixed orders of stages and bases; lists of what to look at by priority or due date.
ORDERS = {
    "attribution_by_client": ("fee_total_usd DESC", "creditor_id"),
    "attribution_gaps": ("priority",),
    "case_outcomes": ("debtor_country", "currency", "engagement_phase", "outcome"),
    "data_quality": ("area", "check_name"),
    "forecast_backtest": ("made_on DESC", "month"),
    "invoice_draft": ("currency", "line_number"),
    "onboarding_funnel": ("is_stuck DESC", "stage", "stage_since", "client_key"),
    "payment_calendar": (
        "due_class_order", "due_class", "due_on", "stage_order", "payer", "currency", "is_final DESC", "revenue_stage",
    ),
    "payout_reconciliation": ("scope", "resource", "company_name", "creditor_id", "stage"),
    "receivables_by_collection_partner": ("collection_partner", "stage_order", "currency", "revenue_stage"),
    "recovery_rates": ("debtor_country", "currency"),
    "recovery_vintage": ("currency", "created_month DESC", "months_since"),
    "revenue_by_client": ("company_name", "creditor_id", "month DESC", "revenue_stage", "currency"),
    "revenue_by_month": ("month DESC", "basis", "currency"),
    "revenue_forecast": ("month", "stage_order", "source", "revenue_stage"),
    "revenue_pipeline": ("stage_order", "age_bucket", "currency", "revenue_stage"),
    "revenue_summary": ("basis_order", "period_order", "basis", "period"),
    "stage_waterfall": ("month DESC", "stage_order", "revenue_stage"),
    "what_changed": ("subject DESC", "change", "company_name", "subject_id", "change_id"),
}  # fmt: skip


def order_by(report: str, columns: Sequence[str]) -> str:
    """What follows ORDER BY, in DuckDB. A report that is not listed, or is of an older version, is sorted by all columns."""
    keys = [key.split(" ") for key in ORDERS.get(report, ())]
    if not keys or not all(key[0] in columns for key in keys):
        keys = [[column] for column in columns]
    return ", ".join(f"{quoted(name)} {' '.join(direction) or 'ASC'} NULLS LAST" for name, *direction in keys)
