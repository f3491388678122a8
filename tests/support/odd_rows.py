"""Rows that fit no stage, of which no total tells the sum."""

from __future__ import annotations

from tests.support.sandbox import RunningSandbox


def without_odd_rows(sandbox: RunningSandbox) -> None:
    """Take them out of the simulated world, so that a sync of it can be proven."""
    known = {"NotInvoiced", "InvoiceIssued", "PaymentReceived"}
    for number, row in enumerate(sandbox.truth("transactions")):
        if row["status"]["platformInvoicingStatus"] not in known:
            sandbox.admin("change", {"op": "row", "resource": "transactions", "action": "delete", "row": number})
