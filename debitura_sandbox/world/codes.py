"""Enums of the simulated API: lifecycles, close codes, statuses, stages. A value's index is its code in the columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NULL_US = int(np.iinfo(np.int64).min)  # "no instant" in a column of microseconds
DAY_US = 86_400_000_000


class Lifecycle(NamedTuple):
    """One lifecycle: the enum name that filters take, the label that rows carry, and its group in the summary."""

    name: str
    label: str
    group: str


LIFECYCLES = (
    Lifecycle("PendingContractSigning", "Pending contract signing", "pending"),
    Lifecycle("PendingVerificationInternal", "Pending Verification Internal", "pending"),
    Lifecycle("PendingVerification", "Pending Verification", "pending"),
    Lifecycle("NeedsAdditionalDetails", "More Info Required", "pending"),
    Lifecycle("Leads", "Collecting Quotes", "pending"),
    Lifecycle("LeadsQuoteGiven", "Pending Quote Selection", "pending"),
    Lifecycle("Active", "Active", "active"),
    Lifecycle("Paused", "Paused", "paused"),
    Lifecycle("Closed", "Closed", "closed"),
    Lifecycle("Merged", "Merged", "closed"),  # inferred: a merged case counts as closed
)
(SIGNING, INTERNAL, VERIFYING, NEEDS_INFO, LEADS, QUOTED, ACTIVE, PAUSED, CLOSED, MERGED) = range(10)
GROUPS = ("active", "pending", "closed", "paused")
GROUP_OF = np.array([GROUPS.index(lifecycle.group) for lifecycle in LIFECYCLES])

CLOSE_CODES = (
    "Paid",
    "Partially paid",
    "Case never started",
    "Case never started - Internal",
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
)
PAID_IN_FULL, PAID_IN_PART, NEVER_STARTED_INTERNAL, WITHDRAWN, NOTHING_PAID = 0, 1, 3, 8, 11
EARLY = (2, 3, 4, 14, 15)  # of cases that no collection partner has begun with
CLOSE_WEIGHTS = np.array([40, 12, 3, 1, 2, 5, 5, 3, 6, 1, 3, 9, 1, 4, 2, 1, 2], dtype=float)
CLOSE_WEIGHTS /= CLOSE_WEIGHTS.sum()
LATE_WEIGHTS = np.where(np.isin(np.arange(len(CLOSE_CODES)), EARLY), 0.0, CLOSE_WEIGHTS)
LATE_WEIGHTS /= LATE_WEIGHTS.sum()
EARLY_WEIGHTS = CLOSE_WEIGHTS[list(EARLY)] / CLOSE_WEIGHTS[list(EARLY)].sum()

PHASES = ("Pre-legal", "Legal", "Enforcement")
KYC_STATES = ("not_required", "pending", "verified")
KYC_REVIEWS = (None, "Processing", "Completed")

COMMISSION = ("Unpaid", "Paid", "Credited")
UNPAID, PAID, CREDITED = range(3)
PLATFORM = ("NotInvoiced", "InvoiceIssued", "PaymentReceived", "InvoiceCredited")
NOT_INVOICED, ISSUED, RECEIVED, INVOICE_CREDITED = range(4)
REFERRAL = ("Pending", "Invoiced", "Paid", "Disputed")
REFERRAL_PENDING, REFERRAL_INVOICED, REFERRAL_PAID, DISPUTED = range(4)
NO_CODE = -1  # null in a column of codes

STAGES = (
    "pending",
    "confirmedPendingInvoice",
    "awaitingCollectionPartnerPayment",
    "readyToInvoiceDebitura",
    "awaitingDebituraPayment",
    "paid",
    "disputed",
)
UNCLASSIFIED = len(STAGES)
PAY_WHEN_PAID, CONFIRMED_PIPELINE = "PayWhenPaid", "ConfirmedPipeline"

EVENTS = (
    "client.onboarding.poa_signed",
    "client.onboarding.contract_signed",
    "client.linked",
    "client.link_declined",
    "client.link_requested",
    "client.link_expired",
    "case.created",
    "case.updated",
    "case.closed",
    "cases.replay_failed",
)


def stages(commission: Ints, platform: Ints, referral: Ints, mode: str) -> Ints:
    """Stage code of each transaction, from its three statuses; UNCLASSIFIED where no bucket is described for it."""
    open_ = (referral == NO_CODE) | (referral == REFERRAL_PENDING)
    ready = platform == RECEIVED
    if mode == CONFIRMED_PIPELINE:
        ready |= (commission == PAID) & ((platform == NOT_INVOICED) | (platform == ISSUED))
    conditions = [
        referral == DISPUTED,
        referral == REFERRAL_PAID,
        referral == REFERRAL_INVOICED,
        open_ & ready,
        open_ & (platform == ISSUED),
        open_ & (platform == NOT_INVOICED) & (commission == PAID),
        open_ & (platform == NOT_INVOICED),
    ]
    return np.select(conditions, [6, 5, 4, 3, 2, 1, 0], UNCLASSIFIED).astype(np.int64)
