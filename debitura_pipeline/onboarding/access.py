"""Can a token be minted for the client, and does it open the Customer API?

Belongs here: `POST /oauth/token`, one request with what it gave, and forgetting it. Does not: using the Customer API for
anything. The token is in no return value, message, log or table; its claims are not looked at.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from debitura_pipeline.api.access import try_token
from debitura_pipeline.api.connect import Tools, open_budget, open_client
from debitura_pipeline.errors import ApiError, RefusedError, ShapeError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.tenants import TenantBook
from debitura_pipeline.settings import Endpoint, Secret, Settings

LONGEST_LIFE_S = 366 * 86_400  # of a token; what is stated beyond is not repeated
MAX_TENANT_LENGTH = 255  # a longer id is answered with 400


@dataclass(frozen=True)
class Access:
    """A token was minted and, where there is an address to try it on, accepted. `at` is the API's clock."""

    at: datetime
    was_tried: bool
    expires_in_s: int | None
    remark: str | None


def try_access(
    settings: Settings, endpoint: Endpoint, tenant: str, creditor_id: str, tools: Tools | None = None
) -> Access:
    """Mint a token for `tenant` (as stored), try it, drop it. Raises ApiError where one is refused or the token another's."""
    return asyncio.run(_try(settings, endpoint, tenant, creditor_id, tools or Tools()))


async def _try(settings: Settings, endpoint: Endpoint, tenant: str, creditor_id: str, tools: Tools) -> Access:
    async with open_client(settings, endpoint, tools) as client:
        tenant = await TenantBook(client, BusinessKeys.of_settings(settings)).real(tenant)
        if len(tenant) > MAX_TENANT_LENGTH:
            raise RefusedError(f"No token can be minted for a tenant id of over {MAX_TENANT_LENGTH} characters.", 400)
        document = await client.document(
            "POST", "/oauth/token", body={"externalTenantId": tenant}, what="Minting a client's token"
        )
        at = client.server_time or tools.now()
    token, expires_in_s = _token(document)
    if endpoint.customer_url is None:
        remark = "the token was minted, not tried: DEBITURA_CUSTOMER_API_URL is not set"
        return Access(at, False, expires_in_s, remark)
    budget = open_budget(settings, endpoint, tools)
    answer = await try_token(
        endpoint.customer_url,
        token,
        budget,
        clock=tools.now,
        sleep=tools.sleep,
        random=tools.chance,
        network=settings.network,
    )
    if not answer.is_granted:
        raise RefusedError(
            f"The Customer API refused the client's token: HTTP {answer.status}. The link may no longer hold.",
            answer.status,
        )
    if answer.creditor_id not in (None, creditor_id):
        raise ApiError(f"The token of client {creditor_id} opens the account of {answer.creditor_id}; ask Debitura.")
    return Access(at, True, expires_in_s, None)


def _token(document: Any) -> tuple[Secret, int | None]:
    fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    token, expires = fields.get("accesstoken"), fields.get("expiresin")
    if not isinstance(token, str) or not token:
        raise ShapeError("Minting a client's token failed: the answer holds no accessToken.")
    is_time = isinstance(expires, int) and not isinstance(expires, bool) and 0 <= expires <= LONGEST_LIFE_S
    return Secret(token), expires if is_time else None
