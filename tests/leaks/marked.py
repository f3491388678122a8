"""Roster, claims and deliveries with a marker in every column that may hold something personal, in good rows and in bad ones.

PERSON stands in what must not be kept anywhere; COMPANY in what `GET /clients` returns of a client once it is registered; KEY in
keys that are addresses, which the simulated API keeps and the pipeline does not.
"""

from __future__ import annotations

import json
from typing import Any

from debitura_pipeline.source.claims import CLAIMS
from debitura_pipeline.source.roster import ROSTER
from debitura_sandbox.api.registration import BLOCKED_DOMAIN, KNOWN_DOMAIN, TAKEN_DOMAIN
from tests.webhooks.deliveries import event_body, signed

PERSON, COMPANY, KEY = "Qzxperson", "Qzxcompany", "Qzxkey"
SIGNED, REFUSED_WITH_TEXT = "wanted-1", "wanted-texts"
BY_COMPANY = ("company_name", "city", "registration_number")
# Keys, and what is no text: no place for a person. A key that looks like an address is a bad row's, below.
FREE = (
    "external_tenant_id",
    "creditor_reference",
    "country",
    "debtor_country",
    "amount",
    "currency",
    "debtor_type",
    "is_test",
)
DATES_AND_PARTS = ("invoice_date", "due_date", "amount_over_6_months", "amount_over_12_months", "amount_over_24_months")
EMAILS = ("support_email", "user_email", "debtor_email")


def marked(number: int, column: str, domain: str = "firma.example") -> str:
    """The value of a column in row `number`."""
    stem = COMPANY if column in BY_COMPANY else PERSON
    if column == "other_users":
        users = [{"name": f"{PERSON} other {number}", "email": f"{PERSON}other{number}@{domain}"}]
        return json.dumps(users)
    if column in EMAILS:
        return f"{stem}{column.replace('_', '')}{number}@{domain}"
    return f"{stem} {column[-6:]}{number}"[:20]


def roster() -> list[dict[str, str]]:
    """Good rows, rows that the API refuses in each way, and for each column a row that only it breaks."""
    columns = [column.name for column in ROSTER.columns if column.name not in FREE]

    def row(number: int, tenant: str, domain: str = "firma.example", **changes: str) -> dict[str, str]:
        values = {column: marked(number, column, domain) for column in columns}
        return {"external_tenant_id": tenant, "country": "DK", **values, "nickname": PERSON, **changes}

    rows = [
        row(1, SIGNED), row(2, "wanted-known", KNOWN_DOMAIN), row(3, "wanted-taken", TAKEN_DOMAIN),
        row(4, "wanted-blocked", BLOCKED_DOMAIN), row(5, REFUSED_WITH_TEXT), row(6, f"{KEY.lower()}@firma.example"),
    ]  # fmt: skip
    for number, column in enumerate(columns, start=20):
        rows.append(row(number, f"bad-{column}", **{column: f"{PERSON}\x01{'x' * 600} no value"}))
    return rows


def claims(tenant: str) -> list[dict[str, str]]:
    """A good row, one that the API refuses with a text, one in doubt, and for each column a row that only it breaks."""
    columns = [column.name for column in CLAIMS.columns if column.name not in (*FREE, *DATES_AND_PARTS)]

    def row(number: int, reference: str, **changes: str) -> dict[str, str]:
        given = {"amount": "1250.50", "currency": "EUR", "debtor_type": "company", "debtor_country": "DE"}
        values = {column: marked(number, column) for column in columns}
        return {"external_tenant_id": tenant, "creditor_reference": reference, **given, **values, **changes}

    rows = [
        row(1, "INV-good"), row(2, "INV-refused"), row(3, "INV-doubt"), row(4, "INV-person", debtor_type="person"),
        row(5, "INV-waits", external_tenant_id=SIGNED), row(6, f"{KEY}@firma.example"), row(7, "INV-again", currency="XAF"),
    ]  # fmt: skip
    for number, column in enumerate((*columns, *DATES_AND_PARTS, "amount", "currency", "debtor_country"), start=20):
        rows.append(row(number, f"INV-bad-{number}", **{column: f"{PERSON}\x01no value"}))
    return rows


def deliveries(tenant: str, case: str) -> list[tuple[bytes, str, int]]:
    """Body, signature and expected status of deliveries that name people everywhere, those that are refused included."""
    extra: dict[str, Any] = {"debtor": {"name": f"{PERSON} Holm", "email": f"{PERSON}@firma.example"}, PERSON: PERSON}
    good = [event_body(kind, tenant=tenant, case=case, **extra) for kind in ("case.updated", "client.linked")]
    odd = [
        event_body(f"{PERSON}@firma.example", tenant=tenant, **extra),
        event_body("case.updated", tenant=f"{PERSON}@firma.example", case=f"{PERSON} Holm", **extra),
        event_body("case.updated", event_id=f"{PERSON}@firma.example", tenant=tenant, **extra),
    ]
    malformed = [b'{"id": "' + PERSON.encode(), json.dumps({"id": PERSON, "event": [PERSON]}).encode()]
    found = [(body, signed(body), 200) for body in good]
    found += [(body, signed(body), 0) for body in odd]
    found += [(body, signed(body), 400) for body in malformed]
    return [*found, (good[0], f"t=1,v1={PERSON}", 401), (good[0] + b" ", signed(good[0]), 401)]
