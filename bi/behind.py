"""The rows behind a figure: which table, which columns, and their exact sums, never over two currencies."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import streamlit as st

from bi.filters import Condition
from bi.tables import show
from bi.view import View, plain
from debitura_pipeline.formats import format_amount

SHOWN = 2_000  # rows in one table of a page; sums are over all of them


@dataclass(frozen=True)
class Kind:
    """Rows of one sort. `usd`: its column in USD, if any; `amounts`: columns in the currency of column `currency`."""

    table: str
    noun: str
    columns: tuple[str, ...]
    order: str
    usd: str | None = None
    currency: str | None = None
    amounts: tuple[str, ...] = ()


# Names of debtors are left out on purpose, also where the warehouse has them.
TRANSACTIONS = Kind(
    "marts.fct_transactions", "transaction",
    ("occurred_on", "company_name", "case_reference", "revenue_stage", "referral_fee_usd", "referral_fee_recognized_usd",
     "is_estimate", "referral_fee", "earnings_currency", "payment_class", "payment_due_on", "next_due_on", "days_in_stage",
     "next_step", "collection_partner", "debtor_country", "payment_amount", "payment_currency", "transaction_id"),
    "occurred_on DESC NULLS LAST, transaction_id", "referral_fee_usd", "earnings_currency", ("referral_fee",),
)  # fmt: skip
CASES = Kind(
    "marts.fct_cases", "case",
    ("created_on", "company_name", "reference", "creditor_reference", "lifecycle", "close_code", "outcome", "engagement_phase",
     "debtor_country", "currency", "gross_amount", "remainder", "recovered_amount", "collection_partner", "age_days",
     "days_to_close", "transaction_count", "fee_total_usd", "case_id"),
    "created_on DESC NULLS LAST, case_id", None, "currency", ("gross_amount", "recovered_amount"),
)  # fmt: skip
FINDINGS = Kind(
    "reports.attribution_gaps", "finding",
    ("priority", "finding", "usd_at_stake", "company_name", "age_days", "detail", "what_to_do", "case_id", "transaction_id"),
    "priority",
)  # fmt: skip
CHANGES = Kind(
    "reports.what_changed", "change",
    ("subject", "change", "field", "company_name", "from_value", "to_value", "delta_usd", "currency", "delta_amount",
     "is_expected_income", "not_before", "not_after", "case_id", "subject_id"),
    "abs(coalesce(delta_usd, 0)) DESC, subject_id", "delta_usd",
)  # fmt: skip
STAGE_CHANGES = Kind(
    "marts.fct_stage_changes", "change",
    ("not_after", "kind", "from_stage", "to_stage", "from_referral_fee_usd", "to_referral_fee_usd", "moved_usd", "edit_usd",
     "fx_usd", "delta_usd", "not_before", "case_id", "transaction_id"),
    "not_after DESC, transaction_id",
)  # fmt: skip
CLIENTS = Kind(
    "reports.onboarding_funnel", "client",
    ("company_name", "stage", "stage_since", "days_in_stage", "is_stuck", "outstanding", "registered_at", "signed_at",
     "access_at", "first_case_at", "first_payment_at", "claims_submitted", "claims_waiting", "external_tenant_id"),
    "days_in_stage DESC NULLS LAST, client_key",
)  # fmt: skip


def rows_behind(view: View, key: str, title: str, kind: Kind, where: Condition) -> None:
    """The rows that fulfil the condition, how many they are, and what they add up to."""
    count = view.one(kind.table, "count(*)", where)
    st.markdown(f"**{plain(title)}**: {_counted(count, kind.noun)}{_sums(view, kind, where)}")
    if not count:
        return
    if count > SHOWN:
        st.caption(f"The first {SHOWN:,} rows; counted and added up are all of them.")
    found = view.frame(kind.table, kind.columns, where, f"ORDER BY {kind.order} LIMIT {SHOWN}")
    show(found, key=f"behind-{key}", alt=f"Rows behind {title}")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def _sums(view: View, kind: Kind, where: Condition) -> str:
    """`, 12.00 USD; referral fee 10.00 EUR, 14.90 DKK`."""
    parts = []
    if kind.usd:
        parts.append(f", {format_amount(view.amount(kind.table, f'sum({kind.usd})', where))} USD")
    for amount in kind.amounts:
        by_currency = view.frame(
            kind.table, (f"{kind.currency} AS currency", f"sum({amount}) AS amount"), where, "GROUP BY 1 ORDER BY 1"
        )
        sums = ", ".join(
            f"{format_amount(Decimal(row.amount))} {plain(row.currency or 'of unknown currency')}"
            for row in by_currency.itertuples(index=False)
            if row.amount is not None
        )
        if sums:
            parts.append(f"; {amount.replace('_', ' ')} {sums}")
    return "".join(parts)
