"""Webhook subscriptions at the API: list, create, rotate the secret, switch on, remove. Secrets are returned, never stored."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import msgspec

from debitura_pipeline.api.connect import Runtime, open_client, open_rate_limiter
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.api.writes import WriteClient, WriteResponse
from debitura_pipeline.contract.listings import path_to
from debitura_pipeline.errors import (
    ApiError,
    RateLimited,
    RateLimitExhausted,
    RefusedError,
    SettingsError,
    ShapeError,
    TransientApiError,
)
from debitura_pipeline.landing.labels import safe_label
from debitura_pipeline.landing.validators import parse_instant
from debitura_pipeline.outbound.permission import WEBHOOKS, require_writes
from debitura_pipeline.settings import Endpoint, Secret, Settings

EVENTS = (
    "client.onboarding.poa_signed",
    "client.onboarding.contract_signed",
    "client.linked",
    "client.link_declined",
    "client.link_requested",
    "client.link_expired",
    "case.created",
    "case.updated",
    "case.closed",
    "cases.replay_failed",
)
ROOT = "/v1/Webhooks"
PORTS = (None, 443, 8443)
MAX_URL = 1_024
_REFUSALS = (400, 401, 403, 404, 409, 422)
# What to do when it is not known whether a request had its effect. The list shows neither the secret nor its age.
_LIST = "`debitura webhooks list` shows whether it had an effect."
_CREATED = f"{_LIST} If it did, `debitura webhooks rotate ID` gives a secret that is printed."
_ROTATED = "If it had an effect, the former secret is void: rotate it again, and use the secret that is printed then."


@dataclass(frozen=True)
class Subscription:
    """One subscription. `disabled_reason`: why the API switched it off, as far as that may be shown; None if it did not."""

    id: str
    url: str
    events: tuple[str, ...]
    is_active: bool
    is_test: bool
    updated_at: datetime | None
    disabled_reason: str | None
    secret: Secret | None = field(default=None, repr=False)


def check_url(url: str, *, is_embedded: bool) -> None:
    """Raises SettingsError for a URL that the API does not deliver to. `is_embedded`: the embedded sandbox does deliver to this
    machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _wrong_url("is not a URL") from None
    if is_embedded and host in ("127.0.0.1", "localhost", "::1"):
        return
    if parts.scheme != "https":
        raise _wrong_url("is not https")
    if not host or parts.username is not None or len(url) > MAX_URL or not url.isascii() or " " in url:
        raise _wrong_url(f"names no host, or holds credentials, blanks or more than {MAX_URL} characters")
    if port not in PORTS:
        raise _wrong_url("names another port than 443 or 8443")
    if _is_private(host):
        raise _wrong_url("is an address of this machine or of a private network")


def list_subscriptions(settings: Settings, endpoint: Endpoint, runtime: Runtime | None = None) -> list[Subscription]:
    """All subscriptions of the partner, without secrets. Raises ApiError, and ShapeError if the response is no list."""

    async def ask() -> Any:
        async with open_client(settings, endpoint, runtime or Runtime()) as client:
            return await client.document("GET", ROOT, what="Reading the webhook subscriptions")

    document = asyncio.run(ask())
    if isinstance(document, dict):  # not documented: wrapped in an object
        document = next((value for value in document.values() if isinstance(value, list)), None)
    if not isinstance(document, list):
        raise ShapeError("Reading the webhook subscriptions failed: the response is not a list.")
    return [parse_subscription(one) for one in document]


