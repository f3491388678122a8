"""The bytes of `POST /cases` and `POST /cases/preview` for a claim. The same row always gives the same bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from debitura_pipeline.source import Claim
from debitura_pipeline.source.claims import COMPANY

AGES = {
    "amountToRecoverOver6Months": "amount_over_6_months",
    "amountToRecoverOver12Months": "amount_over_12_months",
    "amountToRecoverOver24Months": "amount_over_24_months",
}
US = "US"


def case_body(claim: Claim, tag: str | None = None) -> bytes:
    """The request that creates the case. `tag`: only for test cases."""
    return _packed(
        {
            **_money(claim),
            **_ages(claim),
            "date": claim.invoice_date and claim.invoice_date.isoformat(),
            "dueDate": claim.due_date and claim.due_date.isoformat(),
            "creditorReference": claim.reference,
            "claimDescription": claim.description,
            "comments": claim.comments,
            "isTest": True if claim.is_test else None,
            "tag": tag if claim.is_test else None,
            "debtor": _debtor(claim),
        }
    )


def preview_body(claim: Claim) -> bytes:
    """The request for eligibility and price; holds nothing about a person. Age parts and due date exclude each other."""
    ages = _ages(claim)
    due = None if any(ages.values()) or claim.due_date is None else claim.due_date.isoformat()
    return _packed({**_money(claim), **ages, "dueDate": due, "debtor": _place(claim)})


def wire_type(debtor_type: str) -> str:
    """`Company` or `Private`."""
    return "Company" if debtor_type == COMPANY else "Private"


def _debtor(claim: Claim) -> dict[str, Any]:
    return _present(
        {
            **_place(claim),
            "name": claim.debtor_name,
            "contactPerson": claim.debtor_contact_person,
            "companyRegistrationNumber": claim.debtor_registration_number,
            "address": claim.debtor_address,
            "zipCode": claim.debtor_zip_code,
            "city": claim.debtor_city,
            "state": None if claim.debtor_country == US else claim.debtor_state,
            "email": claim.debtor_email,
            "phone": claim.debtor_phone,
        }
    )


def _place(claim: Claim) -> dict[str, Any]:
    return _present(
        {
            "type": wire_type(claim.debtor_type),
            "countryAlpha2": claim.debtor_country,
            "stateAlpha2": claim.debtor_state if claim.debtor_country == US else None,
        }
    )


def _money(claim: Claim) -> dict[str, Any]:
    return {"amountToRecover": _number(claim.amount), "currencyCode": claim.currency}


def _ages(claim: Claim) -> dict[str, Any]:
    parts = {name: getattr(claim, attribute) for name, attribute in AGES.items()}
    return {name: _number(part) for name, part in parts.items() if part is not None}


def _number(text: str) -> msgspec.Raw:
    """A JSON number with the digits of the source, so that no amount passes through binary fractions."""
    return msgspec.Raw(f"{Decimal(text):f}".encode())


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _packed(values: dict[str, Any]) -> bytes:
    return msgspec.json.encode(_present(values))
