"""What the API sends that the contract does not name: new fields, and new values of its enums.

Belongs here: the values known so far, and the comparison. Does not: refusing anything; unknown values are stored as
they came. Source: behaviour.md, sections 3, 5 and 6; older labels and enum names may still come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.landing.contract import Table
from debitura_pipeline.landing.findings import Drift
from debitura_pipeline.landing.layout import Path
from debitura_pipeline.landing.redact import safe_enum, safe_path

MAX_NEW_VALUES = 50  # per column and window: a column that is no enum any more needs no longer list

_KNOWN_TEXTS: dict[str, tuple[str, ...]] = {
    "kyc_status": ("NotRequired", "Pending", "Verified"),
    "lifecycle": (
        "Pending contract signing",
        "Pending Verification Internal",
        "Pending Verification",
        "More Info Required",
        "NeedsAdditionalDetails",
        "Collecting Quotes",
        "Pending quote by partner",
        "Leads",
        "Pending Quote Selection",
        "Quote given by partner",
        "LeadsQuoteGiven",
        "Active",
        "Paused",
        "Closed",
        "Merged",
    ),
    "close_code": (
        "Paid",
        "Partially paid",
        "Case never started",
        "Case never started - Internal",
        "CaseNeverStartedInternal",
        "Invalid Case Data",
        "Debtor Insolvent/Bankrupt",
        "Debtor Untraceable",
        "Disputed – Legal Action Declined by Client",
        "Withdrawn by Client",
        "Settlement Rejected by Client",
        "Unresponsive Client",
        "Pre-Legal Exhausted – No Payment",
        "Statute of Limitations Expired",
        "Uneconomical to Pursue",
        "No Quotes Received",
        "Quotes Expired – Not Accepted",
        "Other",
    ),
    "engagement_phase": ("Pre-legal", "Legal", "Enforcement"),
    "commission_status": ("Unpaid", "Paid", "Credited"),
    "platform_invoicing_status": ("NotInvoiced", "InvoiceIssued", "PaymentReceived", "InvoiceCredited"),
    "referral_invoicing_status": ("Pending", "Invoiced", "Paid", "Disputed"),
}


def _folded(text: str) -> str:
    """Letters and digits alone: `not_required`, `NotRequired` and `Not required` are one value."""
    return re.sub(r"[\W_]+", "", text.lower())


_KNOWN = {column: frozenset(map(_folded, texts)) for column, texts in _KNOWN_TEXTS.items()}


def find_drift(table: Table, rows: pa.Table, unknown: Iterable[Path]) -> tuple[Drift, ...]:
    """Every new field and enum value of a window, once each, sorted; nothing in it is personal."""
    fields = {Drift("field", safe_path(path), None) for path in unknown}
    found = fields.union(_new_values(table, rows))
    return tuple(sorted(found, key=lambda drift: (drift.kind, drift.field, drift.value or "")))


def _new_values(table: Table, rows: pa.Table) -> Iterator[Drift]:
    for column in table.columns:
        known = _KNOWN.get(column.name)
        if known is None:
            continue
        seen = sorted(value for value in pc.unique(rows[column.name]).to_pylist() if value is not None)
        new = [value for value in seen if _folded(value) not in known]
        for value in new[:MAX_NEW_VALUES]:
            yield Drift("value", ".".join(column.path), safe_enum(value))
