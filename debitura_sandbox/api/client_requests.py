"""Validate the body of `POST /clients`, and tell whose addresses it contains."""

from __future__ import annotations

import re
from typing import Any

from debitura_sandbox.api.case_requests import Errors
from debitura_sandbox.api.documents import office_email
from debitura_sandbox.world.addresses import COUNTRIES
from debitura_sandbox.world.world import World

REQUIRED = ("name", "country", "supportEmail")
LENGTHS = {"address": 500, "zipCode": 20, "city": 100, "state": 100}
LONGEST_TENANT = 255
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def registration_errors(wanted: dict[str, Any]) -> Errors:
    """Messages by field name."""
    errors: Errors = {}
    tenant = wanted.get("externalTenantId")
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= LONGEST_TENANT:
        errors["externalTenantId"] = ["The field is required, of at most 255 characters."]
    client = wanted.get("client") if isinstance(wanted.get("client"), dict) else {}
    assert isinstance(client, dict)
    _check_client(client, errors)
    users = wanted.get("users")
    if not isinstance(users, list) or not users:
        errors["users"] = ["At least one user is needed."]
    elif not all(isinstance(user, dict) and user.get("name") and _is_email(user.get("email")) for user in users):
        errors["users"] = ["Each user needs a name and an e-mail address."]
    cases = wanted.get("cases") or []
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        errors["cases"] = ["The value is not valid."]
        return errors
    sent = [case["creditorReference"] for case in cases if case.get("creditorReference")]
    if len(sent) != len(set(sent)):
        errors["cases"] = ["A creditorReference is used twice."]
    return errors


def _check_client(client: dict[str, Any], errors: Errors) -> None:
    for name in REQUIRED:
        if not isinstance(client.get(name), str) or not client[name].strip():
            errors[f"client.{name}"] = ["The field is required."]
    if "client.supportEmail" not in errors and not _is_email(client["supportEmail"]):
        errors["client.supportEmail"] = ["The field is not a valid e-mail address."]
    if "client.country" not in errors and read_country(client["country"])[1] is None:
        errors["client.country"] = ["The country is not known."]
    for name, longest in LENGTHS.items():
        if len(str(client.get(name) or "")) > longest:
            errors[f"client.{name}"] = [f"The field must be text of at most {longest} characters."]


def _is_email(value: Any) -> bool:
    return isinstance(value, str) and EMAIL.fullmatch(value) is not None


def read_country(text: str) -> tuple[int, str | None]:
    """Number and name of a country by name or two-letter code. One that the world does not have counts as the first, under the
    name that was given; None as a name for what cannot be a country."""
    wanted = text.strip()
    for number, country in enumerate(COUNTRIES):
        if wanted.casefold() in (country.name.casefold(), country.alpha2.casefold()):
            return number, country.name
    return 0, wanted if re.fullmatch(r"[A-Z]{2}|[^\W\d][^\d]{3,}", wanted) else None


def email_addresses(wanted: dict[str, Any]) -> set[str]:
    """The addresses in a valid body, in lower case."""
    return {str(user["email"]).casefold() for user in wanted["users"]} | {wanted["client"]["supportEmail"].casefold()}


class KnownEmails:
    """Addresses of the world's clients, read once per client."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[str, set[int]] = {}
        self._count = 0

    def is_known(self, emails: set[str]) -> bool:
        """Whether an address belongs to a linked client."""
        alive = self._world.clients["alive"]
        for row in range(self._count, len(self._world.clients)):
            for email in {office_email(self._world, row), *(user.email for user in self._world.users(row))}:
                self._rows.setdefault(email.casefold(), set()).add(row)
        self._count = len(self._world.clients)
        return any(alive[row] for email in emails for row in self._rows.get(email, ()))
