"""Rows and pages as the API spells them, for the landing tests: one full row of each listing, and random ones.

Names, addresses and the like are made up; a privacy test looks for each of them in what is written.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

KEY = b"a key for tests only"
ROWS_KEYS = {"clients": "clients", "cases": "cases", "transactions": "data"}


class Number(str):
    """A number's text, written into the JSON as it stands."""


def case_row(**changes: Any) -> dict[str, Any]:
    row = {
        "id": "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77",
        "reference": "K7TRW2QD",
        "creditorReference": "INV-2026-17",
        "client": {
            "externalTenantId": "tenant-042",
            "creditorId": "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
            "companyName": "Nordlys Handel A/S",
            "contacts": {
                "onboardingUser": {"email": "sigrid.falk@nordlys.example", "name": "Sigrid Falk"},
                "officeEmail": "kontor@nordlys.example",
                "otherUsers": [{"email": "tue.holm@nordlys.example", "name": "Tue Holm"}],
            },
        },
        "debtor": {"name": "Åse  Bjørnsdóttir", "country": "Germany"},
        "grossAmount": Number("1200.5"),
        "remainder": Number("0.00005"),
        "currency": "EUR",
        "lifecycle": "Active",
        "closeCode": None,
        "currentEngagementPhase": "Pre-legal",
        "dateCreated": "2026-01-05T02:00:00.1234567Z",
        "dueDate": "2025-12-01T00:00:00",
        "dateCollectionStarted": "2026-01-06T01:30:00+02:00",
        "dateFinished": None,
        "validation": {
            "needsInfo": True,
            "creditorRespondedAt": None,
            "items": [{"resolutionArea": "ProvideDocuments", "description": "Ask Sigrid Falk for the contract"}],
        },
        "collectionPartner": "Inkasso Süd GmbH",
        "expectedReferralRatePercentage": Number("50.0"),
    }
    return {**row, **changes}


def transaction_row(**changes: Any) -> dict[str, Any]:
    row = {
        "transactionId": "11111111-2222-4333-8444-555555555555",
        "date": "2026-03-01T10:00:00Z",
        "client": {
            "externalTenantId": "tenant-042",
            "creditorId": "7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10",
            "companyName": "Nordlys Handel A/S",
        },
        "case": {
            "invoiceId": "0b9f4a52-6f0e-4c1e-8a55-3d1a7c2e9b77",
            "caseReference": "K7TRW2QD",
            "debtorName": "Åse Bjørnsdóttir",
            "originalAmount": Number("1200.5"),
            "currency": "EUR",
        },
        "payment": {"amount": Number("100"), "currency": "EUR", "paymentDate": "2026-02-27T00:00:00"},
        "earnings": {
            "currency": "EUR",
            "debituraRevenue": Number("6.00015"),
            "debituraRevenueUsd": Number("6.5100000000000002"),
            "referralFeePercentage": Number("50"),
            "referralFeeAmount": Number("3.00025"),
            "referralFeeAmountUsd": Number("3.255"),
            "isEstimate": True,
        },
        "recognition": {"isRecognized": False, "referralFeeRecognizedUsd": Number("0")},
        "status": {
            "commissionPaymentStatus": "Unpaid",
            "platformInvoicingStatus": "NotInvoiced",
            "referralInvoicingStatus": None,
        },
    }
    return {**row, **changes}


