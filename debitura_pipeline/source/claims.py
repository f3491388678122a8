"""The claims: one row per invoice that the partner wants collected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

from debitura_pipeline.source import rules
from debitura_pipeline.source.places import us_state_code
from debitura_pipeline.source.roster import MAX_TENANT
from debitura_pipeline.source.table import Holds, RowFault, SourceColumn, SourceTable, Values

MAX_REFERENCE = 50
MAX_COMMENT = 4000
COMPANY, PERSON = "company", "person"
AGE_PARTS = ("amount_over_6_months", "amount_over_12_months", "amount_over_24_months")


@dataclass(frozen=True, slots=True)
class Claim:
    """A valid row; None for an empty field. Amounts are the source's digits, as text. `debtor_type`: `company` or `person`.
    `debtor_state`: two letters for the US, else the source's text. Its `repr` shows no personal values."""

    tenant: str = field(repr=False)
    reference: str = field(repr=False)
    amount: str
    currency: str
    debtor_type: str
    debtor_name: str = field(repr=False)
    debtor_country: str
    invoice_date: date | None = None
    due_date: date | None = None
    debtor_state: str | None = field(default=None, repr=False)
    debtor_contact_person: str | None = field(default=None, repr=False)
    debtor_registration_number: str | None = field(default=None, repr=False)
    debtor_address: str | None = field(default=None, repr=False)
    debtor_zip_code: str | None = field(default=None, repr=False)
    debtor_city: str | None = field(default=None, repr=False)
    debtor_email: str | None = field(default=None, repr=False)
    debtor_phone: str | None = field(default=None, repr=False)
    description: str | None = field(default=None, repr=False)
    comments: str | None = field(default=None, repr=False)
    amount_over_6_months: str | None = None
    amount_over_12_months: str | None = None
    amount_over_24_months: str | None = None
    is_test: bool = False


def _whole(values: Values, today: date) -> Iterator[RowFault]:
    yield from _dates(values, today)
    yield from _debtor(values)
    yield from _ages(values)


def _dates(values: Values, today: date) -> Iterator[RowFault]:
    issued, due = (_day(values.get(name)) for name in ("invoice_date", "due_date"))
    if issued is not None and issued > today:
        yield RowFault("invoice_date", "is in the future")
    if due is not None and due >= today:
        yield RowFault("due_date", "is not in the past")
    if issued is not None and due is not None and due < issued:
        yield RowFault("due_date", "is before invoice_date")


def _debtor(values: Values) -> Iterator[RowFault]:
    if values.get("debtor_type", "").lower() == COMPANY and "debtor_contact_person" not in values:
        yield RowFault("debtor_contact_person", "is required for a company")
    if values.get("debtor_country") == "US":
        if "debtor_state" not in values:
            yield RowFault("debtor_state", "is required for the US")
        elif us_state_code(values["debtor_state"]) is None:
            yield RowFault("debtor_state", "is not a US state, such as CA, US-CA or California")


def _ages(values: Values) -> Iterator[RowFault]:
    over_6, over_12, over_24 = (name in values for name in AGE_PARTS)
    if over_12 != over_24:
        missing = AGE_PARTS[1] if over_24 else AGE_PARTS[2]
        yield RowFault(missing, "is required together with the other age part")
    elif over_6 and not over_12:
        yield RowFault(AGE_PARTS[0], "needs amount_over_12_months and amount_over_24_months")
    names = [name for name in ("amount", *AGE_PARTS) if name in values]
    for larger, smaller in pairwise(names):
        if Decimal(values[smaller]) > Decimal(values[larger]):
            yield RowFault(smaller, f"is above {larger}")


def _day(value: str | None) -> date | None:
    return None if value is None else date.fromisoformat(rules.day(value))


def _build(values: Values) -> Claim:
    country, state = values["debtor_country"], values.get("debtor_state")
    texts: dict[str, Any] = {name: values.get(name) for name in ("amount", "currency", "debtor_name", *_OPTIONAL)}
    return Claim(
        tenant=values["external_tenant_id"],
        reference=values["creditor_reference"],
        debtor_type=values["debtor_type"].lower(),
        debtor_country=country,
        invoice_date=_day(values.get("invoice_date")),
        due_date=_day(values.get("due_date")),
        debtor_state=us_state_code(state) if state is not None and country == "US" else state,
        is_test=values.get("is_test", "").lower() == "true",
        **texts,
    )


_OPTIONAL = (
    "debtor_contact_person", "debtor_registration_number", "debtor_address", "debtor_zip_code", "debtor_city",
    "debtor_email", "debtor_phone", "description", "comments", *AGE_PARTS,
)  # fmt: skip

CLAIMS = SourceTable(
    name="claims",
    variable="DEBITURA_CLAIMS",
    columns=(
        SourceColumn("external_tenant_id", rules.key(MAX_TENANT), is_required=True),
        SourceColumn("creditor_reference", rules.key(MAX_REFERENCE), is_required=True),
        SourceColumn("amount", rules.positive_amount, is_required=True, holds=Holds.NUMBER),
        SourceColumn("currency", rules.currency, is_required=True),
        SourceColumn("debtor_type", rules.one_of(COMPANY, PERSON), is_required=True),
        SourceColumn("debtor_name", rules.free_text(), is_required=True),
        SourceColumn("debtor_country", rules.alpha2, is_required=True),
        SourceColumn("invoice_date", rules.day),
        SourceColumn("due_date", rules.day),
        SourceColumn("debtor_state", rules.free_text()),
        *(SourceColumn(name, rules.free_text()) for name in _OPTIONAL[:5]),
        SourceColumn("debtor_email", rules.email),
        SourceColumn("debtor_phone", rules.free_text()),
        SourceColumn("description", rules.free_text(MAX_COMMENT)),
        SourceColumn("comments", rules.free_text(MAX_COMMENT)),
        *(SourceColumn(name, rules.amount, holds=Holds.NUMBER) for name in AGE_PARTS),
        SourceColumn("is_test", rules.one_of("true", "false"), holds=Holds.FLAG),
    ),
    key=("external_tenant_id", "creditor_reference"),
    whole=_whole,
    build=_build,
)
