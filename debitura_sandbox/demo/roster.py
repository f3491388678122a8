"""An invented roster: clients to register, with people who do not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from debitura_sandbox.api.registration import BLOCKED_DOMAIN, KNOWN_DOMAIN, TAKEN_DOMAIN
from debitura_sandbox.world import people
from debitura_sandbox.world.addresses import BRANDS, COUNTRIES, TRADES

COLUMNS = (
    "external_tenant_id", "company_name", "country", "support_email", "user_name", "user_email", "registration_number",
    "address", "zip_code", "city", "state", "support_phone", "other_users",
)  # fmt: skip
FIRST_NUMBER = 900_000  # of the clients' people and addresses: far from those of the world's own clients
Row = dict[str, str]


OUTCOMES = {"known": KNOWN_DOMAIN, "taken": TAKEN_DOMAIN, "blocked": BLOCKED_DOMAIN}


def roster_rows(count: int, seed: int = 7, *, with_conflicts: bool = False, with_invalid: bool = False) -> list[Row]:
    """`count` rows of clients that can be registered. `with_conflicts`: one more for each outcome that needs a human;
    `with_invalid`: some more that break one rule each."""
    rows = [_client(number, seed) for number in range(count)]
    conflicts = _conflicts(count, seed) if with_conflicts else ()
    return [*rows, *conflicts, *(_invalid(rows[0]) if with_invalid else ())]


def demo_tenant(number: int) -> str:
    """The tenant of a row, counted from 0."""
    return f"demo-{number + 1:03}"


def _client(number: int, seed: int) -> Row:
    rng = np.random.default_rng([seed, 21, number])
    index = int(rng.choice(len(COUNTRIES), p=_weights()))
    country, person = COUNTRIES[index], FIRST_NUMBER + number
    contact, *others = people.people(person, index)
    brand, trade, form = (words[int(rng.integers(len(words)))] for words in (BRANDS, TRADES, country.forms))
    return {
        "external_tenant_id": demo_tenant(number),
        "company_name": f"{brand} {trade} {form}",
        "country": country.alpha2,
        "support_email": f"kontor@{people.mail_domain(person)}",
        "user_name": contact.name,
        "user_email": contact.email,
        "registration_number": f"{country.alpha2}{int(rng.integers(10**7, 10**8))}",
        "address": people.street_address(person),
        "zip_code": str(int(rng.integers(1000, 10_000))),
        "city": country.towns[int(rng.integers(len(country.towns)))],
        "state": "",
        "support_phone": "",
        "other_users": json.dumps([{"name": user.name, "email": user.email} for user in others], ensure_ascii=False)
        if others
        else "",
    }


def _conflicts(first: int, seed: int) -> Iterator[Row]:
    for number, (name, domain) in enumerate(OUTCOMES.items(), first):
        row = _client(number, seed)
        yield row | {
            "external_tenant_id": f"demo-{name}",
            "user_email": f"{row['user_email'].partition('@')[0]}@{domain}",
        }


def _weights() -> list[float]:
    total = sum(country.weight for country in COUNTRIES)
    return [country.weight / total for country in COUNTRIES]


def _invalid(good: Row) -> Iterator[Row]:
    for number, (column, value) in enumerate(
        (("company_name", ""), ("country", ""), ("user_email", "no address"), ("other_users", "[{]"))
    ):
        yield good | {"external_tenant_id": f"demo-invalid-{number + 1}", column: value}
    yield good | {"external_tenant_id": ""}
    yield from [good | {"external_tenant_id": "demo-invalid-twice"}] * 2
