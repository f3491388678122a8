"""Invented claims: invoices of debtors who do not exist, in countries and currencies that the sandbox's partners cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np

from debitura_sandbox.world import people
from debitura_sandbox.world.addresses import COUNTRIES
from debitura_sandbox.world.us_states import STATES

COLUMNS = (
    "external_tenant_id", "creditor_reference", "amount", "currency", "debtor_type", "debtor_name", "debtor_country",
    "invoice_date", "due_date", "debtor_state", "debtor_contact_person", "debtor_registration_number", "debtor_address",
    "debtor_zip_code", "debtor_city", "debtor_email", "debtor_phone", "description", "comments", "amount_over_6_months",
    "amount_over_12_months", "amount_over_24_months", "is_test",
)  # fmt: skip
FIRST_NUMBER = 2_000_000  # of the debtors' addresses
Row = dict[str, str]


def claim_rows(
    tenants: Sequence[str], count: int, latest: date, seed: int = 7, *, with_invalid: bool = False
) -> list[Row]:
    """`count` claims of these clients in turn, due before `latest`; with `with_invalid` some more that break one rule each."""
    rows = [_claim(tenants[number % len(tenants)], number, latest, seed) for number in range(count)]
    return [*rows, *_invalid(rows[0], latest)] if with_invalid else rows


def _claim(tenant: str, number: int, latest: date, seed: int) -> Row:
    rng = np.random.default_rng([seed, 22, number])
    index = int(rng.integers(len(COUNTRIES)))
    country, is_person = COUNTRIES[index], bool(rng.random() < 0.4)
    name = people.debtor_name(*people.some_debtor(rng, index, is_person)) or ""
    due = latest - timedelta(days=int(rng.integers(20, 500)))
    cents = int(np.exp(rng.normal(7.2, 1.2)) * 100) + 2_500
    return dict.fromkeys(COLUMNS, "") | {
        "external_tenant_id": tenant,
        "creditor_reference": f"INV-{due:%Y}-{number + 1:05}",
        "amount": str(cents) if country.currency == "JPY" else f"{cents // 100}.{cents % 100:02}",
        "currency": country.currency,
        "debtor_type": "person" if is_person else "company",
        "debtor_name": name,
        "debtor_country": country.alpha2,
        "invoice_date": str(due - timedelta(days=30)),
        "due_date": str(due),
        "debtor_state": list(STATES)[int(rng.integers(len(STATES)))] if country.alpha2 == "US" else "",
        "debtor_contact_person": "" if is_person else people.people(FIRST_NUMBER + number, index)[0].name,
        "debtor_address": people.street_address(FIRST_NUMBER + number),
        "debtor_zip_code": str(int(rng.integers(1000, 10_000))),
        "debtor_city": country.towns[int(rng.integers(len(country.towns)))],
        "description": "Delivered goods",
    }


def _invalid(good: Row, latest: date) -> Iterator[Row]:
    future = str(latest + timedelta(days=30_000))
    for number, changes in enumerate(
        (
            {"amount": "0"},
            {"amount": "12.34567"},
            {"currency": "Euro"},
            {"debtor_type": "company", "debtor_contact_person": ""},
            {"debtor_country": "US", "debtor_state": ""},
            {"due_date": future},
            {"amount_over_12_months": "5"},
            {"debtor_name": ""},
        )
    ):
        yield good | {"creditor_reference": f"INVALID-{number + 1}"} | changes
    yield good | {"creditor_reference": "X" * 51}
    yield from [good | {"creditor_reference": "INVALID-TWICE"}] * 2