class SubscriptionChanges:
    """Changes subscriptions at the API, within the write budget. Each request is sent once.

    Raises SettingsError if `DEBITURA_WRITES` forbids it.
    """

    def __init__(self, settings: Settings, endpoint: Endpoint, runtime: Runtime | None = None) -> None:
        require_writes(settings, WEBHOOKS)
        self._settings, self._endpoint, self._runtime = settings, endpoint, runtime or Runtime()
        # Kept between requests, which never overlap, so that the minute's share holds for all of them.
        self._limiter = open_rate_limiter(settings, endpoint, self._runtime)
        self._budget = WriteBudget(self._limiter, clock=self._runtime.now, sleep=self._runtime.sleep)

    def subscribe(self, url: str, events: Sequence[str], *, is_test: bool = False) -> Subscription:
        """Create a subscription; the result has its secret. Raises ApiError."""
        body = {"url": url, "events": list(events), "isTestMode": is_test}
        return self._changed("POST", ROOT, body, "Creating a webhook subscription", _CREATED)

    def rotate(self, subscription_id: str) -> Subscription:
        """Replace the secret; the result has the new one. Raises ApiError."""
        return self._changed("PUT", _path(subscription_id), {"regenerateSecret": True}, "Rotating the secret", _ROTATED)

    def enable(self, subscription_id: str) -> Subscription:
        """Switch a subscription on. Raises ApiError."""
        what = "Switching on the subscription"
        changed = self._changed("PUT", _path(subscription_id), {"isActive": True}, what, _LIST)
        if not changed.is_active or changed.id != str(UUID(subscription_id)):
            raise ApiError(
                f"{what}: the response does not say that it is on; `debitura webhooks list` shows whether it is."
            )
        return changed

    def remove(self, subscription_id: str) -> None:
        """Delete a subscription; its delivery history is lost. Raises ApiError."""
        what = "Removing the subscription"
        response = self._send("DELETE", _path(subscription_id), b"", what, _LIST)
        _check(response, what, _LIST)
        if response.is_unreadable:
            raise ApiError(f"{what}: HTTP {response.status} with a body that is not the API's. {_LIST}")

    def _changed(self, method: str, path: str, body: Mapping[str, Any], what: str, doubt: str) -> Subscription:
        """`doubt`: what to do when it is not known whether the request had its effect."""
        response = self._send(method, path, msgspec.json.encode(body), what, doubt)
        _check(response, what, doubt)
        try:
            return parse_subscription(response.document)
        except ShapeError:
            raise ApiError(f"{what}: HTTP {response.status} without the subscription. {doubt}") from None

    def _send(self, method: str, path: str, body: bytes, what: str, doubt: str) -> WriteResponse:
        settings, endpoint, runtime = self._settings, self._endpoint, self._runtime

        async def send() -> WriteResponse:
            client = WriteClient(
                endpoint.base_url, endpoint.api_key, self._budget, clock=runtime.now, network=settings.network
            )
            try:
                async with client:
                    return await client.send(method, path, body, what=what)
            finally:
                self._limiter.close()

        try:
            return asyncio.run(send())
        except RateLimitExhausted as error:
            raise RateLimitExhausted(f"{what} failed: {error}", error.facts["resume_at"]) from None
        except RateLimited as error:
            raise RateLimited(f"{what} failed: {error} Nothing was changed; try again later.") from None
        except TransientApiError as error:
            raise ApiError(f"{what}: {error} {doubt}") from None


def parse_subscription(document: Any) -> Subscription:
    """A subscription as the API returns it, member names in any letter case. Raises ShapeError if it has no id."""
    fields = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    found, secret = fields.get("id"), fields.get("secret")
    if not isinstance(found, str) or not found:
        raise ShapeError("The response contains no webhook subscription.")
    events, updated, reason = fields.get("events"), fields.get("updatedutc"), fields.get("disabledreason")
    return Subscription(
        id=_printable(found.lower()),
        url=_without_credentials(_printable(str(fields.get("url") or ""))),
        events=tuple(_printable(str(name)) for name in events) if isinstance(events, list) else (),
        is_active=fields.get("isactive") is True,
        is_test=fields.get("istestmode") is True,
        updated_at=parse_instant(updated) if isinstance(updated, str) else None,
        disabled_reason=safe_label(reason) if isinstance(reason, str) and reason else None,
        secret=Secret(secret, "DEBITURA_WEBHOOK_SECRETS") if isinstance(secret, str) and secret else None,
    )


def _printable(text: str) -> str:
    """Text as it may be printed: the API's own could steer a terminal, or not be encodable."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check(response: WriteResponse, what: str, doubt: str) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    details = [*response.codes, *([f"fields {', '.join(response.fields)}"] if response.fields else [])]
    reason = f" ({'; '.join(details)})" if details else ""
    advice = {401: " The key is refused; check DEBITURA_API_KEY.", 404: " There is no such subscription."}.get(
        status, ""
    )
    effect = "Nothing was changed." if status in _REFUSALS else doubt
    raise RefusedError(f"{what} failed: HTTP {status}{reason}.{advice} {effect}", status)


def _path(subscription_id: str) -> str:
    try:
        return ROOT + path_to(str(UUID(subscription_id)))
    except ValueError:
        raise SettingsError(
            "The subscription's id is not a UUID; `debitura webhooks list` shows the ids. "
            "Example: debitura webhooks enable 7d0c2f5e-1a0b-4c55-9d7f-0f6b8f1f2a10"
        ) from None


def _wrong_url(fault: str) -> SettingsError:
    return SettingsError(f"--url {fault}. Example: --url https://hooks.example.com/webhooks/debitura")


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or "." not in host
