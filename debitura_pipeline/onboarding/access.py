"""Can a token be minted for a client, and does it open the Customer API?

Belongs here: `POST /oauth/token`, one request with what it gave, and forgetting it. Does not: using the Customer API for
anything. The token is in no return value, message, log or table; its claims are not looked at.
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
from debitura_pipeline.onboarding.lifecycle import read_partition_key
from debitura_pipeline.proxies import Network
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
    settings: Settings, endpoint: Endpoint, keys: Sequence[str], runtime: Runtime | None = None
) -> dict[str, Access | ApiError]:
    """For each partition key mint a token, try it, drop it. An ApiError where one is refused or the token is another's.

    Raises RateLimitExhausted when the API's allowance is used up.
    """
    return asyncio.run(_try_all(settings, endpoint, keys, runtime or Runtime()))


async def _try_all(
    settings: Settings, endpoint: Endpoint, keys: Sequence[str], runtime: Runtime
) -> dict[str, Access | ApiError]:
    rate_limiter = open_rate_limiter(settings, endpoint, runtime)
    room = asyncio.Semaphore(settings.concurrency.start)
    async with open_client(settings, endpoint, runtime) as client:
        door = _Door(
            endpoint,
            client,
            TenantResolver(client, BusinessKeys.from_settings(settings)),
            rate_limiter,
            runtime,
            settings.network,
        )

        async def attempt(key: str) -> Access | ApiError:
            async with room:
                try:
                    return await door.attempt(*read_partition_key(key))
                except RateLimitExhausted:
                    raise
                except ApiError as error:
                    return error

        return dict(zip(keys, await asyncio.gather(*map(attempt, keys)), strict=True))


@dataclass(frozen=True)
class _Door:
    endpoint: Endpoint
    client: ApiClient
    tenants: TenantResolver
    rate_limiter: RateLimiter
    runtime: Runtime
    network: Network

    async def attempt(self, tenant: str, creditor_id: str) -> Access:
        tenant = await self.tenants.resolve(tenant)
        if len(tenant) > MAX_TENANT_LENGTH:
            raise RefusedError(f"No token can be minted for a tenant id of over {MAX_TENANT_LENGTH} characters.", 400)
        document = await self.client.document(
            "POST", "/oauth/token", body={"externalTenantId": tenant}, what="Minting a client's token"
        )
        at = self.client.server_time or self.runtime.now()
        token, expires_in_s = _token(document)
        if self.endpoint.customer_url is None:
            remark = "the token was minted, not tried: DEBITURA_CUSTOMER_API_URL is not set"
            return Access(at, False, expires_in_s, remark)
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
                f"The Customer API refused the client's token: HTTP {answer.status}. The link may no longer hold.",
                answer.status,
            )
        if answer.creditor_id not in (None, creditor_id):
            raise ApiError(
                f"The token of client {creditor_id} opens the account of {answer.creditor_id}; ask Debitura."
            )
        return Access(at, True, expires_in_s, None)


def _token(document: Any) -> tuple[Secret, int | None]:
    fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    token, expires = fields.get("accesstoken"), fields.get("expiresin")
    if not isinstance(token, str) or not token:
        raise ShapeError("Minting a client's token failed: the answer holds no accessToken.")
    is_time = isinstance(expires, int) and not isinstance(expires, bool) and 0 <= expires <= LONGEST_LIFE_S
    return Secret(token), expires if is_time else None
