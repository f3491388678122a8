"""Check that a token can be issued for a client (`POST /oauth/token`) and that the Customer API accepts it.

The token is discarded after one request. It is never returned, logged or stored, and its claims are not decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime, open_client, open_rate_limiter
from debitura_pipeline.api.customer import check_token
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import ApiError, RateLimitExhausted, RefusedError, ShapeError
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.tenants import TenantResolver
from debitura_pipeline.onboarding.client_ref import ClientRef
from debitura_pipeline.proxies import Network
from debitura_pipeline.settings import Endpoint, Secret, Settings

MAX_EXPIRY_S = 366 * 86_400  # a longer expiry is not reported
MAX_TENANT_LENGTH = 255  # the API answers 400 for a longer id


@dataclass(frozen=True)
class AccessCheck:
    """A token was issued and, if `was_tried`, accepted by the Customer API. `at`: the API's clock."""

    at: datetime
    was_tried: bool
    expires_in_s: int | None
    remark: str | None


def try_access(
    settings: Settings, endpoint: Endpoint, clients: Sequence[ClientRef], runtime: Runtime | None = None
) -> dict[ClientRef, AccessCheck | ApiError]:
    """Issue a token for each client, try it and discard it.

    The value is an ApiError for clients whose token is refused or opens another account. Raises RateLimitExhausted.
    """
    return asyncio.run(_try_all(settings, endpoint, clients, runtime or Runtime()))


async def _try_all(
    settings: Settings, endpoint: Endpoint, clients: Sequence[ClientRef], runtime: Runtime
) -> dict[ClientRef, AccessCheck | ApiError]:
    budget = open_rate_limiter(settings, endpoint, runtime)
    slots = asyncio.Semaphore(settings.concurrency.start)
    async with open_client(settings, endpoint, runtime) as client:
        tenants = TenantResolver(client, BusinessKeys.from_settings(settings))
        checker = _TokenChecker(endpoint, client, tenants, budget, runtime, settings.network)

        async def attempt(ref: ClientRef) -> AccessCheck | ApiError:
            async with slots:
                try:
                    return await checker.check(ref)
                except RateLimitExhausted:
                    raise
                except ApiError as error:
                    return error

        return dict(zip(clients, await asyncio.gather(*map(attempt, clients)), strict=True))


@dataclass(frozen=True)
class _TokenChecker:
    endpoint: Endpoint
    client: ApiClient
    tenants: TenantResolver
    rate_limiter: RateLimiter
    runtime: Runtime
    network: Network

    async def check(self, ref: ClientRef) -> AccessCheck:
        tenant = await self.tenants.resolve(ref.tenant)
        if len(tenant) > MAX_TENANT_LENGTH:
            raise RefusedError(
                f"No token can be issued for a tenant id of more than {MAX_TENANT_LENGTH} characters.", 400
            )
        document = await self.client.document(
            "POST", "/oauth/token", body={"externalTenantId": tenant}, what="Issuing a client's token"
        )
        at = self.client.server_time or self.runtime.now()
        token, expires_in_s = _token(document)
        if self.endpoint.customer_url is None:
            remark = "the token was issued but not tried: DEBITURA_CUSTOMER_API_URL is not set"
            return AccessCheck(at, False, expires_in_s, remark)
        runtime = self.runtime
        answer = await check_token(
            self.endpoint.customer_url,
            token,
            self.rate_limiter,
            clock=runtime.now,
            sleep=runtime.sleep,
            random=runtime.random,
            network=self.network,
        )
        if not answer.is_granted:
            raise RefusedError(
                f"The Customer API refused the client's token: HTTP {answer.status}. The link may have expired.",
                answer.status,
            )
        if answer.creditor_id not in (None, ref.creditor_id):
            raise ApiError(
                f"The token of client {ref.creditor_id} opens the account of {answer.creditor_id}; ask Debitura."
            )
        return AccessCheck(at, True, expires_in_s, None)


def _token(document: Any) -> tuple[Secret, int | None]:
    fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    token, expires = fields.get("accesstoken"), fields.get("expiresin")
    if not isinstance(token, str) or not token:
        raise ShapeError("Issuing a client's token failed: the response contains no accessToken.")
    is_time = isinstance(expires, int) and not isinstance(expires, bool) and 0 <= expires <= MAX_EXPIRY_S
    return Secret(token), expires if is_time else None
