"""The Customer API on behalf of one client at a time: tokens, kept in memory only, and the clients that use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.customer import CLIENT_TOKEN, customer_client
from debitura_pipeline.api.http import DEFAULT_TIMEOUTS, Timeouts
from debitura_pipeline.api.rate_limit import RateLimiter, Remaining
from debitura_pipeline.api.write_budget import check_reserve
from debitura_pipeline.api.writes import WRITE_TIMEOUTS, WriteClient, WriteResponse
from debitura_pipeline.errors import ApiError, RefusedError, SettingsError, ShapeError
from debitura_pipeline.settings import Endpoint, Secret, Settings

TOKEN_LIFE = timedelta(minutes=25)  # tokens are valid for half an hour
MAX_TENANT_LENGTH = 255

T = TypeVar("T")


class TokenRefused(ApiError):
    """The API gives no token for a client, or one of another client."""


@dataclass(frozen=True, slots=True)
class Account:
    """A client of the partner. `tenant`: as the API knows it."""

    tenant: str = field(repr=False)
    creditor_id: str


class CustomerApi:
    """Requests with clients' tokens; use from one task, with `async with`."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, partner: ApiClient, rate_limiter: RateLimiter, runtime: Runtime
    ) -> None:
        if endpoint.customer_url is None:
            raise SettingsError(
                "DEBITURA_CUSTOMER_API_URL is needed to submit cases, since an API address is set. "
                "Example: DEBITURA_CUSTOMER_API_URL=https://testcustomer-api.debitura.com"
            )
        self._url, self._network, self._partner = endpoint.customer_url, settings.network, partner
        self._rate_limiter, self._runtime = rate_limiter, runtime
        self._tokens: dict[Account, tuple[Secret, datetime]] = {}
        self._open: tuple[Account, ApiClient, WriteClient] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> CustomerApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def read(self, account: Account, ask: Callable[[ApiClient], Awaitable[T]]) -> T:
        """A reading request as `account`; once more with a new token if the token is refused.

        Raises TokenRefused, also where the client's token may not ask that; RefusedError with 401 or 403 if the partner's key is
        refused; another ApiError.
        """
        for is_last in (False, True):
            client, _ = await self._clients(account)
            try:
                return await ask(client)
            except RefusedError as error:
                if error.status == 403:
                    raise TokenRefused("HTTP 403: the client's token may not do that.") from None
                if error.status != 401:
                    raise
                await self.forget(account)
                if is_last:
                    raise TokenRefused("HTTP 401: the client's token is refused.") from None
        raise AssertionError("unreachable")

    async def write(
        self,
        account: Account,
        method: str,
        path: str,
        body: bytes,
        *,
        key: str,
        what: str,
        on_turn: Callable[[], None] | None = None,
        timeouts: Timeouts | None = None,
    ) -> WriteResponse:
        """One writing request as `account`, with an idempotency key. Raises what `WriteClient.send` raises, TokenRefused."""
        _, writer = await self._clients(account)
        headers = [("Idempotency-Key", key)]
        if timeouts is None:
            return await writer.send(method, path, body, what=what, headers=headers, on_turn=on_turn)
        async with self._writer(self._tokens[account][0], timeouts) as hasty:
            return await hasty.send(method, path, body, what=what, headers=headers, on_turn=on_turn)

    def check_reserve(self) -> Remaining:
        """The requests that are left. Raises RateLimitExhausted if only the day's reserve is, which is for the nightly run."""
        return check_reserve(self._rate_limiter)

    async def forget(self, account: Account) -> None:
        """Forget a token, so that the next request gets a new one."""
        self._tokens.pop(account, None)
        await self._close()

    async def prepare(self, account: Account) -> None:
        """Have a token at hand. Raises TokenRefused, ApiError."""
        await self._clients(account)

    async def _clients(self, account: Account) -> tuple[ApiClient, WriteClient]:
        token, issued_at = self._tokens.get(account, (None, None))
        is_valid = issued_at is not None and timedelta(0) <= self._runtime.now() - issued_at < TOKEN_LIFE
        if not is_valid:
            self._tokens.pop(account, None)
        if self._open is not None and self._open[0] == account and is_valid:
            return self._open[1], self._open[2]
        await self._close()
        is_checked = True
        if token is None or not is_valid:
            token, is_checked = await self._mint(account)
        reader, writer = self._reader(token), self._writer(token)
        await self._stack.enter_async_context(reader)
        await self._stack.enter_async_context(writer)
        if not is_checked:
            await _check_owner(reader, account)
        self._tokens.setdefault(account, (token, self._runtime.now()))
        self._open = account, reader, writer
        return reader, writer

    async def _close(self) -> None:
        self._open = None
        await self._stack.aclose()

    def _reader(self, token: Secret) -> ApiClient:
        runtime = self._runtime
        return customer_client(
            self._url, token, self._rate_limiter, clock=runtime.now, sleep=runtime.sleep, random=runtime.random,
            timeouts=runtime.timeouts, network=self._network,
        )  # fmt: skip

    def _writer(self, token: Secret, timeouts: Timeouts | None = None) -> WriteClient:
        timeouts = timeouts or self._timeouts()
        return WriteClient(
            self._url,
            token,
            RateLimiter.unlimited(),
            clock=self._runtime.now,
            scheme=CLIENT_TOKEN,
            timeouts=timeouts,
            network=self._network,
        )  # fmt: skip - a place in the write budget was taken before the intent was stored; see `steps.Turn`

    def _timeouts(self) -> Timeouts:
        return WRITE_TIMEOUTS if self._runtime.timeouts is DEFAULT_TIMEOUTS else self._runtime.timeouts

    async def _mint(self, account: Account) -> tuple[Secret, bool]:
        """Issue a token for a client, and whether the answer names the client. Raises TokenRefused, ApiError."""
        if not 0 < len(account.tenant) <= MAX_TENANT_LENGTH:
            raise TokenRefused(f"No token can be issued for a tenant id of more than {MAX_TENANT_LENGTH} characters.")
        try:
            document = await self._partner.document(
                "POST", "/oauth/token", body={"externalTenantId": account.tenant}, what="Issuing a client's token"
            )
        except RefusedError as error:
            if error.status not in (400, 403, 404, 422):
                raise
            raise TokenRefused(f"HTTP {error.status}: the API gives no token for this client.") from None
        fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
        return _checked(fields, account)


async def _check_owner(reader: ApiClient, account: Account) -> None:
    """Whose account a token opens, where its issue did not say so. Raises TokenRefused, ApiError."""
    document = await reader.document("GET", "/me", what="Asking whose token it is")
    owner = document.get("id") if isinstance(document, dict) else None
    if not isinstance(owner, str) or owner.lower() != account.creditor_id:
        raise TokenRefused(f"The token for client {account.creditor_id} is for another client; ask Debitura.")


def _checked(fields: dict[str, Any], account: Account) -> tuple[Secret, bool]:
    """The token, if it is for the right client, and whether the answer says so."""
    token, creditor, tenant = (fields.get(name) for name in ("accesstoken", "creditorid", "externaltenantid"))
    if not isinstance(token, str) or not token:
        raise ShapeError("Issuing a client's token failed: the response contains no accessToken.")
    if isinstance(creditor, str) and creditor.lower() != account.creditor_id:
        raise TokenRefused(f"The token for client {account.creditor_id} is for another client; ask Debitura.")
    if isinstance(tenant, str) and tenant != account.tenant:
        raise TokenRefused(f"The token for client {account.creditor_id} names another tenant; ask Debitura.")
    return Secret(token), isinstance(creditor, str)
