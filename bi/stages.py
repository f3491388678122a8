"""Revenue stages as the partner report names them, from the surest to the least sure."""

from __future__ import annotations

PAID, PENDING, DISPUTED, UNCLASSIFIED = "Paid", "Pending", "Disputed", "Unclassified"
READY = "ReadyToInvoiceDebitura"
AWAITED = ("AwaitingDebituraPayment", "AwaitingCollectionPartnerPayment", "ConfirmedPendingInvoice")
LABELS = {
    PAID: "Paid",
    "AwaitingDebituraPayment": "Invoiced to Debitura",
    READY: "Ready to invoice",
    "AwaitingCollectionPartnerPayment": "Awaiting collection partner",
    "ConfirmedPendingInvoice": "Confirmed, not invoiced",
    PENDING: "Pending (estimate)",
    DISPUTED: "Disputed",
    UNCLASSIFIED: "Unclassified",
}
EXPECTED = tuple(stage for stage in LABELS if stage not in (DISPUTED, UNCLASSIFIED))