def client_row(**changes: Any) -> dict[str, Any]:
    row = {
        "externalTenantId": "tenant-042",
        "onboardingDone": False,
        "onboardingLinks": {"url": "https://referral.debitura.example/companydetails/9f8e7d6c"},
        "client": {
            "id": "7D0C2F5E-1A0B-4C55-9D7F-0F6B8F1F2A10",
            "companyName": "Nordlys Handel A/S",
            "officeEmail": "kontor@nordlys.example",
            "country": "Denmark",
            "address": "Vestergade 113",
            "city": "Aarhus",
            "zipCode": "DK-8099",
            "companyRegistrationNumber": "DK12345678",
        },
        "users": [{"id": 7, "email": "sigrid.falk@nordlys.example", "firstName": "Sigrid", "lastName": "Falk"}],
        "isAttributedClient": True,
        "dateLinked": "2025-11-30T12:00:00Z",
        "caseStats": {"casesTotal": 12, "casesClosed": 3, "earningsUsd": Number("45.125")},
        "kycStatus": "not_required",
        "kycVerification": {
            "directorFullName": "Torben Friis",
            "directorHomeAddress": "Skovvej 77, Odense",
            "directorDateOfBirth": "1971-08-19",
            "verificationStatus": "Processing",
        },
        "caseResults": {"successfulCases": None, "failedCases": [{"caseIndex": 0, "errorMessage": "Ring Tue Holm"}]},
    }
    return {**row, **changes}


MAKERS = {"clients": client_row, "cases": case_row, "transactions": transaction_row}
PERSONAL_TEXTS = (
    "Sigrid", "Falk", "Tue Holm", "nordlys.example", "Bjørnsdóttir", "Åse", "Vestergade", "DK-8099", "Torben", "Friis",
    "Skovvej", "1971-08-19", "debitura.example", "9f8e7d6c", "Ask ", "Ring ",
)  # fmt: skip


def to_json(value: Any) -> str:
    """JSON with the numbers' own text."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{to_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(to_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def page(resource: str, rows: Sequence[Any]) -> bytes:
    """A whole response body."""
    body = {
        "page": {"totalResults": len(rows), "pageSize": 100, "currentPage": 1, "responseCount": len(rows)},
        ROWS_KEYS[resource]: list(rows),
        "summary": {"totalDebituraRevenueUsd": Number("1.5")},
    }
    return to_json(body).encode()


plain_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
ids = st.uuids(version=4).map(str) | st.uuids(version=4).map(lambda value: str(value).upper())
digits = st.integers(0, 9_999_999_999).map(str)
numbers = st.one_of(
    st.builds(lambda sign, whole, part: f"{sign}{whole}.{part}", st.sampled_from(["", "-"]), digits, digits),
    st.builds(lambda whole, sign, power: f"{whole}E{sign}{power}", digits, st.sampled_from(["-", "+", ""]), st.integers(0, 8)),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e13, max_value=1e13).map(repr),
    st.decimals(min_value=-(10**13), max_value=10**13, places=5, allow_nan=False).map(str),
    st.sampled_from(["0", "-0", "-0.0", "0.00005", "0.00015", "-0.00005", "99999999999999.9999", "12345678901234.5678", "1e-30"]),
)  # fmt: skip
instants = st.builds(
    lambda moment, digits, zone: (
        moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        + (f".{moment.microsecond:06d}7"[: digits + 1] if digits else "")
        + zone
    ),
    st.datetimes(),
    st.integers(0, 7),
    st.sampled_from(["", "Z", "Z", "+00:00", "-05:30", "+0200"]),
).filter(lambda text: "0001-01-02" < text < "9999-12-30")


def _leaf(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same sort as `value`."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, Number):
        return numbers.map(Number) | numbers
    if isinstance(value, int):
        return st.integers(0, 2**40)
    if isinstance(value, str) and len(value) > 10 and value[4] == "-" and value[7] == "-":
        return instants
    if isinstance(value, str) and len(value) == 36:
        return ids
    return plain_texts


def variations(value: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Random values of the outline of `value`: fields go missing or null, objects too; the key stays."""
    if not isinstance(value, dict):
        return _leaf(value) if value is not None else st.none()
    required = {field: variations(inner, field) for field, inner in value.items() if field in KEY_FIELDS}
    optional = {field: st.none() | variations(inner, field) for field, inner in value.items() if field not in required}
    return st.fixed_dictionaries(required, optional=optional)


KEY_FIELDS = ("id", "transactionId", "client")


def new_id() -> str:
    return str(uuid.uuid4())
