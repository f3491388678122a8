"""Read and validate the body of `POST /cases` and of a preview: field errors by name, or a claim.

Codes of the world (country, currency) are -1 where the world does not have what was asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

from debitura_sandbox.api.query import PARTNER_IDS
from debitura_sandbox.world.addresses import COUNTRIES, CURRENCIES
from debitura_sandbox.world.codes import DAY_US
from debitura_sandbox.world.columns import UNIT, to_us
from debitura_sandbox.world.us_states import find_state

LENGTHS = {"creditorReference": 50, "comments": 4_000, "claimDescription": 4_000, "tag": 100, "assignedUserEmail": 320}
AGES = ("amountToRecoverOver6Months", "amountToRecoverOver12Months", "amountToRecoverOver24Months")
UNKNOWN = -1
Errors = dict[str, list[str]]


@dataclass(frozen=True)
class Claim:
    """What a request asks for. Amounts are Decimal in the claim's currency; `over`: parts over 6, 12 and 24 months, or None."""

    amount: Decimal
    currency: int
    currency_code: str
    country: int
    country_code: str
    state: str | None
    is_person: bool
    over: tuple[Decimal | None, ...]
    due_us: int | None
    partner: int | None  # asked for; UNKNOWN for an id of nobody


@dataclass(frozen=True)
class CaseRequest:
    """A valid body of `POST /cases`."""

    claim: Claim
    reference: str | None
    date_us: int
    allows_pending: bool
    skips_verification: bool
    is_test: bool
    tag: str | None
    people: dict[str, Any]


class FieldErrors(Exception):
    """The body breaks rules; `errors`: messages by field name."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


def read_case(body: dict[str, Any], now_us: int) -> CaseRequest:
    """Read a body of `POST /cases`. Raises FieldErrors."""
    errors: Errors = {}
    debtor = _debtor(body)
    claim = _claim(body, debtor, errors, now_us, is_preview=False)
    for name, longest in LENGTHS.items():
        if body.get(name) is not None and (not isinstance(body[name], str) or len(body[name]) > longest):
            errors[name] = [f"The field must be text of at most {longest} characters."]
    if not str(debtor.get("name") or "").strip():
        errors["debtor.name"] = ["The field is required."]
    if not claim.is_person and not debtor.get("contactPerson"):
        errors["debtor.contactPerson"] = ["The field is required for a company."]
    date = _instant(body, "date", errors)
    if date is not None and date > now_us:
        errors["date"] = ["The date must not be in the future."]
    if date is not None and claim.due_us is not None and claim.due_us < date:
        errors["dueDate"] = ["The due date must not be before the date."]
    if errors:
        raise FieldErrors(errors)
    people = {name: body.get(name) for name in ("debtor", "comments", "claimDescription", "assignedUserEmail")}
    return CaseRequest(
        claim, body.get("creditorReference") or None, date if date is not None else now_us // DAY_US * DAY_US,
        bool(body.get("allowPendingContracts")), bool(body.get("skipDebituraVerification")), bool(body.get("isTest")),
        body.get("tag") or None, people,
    )  # fmt: skip


def read_preview(body: dict[str, Any], now_us: int) -> Claim:
    """Read a body of a preview. Raises FieldErrors."""
    errors: Errors = {}
    debtor = _debtor(body)
    claim = _claim(body, debtor, errors, now_us, is_preview=True)
    if claim.due_us is not None and any(part is not None for part in claim.over):
        errors["dueDate"] = ["The due date cannot be combined with amounts by age."]
    if errors:
        raise FieldErrors(errors)
    return claim


def _debtor(body: dict[str, Any]) -> dict[str, Any]:
    debtor = body.get("debtor")
    return debtor if isinstance(debtor, dict) else {}


def _claim(body: dict[str, Any], debtor: dict[str, Any], errors: Errors, now_us: int, *, is_preview: bool) -> Claim:
    currency = str(body.get("currencyCode") or "").upper()
    if not re.fullmatch("[A-Z]{3}", currency):
        errors["currencyCode"] = ["The field must be an ISO 4217 code."]
    kind = str(debtor.get("type") or "").lower()
    if kind not in ("company", "private", "person"):
        errors["debtor.type"] = ["The type must be Company or Private."]
    country = str(debtor.get("countryAlpha2") or "").upper()
    if not re.fullmatch("[A-Z]{2}", country):
        errors["debtor.countryAlpha2"] = ["The field must be an ISO 3166-1 alpha-2 code."]
    state = find_state(str(debtor.get("stateAlpha2") or "")) if country == "US" else None
    if country == "US" and state is None:
        errors["debtor.stateAlpha2"] = ["The field is required for debtors in the United States."]
    due = _instant(body, "dueDate", errors)
    if due is not None and due > now_us:
        errors["dueDate"] = ["The due date must not be in the future."]
    amount, over = _amounts(body, errors)
    return Claim(
        amount, CURRENCIES.index(currency) if currency in CURRENCIES else UNKNOWN, currency,
        next((n for n, place in enumerate(COUNTRIES) if place.alpha2 == country), UNKNOWN), country, state,
        kind in ("private", "person"), over, due, None if is_preview else _partner(body, errors),
    )  # fmt: skip


def _amounts(body: dict[str, Any], errors: Errors) -> tuple[Decimal, tuple[Decimal | None, ...]]:
    total = _number(body, "amountToRecover", errors)
    if total is None or total <= 0:
        errors.setdefault("amountToRecover", ["The amount must be greater than 0."])
    six, year, two_years = over = tuple(_number(body, name, errors) for name in AGES)
    if (year is None) != (two_years is None):
        missing = AGES[1] if year is None else AGES[2]
        errors[missing] = ["The amounts over 12 and over 24 months are given together or not at all."]
    elif six is not None and year is None:
        errors[AGES[0]] = ["The amount over 6 months needs those over 12 and 24 months."]
    steps = [("amountToRecover", total), *zip(AGES, over, strict=True)]
    given = [(name, value) for name, value in steps if value is not None]
    for (_, larger), (name, value) in pairwise(given):
        if not 0 <= value <= larger:
            errors.setdefault(name, ["The amount must not be larger than that of the shorter age."])
    return total or Decimal(0), over


def _number(body: dict[str, Any], name: str, errors: Errors) -> Decimal | None:
    value: Any = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or abs(Decimal(value)) * UNIT >= 2**62:
        errors[name] = ["The value is not valid."]
        return None
    return Decimal(value)


def _instant(body: dict[str, Any], name: str, errors: Errors) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return to_us(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        errors[name] = ["The value is not valid."]
        return None


def _partner(body: dict[str, Any], errors: Errors) -> int | None:
    value = body.get("collectionPartnerId")
    if value is None:
        return None
    try:
        return PARTNER_IDS.get(str(UUID(str(value))), UNKNOWN)
    except ValueError:
        errors["collectionPartnerId"] = ["The value is not valid."]
        return None
