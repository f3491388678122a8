"""What readers call the revenue stages, which of them belong together, and which fees are estimates.

The stage itself is derived by `stages.py`, and by dbt.
"""

from __future__ import annotations

PAID, PENDING, DISPUTED, UNCLASSIFIED = "Paid", "Pending", "Disputed", "Unclassified"
READY = "ReadyToInvoiceDebitura"
AWAITED = ("AwaitingDebituraPayment", "AwaitingCollectionPartnerPayment", "ConfirmedPendingInvoice")
LABELS = {  # from the surest to the least sure
    PAID: "Paid",
    "AwaitingDebituraPayment": "Invoiced to Debitura",
    READY: "Ready to invoice",
    "AwaitingCollectionPartnerPayment": "Awaiting collection partner",
    "ConfirmedPendingInvoice": "Confirmed, not invoiced",
    PENDING: "Pending (estimate)",
    DISPUTED: "Disputed",
    UNCLASSIFIED: "Unclassified",
}
EXPECTED = tuple(stage for stage in LABELS if stage not in (DISPUTED, UNCLASSIFIED))  # what totals are made of
# An amount that moves with exchange rates, in SQL on `fct_transactions`: the macro `is_moving` of dbt, letter by letter.
IS_MOVING = "(coalesce(is_estimate, true) and not coalesce(is_clawback_risk, false))"
