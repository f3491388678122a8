"""Check whether a host speaks HTTP. Used by `doctor`, which has no credentials for the Customer API."""

from __future__ import annotations

from datetime import UTC, datetime

from debitura_pipeline.api.http import ApiRequest, AuthScheme, HttpSession, Timeouts
from debitura_pipeline.errors import ApiError, RateLimited
from debitura_pipeline.proxies import Network
from debitura_pipeline.secret import Secret

NO_AUTH = AuthScheme("User-Agent", "", "")  # no credential: the header is one that any program sends
OK, TOO_MANY = 200, 429


async def reach(url: str, timeouts: Timeouts, network: Network) -> int:
    """The status of `GET /`, whatever it is. Raises ApiError if there is no HTTP response."""
    session = HttpSession(url, Secret("debitura-doctor"), NO_AUTH, timeouts, lambda: datetime.now(UTC), network)
    connection = session.connection()
    try:
        await session.send(ApiRequest("GET /", "Reaching it", "GET", session.target("/", ())), connection)
    except ApiError as error:
        status = TOO_MANY if isinstance(error, RateLimited) else error.facts.get("status")
        if not isinstance(status, int):
            raise
        return status
    finally:
        await connection.aclose()
    return OK
