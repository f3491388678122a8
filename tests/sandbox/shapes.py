"""The shapes of the API that this project relies on, in its own words, and a checker for them.

Belongs here: fields and types of what is read. Does not: values. The published description, where it is at hand, is
checked against as well (`test_contract.py`); these shapes are there always. A trailing `?` allows null.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

PAGE = dict.fromkeys(("totalResults", "pageSize", "currentPage", "responseCount", "totalPages"), "whole")
USER = {"email": "text?", "name": "text?"}
CLIENT_BRIEF = {"externalTenantId": "text?", "creditorId": "uuid", "companyName": "text?"}
CASE = {
    "id": "uuid", "reference": "text?", "creditorReference": "text?",
    "client": CLIENT_BRIEF | {"contacts": {"onboardingUser": USER, "officeEmail": "text?", "otherUsers": [USER]}},
    "debtor": {"name": "text?", "country": "text?"},
    "grossAmount": "number", "remainder": "number", "currency": "text?", "lifecycle": "text?", "closeCode": "text?",
    "currentEngagementPhase": "text?", "dateCreated": "instant", "dueDate": "instant", "dateCollectionStarted": "instant?",
    "dateFinished": "instant?",
    "validation": {
        "needsInfo": "flag", "creditorRespondedAt": "instant?", "items": [{"resolutionArea": "text?", "description": "text?"}],
    },
    "collectionPartner": "text?", "expectedReferralRatePercentage": "number?",
}  # fmt: skip
TRANSACTION = {
    "transactionId": "uuid", "date": "instant", "client": CLIENT_BRIEF,
    "case": {
        "invoiceId": "uuid", "caseReference": "text?", "debtorName": "text?", "originalAmount": "number", "currency": "text?",
    },
    "payment": {"amount": "number", "currency": "text?", "paymentDate": "instant"},
    "earnings": {
        "currency": "text?", "debituraRevenue": "number", "debituraRevenueUsd": "number", "referralFeePercentage": "number",
        "referralFeeAmount": "number", "referralFeeAmountUsd": "number", "isEstimate": "flag",
    },
    "recognition": {"isRecognized": "flag", "referralFeeRecognizedUsd": "number"},
    "status": {"commissionPaymentStatus": "text?", "platformInvoicingStatus": "text?", "referralInvoicingStatus": "text?"},
}  # fmt: skip
CLIENT = {
    "externalTenantId": "text?", "onboardingDone": "flag", "onboardingLinks": {"url": "text?"},
    "client": {
        "id": "uuid", "companyName": "text?", "officeEmail": "text?", "country": "text?", "address": "text?", "city": "text?",
        "zipCode": "text?", "companyRegistrationNumber": "text?",
    },
    "users": [{"id": "whole", "email": "text?", "firstName": "text?", "lastName": "text?"}],
    "isAttributedClient": "flag", "dateLinked": "instant",
    "caseStats": {"casesTotal": "whole", "casesClosed": "whole", "earningsUsd": "number"},
    "kycStatus": "text?", "kycVerification": "any", "caseResults": "any",
}  # fmt: skip
STAGES = (
    "pending", "confirmedPendingInvoice", "awaitingCollectionPartnerPayment", "readyToInvoiceDebitura",
    "awaitingDebituraPayment", "paid", "disputed",
)  # fmt: skip
LISTINGS = {
    "/cases": {
        "page": PAGE, "cases": [CASE],
        "summary": {
            "totalCases": "whole", "casesThisMonth": "whole",
            "byLifecycle": dict.fromkeys(("active", "pending", "closed", "paused"), "whole"),
        },
    },
    "/reporting/transactions": {
        "page": PAGE, "data": [TRANSACTION],
        "summary": {
            "revenue": {f"{stage}ReferralFeeUsd": "number" for stage in STAGES} | {f"{stage}Count": "whole" for stage in STAGES},
            "totalDebituraRevenueUsd": "number",
        },
    },
    "/clients": {
        "page": PAGE, "clients": [CLIENT],
        "summary": dict.fromkeys(
            ("totalClients", "attributedClients", "onboardingComplete", "onboardingPending", "totalCases"), "whole"
        ),
    },
}  # fmt: skip


def _is_instant(value: Any) -> bool:
    looks_right = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value) is not None
    return looks_right and datetime.fromisoformat(value) is not None


CHECKS = {
    "text": lambda value: isinstance(value, str),
    "uuid": lambda value: isinstance(value, str) and str(UUID(value)) == value,
    "whole": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, Decimal),
    "flag": lambda value: isinstance(value, bool),
    "instant": _is_instant,
    "any": lambda value: True,
}


def misfits(value: Any, shape: Any, place: str = "") -> list[str]:
    """Where `value` does not have `shape`."""
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            return [f"{place}: {value!r:.80} has not exactly {sorted(shape)}"]
        return [fault for name, inner in shape.items() for fault in misfits(value[name], inner, f"{place}.{name}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        return [fault for number, each in enumerate(value) for fault in misfits(each, shape[0], f"{place}[{number}]")]
    if value is None and shape.endswith("?"):
        return []
    return [] if CHECKS[shape.rstrip("?")](value) else [f"{place}: {value!r:.80} is not {shape}"]
