"""Known values of the enum columns, and which other values may be stored.

Source: the API's contract. Older labels and enum names may still occur.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from debitura_pipeline.api.label_words import is_label

WITHHELD = "[withheld]"

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
_ANY_KNOWN = frozenset().union(*_KNOWN.values())


def is_documented(text: str, column: str | None = None) -> bool:
    """Whether a text is a known value of `column`, or of any column."""
    return _folded(text) in (_ANY_KNOWN if column is None else _KNOWN[column])


@lru_cache(maxsize=4_096)
def safe_label(text: str) -> str:
    """A documented value or a label of ordinary words unchanged; anything else might name a person and is withheld."""
    return text if text == "" or is_documented(text) or is_label(text) else WITHHELD


def safe_labels(texts: pa.Array) -> pa.Array:
    """A column of labels as stored."""
    if all(text is None or safe_label(text) == text for text in pc.unique(texts).to_pylist()):
        return texts
    return pa.array([None if text is None else safe_label(text) for text in texts.to_pylist()], pa.string())
