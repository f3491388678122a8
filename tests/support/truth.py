"""What `raw` must hold, worked out from the sandbox's truth by other code than the pipeline's.

Belongs here: the mapping written down a second time, by hand, row by row. Does not: reading the warehouse.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

Row = dict[str, Any]


def money(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal("0.0001"), ROUND_HALF_EVEN)


def instant(text: str | None) -> datetime | None:
    """ISO 8601; naive is UTC; what lies beyond microseconds is cut off."""
    if text is None:
        return None
    at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def debtor_key(name: str | None, key: bytes) -> str | None:
    if name is None or not name.strip():
        return None
    plain = " ".join(unicodedata.normalize("NFC", name).split()).lower()
    return hmac.new(key, plain.encode(), hashlib.sha256).hexdigest()


def client_row(row: Row, _: bytes) -> Row:
    client, stats = row.get("client") or {}, row.get("caseStats") or {}
    return {
        "creditor_id": client["id"].lower(),
        "external_tenant_id": row["externalTenantId"],
        "company_name": client.get("companyName"),
        "country": client.get("country"),
        "city": client.get("city"),
        "registration_number": client.get("companyRegistrationNumber"),
        "is_attributed": row["isAttributedClient"],
        "onboarding_done": row["onboardingDone"],
        "linked_at": instant(row["dateLinked"]),
        "kyc_status": row.get("kycStatus"),
        "cases_total": stats.get("casesTotal"),
        "cases_closed": stats.get("casesClosed"),
        "earnings_usd": money(stats.get("earningsUsd")),
    }


def case_row(row: Row, key: bytes) -> Row:
    client, debtor, validation = (row.get(name) or {} for name in ("client", "debtor", "validation"))
    return {
        "case_id": row["id"].lower(),
        "reference": row["reference"],
        "creditor_reference": row["creditorReference"],
        "external_tenant_id": client["externalTenantId"],
        "creditor_id": client["creditorId"].lower(),
        "company_name": client["companyName"],
        "debtor_key": debtor_key(debtor.get("name"), key),
        "debtor_name": None,
        "debtor_country": debtor.get("country"),
        "gross_amount": money(row["grossAmount"]),
        "remainder": money(row["remainder"]),
        "currency": row["currency"],
        "lifecycle": row["lifecycle"],
        "close_code": row["closeCode"],
        "engagement_phase": row["currentEngagementPhase"],
        "created_at": instant(row["dateCreated"]),
        "due_at": instant(row["dueDate"]),
        "collection_started_at": instant(row["dateCollectionStarted"]),
        "finished_at": instant(row["dateFinished"]),
        "needs_info": validation.get("needsInfo"),
        "creditor_responded_at": instant(validation.get("creditorRespondedAt")),
        "collection_partner": row["collectionPartner"],
        "expected_referral_rate_pct": money(row["expectedReferralRatePercentage"]),
    }


def transaction_row(row: Row, key: bytes) -> Row:
    client, case, payment = row["client"], row["case"], row["payment"]
    earnings, recognition, status = row["earnings"], row["recognition"], row["status"]
    return {
        "transaction_id": row["transactionId"].lower(),
        "occurred_at": instant(row["date"]),
        "external_tenant_id": client["externalTenantId"],
        "creditor_id": client["creditorId"].lower(),
        "company_name": client["companyName"],
        "case_id": case["invoiceId"].lower(),
        "case_reference": case["caseReference"],
        "debtor_key": debtor_key(case.get("debtorName"), key),
        "debtor_name": None,
        "case_amount": money(case["originalAmount"]),
        "case_currency": case["currency"],
        "payment_amount": money(payment["amount"]),
        "payment_currency": payment["currency"],
        "paid_at": instant(payment["paymentDate"]),
        "earnings_currency": earnings["currency"],
        "debitura_revenue": money(earnings["debituraRevenue"]),
        "debitura_revenue_usd": money(earnings["debituraRevenueUsd"]),
        "referral_fee_pct": money(earnings["referralFeePercentage"]),
        "referral_fee": money(earnings["referralFeeAmount"]),
        "referral_fee_usd": money(earnings["referralFeeAmountUsd"]),
        "is_estimate": earnings["isEstimate"],
        "is_recognized": recognition["isRecognized"],
        "referral_fee_recognized_usd": money(recognition["referralFeeRecognizedUsd"]),
        "commission_status": status["commissionPaymentStatus"],
        "platform_invoicing_status": status["platformInvoicingStatus"],
        "referral_invoicing_status": status["referralInvoicingStatus"],
    }


EXPECTED = {
    "clients": ("creditor_id", client_row),
    "cases": ("case_id", case_row),
    "transactions": ("transaction_id", transaction_row),
}
FLOATING = ("debitura_revenue_usd", "referral_fee_usd", "referral_fee_recognized_usd")


def expected(resource: str, truth: list[Row], key: bytes) -> dict[str, Row]:
    """Rows that `raw.<resource>` must show as live, by key."""
    name, make = EXPECTED[resource]
    return {row[name]: row for row in (make(item, key) for item in truth)}


def version(resource: str, row: Row) -> tuple[Any, ...]:
    """What makes a version of a row: all but the debtor's name, and of an estimate all but its USD."""
    left_out = {"debtor_name", *(FLOATING if resource == "transactions" and row["is_estimate"] else ())}
    return tuple(value for name, value in row.items() if name not in left_out)
