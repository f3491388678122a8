"""The body of `POST /clients` for a row of the roster: the same row gives the same bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from debitura_pipeline.source import RosterClient


def registration_body(client: RosterClient) -> bytes:
    """JSON of a `CreateClientRequest` without cases; empty fields are left out."""
    details: dict[str, Any] = {
        "name": client.company_name,
        "registrationNumber": client.registration_number,
        "address": client.address,
        "zipCode": client.zip_code,
        "city": client.city,
        "state": client.state,
        "country": client.country,
        "supportEmail": client.support_email,
        "supportPhone": client.support_phone,
    }
    users = [
        {"name": user.name, "email": user.email, "isOnboardingUser": place == 0}
        for place, user in enumerate(client.users)
    ]
    filled = {name: value for name, value in details.items() if value is not None}
    return msgspec.json.encode({"externalTenantId": client.tenant, "client": filled, "users": users})
