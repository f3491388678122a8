"""Check a client's access token against the Customer API.

Creating a token is a request to the partner's own API; see `onboarding/access.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from debitura_pipeline.api.client import ApiClient, Sleep
from debitura_pipeline.api.http import DEFAULT_TIMEOUTS, AuthScheme, Clock, Timeouts
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.errors import RefusedError
from debitura_pipeline.proxies import DIRECT, Network
from debitura_pipeline.settings import Secret

_ID = re.compile(r"[0-9A-Fa-f-]{1,36}")
CLIENT_TOKEN = AuthScheme("Authorization", "Bearer ", "The client's token is refused.")


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """The Customer API's answer to a client's token. `creditor_id`: the client that it belongs to."""

    is_granted: bool
    status: int
    creditor_id: str | None


def customer_client(
    customer_url: str,
    token: Secret,
    rate_limiter: RateLimiter,
    *,
    clock: Clock,
    sleep: Sleep,
    random: Callable[[], float],
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    network: Network = DIRECT,
) -> ApiClient:
    """A client of the Customer API for the client that `token` belongs to; one request at a time."""
    return ApiClient(
        customer_url,
        token,
        rate_limiter,
        1,
        clock=clock,
        sleep=sleep,
        random=random,
        scheme=CLIENT_TOKEN,
        timeouts=timeouts,
        network=network,
    )


async def check_token(
    customer_url: str,
    token: Secret,
    rate_limiter: RateLimiter,
    *,
    clock: Clock,
    sleep: Sleep,
    random: Callable[[], float],
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    network: Network = DIRECT,
) -> TokenCheck:
    """Call `GET /me` of the Customer API with a client's token. Refusal is a result here, not an error.

    Counts against the same rate limit, since a limit per token is not documented. Raises ApiError if there is no answer.
    """
    client = customer_client(
        customer_url, token, rate_limiter, clock=clock, sleep=sleep, random=random, timeouts=timeouts, network=network
    )
    async with client:
        try:
            creditor = await client.document("GET", "/me", what="Trying a client's token")
        except RefusedError as refusal:
            return TokenCheck(False, refusal.status, None)
    found = creditor.get("id") if isinstance(creditor, dict) else None
    if not isinstance(found, str):
        return TokenCheck(True, 200, None)
    return TokenCheck(True, 200, found.lower() if _ID.fullmatch(found) else "[withheld]")
