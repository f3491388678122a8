"""States of cases, as the API's filter `Statuses` spells them."""

from __future__ import annotations

PENDING_STATES = (
    "PendingContractSigning",
    "PendingVerificationInternal",
    "PendingVerification",
    "NeedsAdditionalDetails",
    "Leads",
    "LeadsQuoteGiven",
)
OPEN_STATES = (*PENDING_STATES, "Active", "Paused")
CLOSED_STATES = ("Closed", "Merged")
