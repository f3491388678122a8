"""Ping DEBITURA_HEARTBEAT_URL, the convention of dead man's switches. The address is often a secret and appears nowhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from debitura_pipeline.api.http import ApiRequest, AuthScheme, HttpSession, Timeouts
from debitura_pipeline.errors import DebituraError
from debitura_pipeline.secret import Secret
from debitura_pipeline.settings import Settings

FAIL = "/fail"
TIMEOUTS = Timeouts(connect=5.0, read=10.0, whole=15.0)
_AGENT = AuthScheme("User-Agent", "", "")


def ping(settings: Settings, *, is_good: bool) -> str | None:
    """GET the address, with `/fail` behind its path after a bad night. Returns why that failed; never raises."""
    url = settings.alerts.heartbeat_url
    if url is None:
        return None
    try:
        asyncio.run(_get(settings, url, "" if is_good else FAIL))
    except DebituraError as error:
        return error.fault
    except Exception as error:  # noqa: BLE001 - a night must not fail for it, and the text may quote the address
        return f"{type(error).__name__} while it was pinged"
    return None


async def _get(settings: Settings, url: Secret, ending: str) -> None:
    parts = urlsplit(url.reveal())
    path = parts.path.rstrip("/")
    base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    session = HttpSession(base, Secret("debitura"), _AGENT, TIMEOUTS, lambda: datetime.now(UTC), settings.network)
    request = ApiRequest(
        "GET heartbeat",
        "Pinging DEBITURA_HEARTBEAT_URL",
        "GET",
        session.target(ending if path or ending else "/", parse_qsl(parts.query)),
    )
    connection = session.connection()
    try:
        await session.send(request, connection)
    finally:
        await connection.aclose()
