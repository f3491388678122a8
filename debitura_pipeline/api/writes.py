"""Send requests that change something at the API: once each, never repeated automatically.

A caller decides what an unknown outcome means; see `registration/` and `submission/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from debitura_pipeline.api.encoding import parse_lenient, redact_path
from debitura_pipeline.api.error_body import has_error_shape, parse_error_body
from debitura_pipeline.api.http import PARTNER_KEY, ApiRequest, AuthScheme, Clock, HttpSession, Timeouts
from debitura_pipeline.api.rate_limit import RateLimiter
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.proxies import DIRECT, Network
from debitura_pipeline.settings import Secret

WRITE_TIMEOUTS = Timeouts(connect=10.0, read=30.0, whole=30.0)


@dataclass(frozen=True, slots=True)
class WriteResponse:
    """An outcome that is known. `document`: the JSON body, None where there is none; it may hold personal data and links.

    `codes` and `fields`: error codes and names of fields in an error body, safe to store. `is_unreadable`: there is a body that is
    not JSON, as of an intermediary.
    """

    status: int
    document: Any
    codes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    is_unreadable: bool = False

    @property
    def is_api_error(self) -> bool:
        """Whether the body is an error as the API documents it. Without one, an intermediary may have answered, in front of or
        behind which the request had its effect."""
        return has_error_shape(self.document)


class WriteClient:
    """Sends writing requests to one API host with one credential, one at a time. Use with `async with`."""

    def __init__(
        self,
        base_url: str,
        credential: Secret,
        rate_limiter: RateLimiter | WriteBudget,
        *,
        clock: Clock,
        scheme: AuthScheme = PARTNER_KEY,
        timeouts: Timeouts = WRITE_TIMEOUTS,
        network: Network = DIRECT,
    ) -> None:
        self._session = HttpSession(base_url, credential, scheme, timeouts, clock, network)
        self._rate_limiter, self._connection = rate_limiter, self._session.connection()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.aclose()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        what: str,
        headers: Sequence[tuple[str, str]] = (),
        on_turn: Callable[[], None] | None = None,
    ) -> WriteResponse:
        """Send one request as soon as the rate limiter allows it. `on_turn` is called right before; it may raise to drop the
        request.

        Raises RateLimited (HTTP 429: it had no effect), TransientApiError (no answer or a 5xx: whether it had an effect is
        unknown), RateLimitExhausted (not sent), ApiError (not sent or not understood).
        """
        request = ApiRequest(
            f"{method} {redact_path(path)}", what, method, self._session.target(path, ()), body, headers
        )
        await self._rate_limiter.acquire()
        if on_turn is not None:
            on_turn()
        answer = await self._session.exchange(request, self._connection)
        codes, fields = parse_error_body(answer.body) if answer.status >= 300 else ([], [])
        document = _document(answer.body)
        is_unreadable = document is None and answer.body.strip() not in (b"", b"null")
        return WriteResponse(answer.status, document, tuple(codes), tuple(fields), is_unreadable)


def _document(body: bytes) -> Any:
    """The JSON value of a body; None where it is not JSON. The status says what happened."""
    try:
        return parse_lenient(body) if body.strip() else None
    except (ValueError, RecursionError):
        return None
