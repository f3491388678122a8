"""Webhook subscriptions and their deliveries, signed as the API signs them.

Belongs here: subscriptions, the queue, attempts and switching off. Does not: sending over the network, which is passed
in (`server.py` sends, to loopback addresses only). Subscriptions last as long as the process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import numpy as np

from debitura_pipeline.sandbox import codes
from debitura_pipeline.sandbox.columns import from_us, references, uuids
from debitura_pipeline.sandbox.documents import registration
from debitura_pipeline.sandbox.evolve import Event
from debitura_pipeline.sandbox.http import Request, Response, answer, empty, failure, not_found
from debitura_pipeline.sandbox.places import COUNTRIES
from debitura_pipeline.sandbox.world import World

if TYPE_CHECKING:
    from debitura_pipeline.sandbox.app import Sandbox

DELAYS_S = (0, 60, 120, 240, 480, 960, 1_800, 1_800)  # before each of the eight attempts: an hour and a half in all
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_URL = 1_024
KEPT_DELIVERIES = 10_000  # beyond this, those that are over are forgotten
Post = Callable[[str, bytes, dict[str, str]], int]  # sends; gives the status, 0 where no answer came


@dataclass
class Subscription:
    """One subscription. The secret is Base64 text."""

    id: str
    url: str
    events: list[str]
    is_test: bool
    secret: str
    created: str
    updated: str
    is_active: bool = True
    disabled_reason: str | None = None
    failures: int = 0

    def document(self, with_secret: bool = False) -> dict[str, Any]:
        """WebhookDto; the secret only at creation and rotation."""
        return {
            "id": self.id, "url": self.url, "events": self.events, "isActive": self.is_active, "createdUtc": self.created,
            "updatedUtc": self.updated, "disabledReason": self.disabled_reason,
            "secret": self.secret if with_secret else None, "isTestMode": self.is_test,
        }  # fmt: skip


@dataclass
class Delivery:
    """One event on its way to one subscription."""

    subscription: str
    event: str
    body: bytes
    due_s: float
    statuses: list[int] = field(default_factory=list)
    is_over: bool = False


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Value of X-Debitura-Signature."""
    text = str(timestamp).encode() + b"." + body
    return f"t={timestamp},v1={hmac.new(base64.b64decode(secret), text, hashlib.sha256).hexdigest()}"


class Webhooks:
    """All subscriptions, and what is to be delivered."""

    def __init__(self, seed: int, delay_scale: float = 1.0) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: list[Delivery] = []
        self.delay_scale = delay_scale
        self._seed, self._made = seed, 0

    def new_id(self) -> str:
        """The next id of a subscription or an event."""
        self._made += 1
        return str(uuids(np.array([self._made]), self._seed + 515)[0].decode())

    def new_secret(self) -> str:
        """The next signing secret."""
        return base64.b64encode(hashlib.sha256(f"{self._seed} {self.new_id()}".encode()).digest()).decode()

    def announce(self, world: World, events: list[Event], instant: str, now_s: float) -> int:
        """Queue events for whoever subscribed to them; how many deliveries that makes."""
        count = 0
        for event in events if self.subscriptions else ():
            wanted = [s for s in self.subscriptions.values() if s.is_active and event.name in s.events]
            if wanted:
                body = json.dumps(self._envelope(world, event, instant), ensure_ascii=False).encode()
                if len(self.deliveries) > KEPT_DELIVERIES:
                    self.deliveries = [delivery for delivery in self.deliveries if not delivery.is_over]
                self.deliveries += [Delivery(s.id, event.name, body, now_s) for s in wanted]
                count += len(wanted)
        return count

    def _envelope(self, world: World, event: Event, instant: str) -> dict[str, Any]:
        data: dict[str, Any] = {"externalTenantId": world.clients["tenant"][event.client]}
        if event.case is not None:
            data |= {
                "caseId": world.ids("cases", np.array([event.case]))[0],
                "reference": references(np.array([event.case]), world.salts["cases"])[0].decode(),
            }
        elif event.name != "client.link_declined":
            data["creditor"] = {
                "id": world.ids("clients", np.array([event.client]))[0],
                "companyName": world.company_name(event.client),
                "registrationNumber": registration(world, event.client),
                "countryId": COUNTRIES[int(world.clients["country"][event.client])].id,
                "isAttributed": bool(world.clients["is_attributed"][event.client]),
            }
        if event.name.endswith("_signed"):
            data["signedAt"] = instant
        return {
            "id": self.new_id(), "specVersion": "1.0", "event": event.name, "timestamp": instant, "data": data | event.facts,
            "links": {},
        }  # fmt: skip

    def deliver_due(self, now_s: float, post: Post) -> int:
        """Make all attempts that are due at `now_s` (real seconds since 1970); how many there were."""
        due = [delivery for delivery in self.deliveries if not delivery.is_over and delivery.due_s <= now_s]
        for delivery in due:
            self._attempt(delivery, now_s, post)
        return len(due)

    def _attempt(self, delivery: Delivery, now_s: float, post: Post) -> None:
        subscription = self.subscriptions.get(delivery.subscription)
        if subscription is None or not subscription.is_active:
            delivery.is_over = True
            return
        headers = {
            "Content-Type": "application/json",
            "X-Debitura-Event": delivery.event,
            "X-Debitura-Timestamp": str(int(now_s)),
            "X-Debitura-Signature": signature(subscription.secret, int(now_s), delivery.body),
        }
        status = post(subscription.url, delivery.body, headers)
        delivery.statuses.append(status)
        if 200 <= status < 300:
            delivery.is_over, subscription.failures = True, 0
            return
        attempts = len(delivery.statuses)
        if status == 410 or attempts == len(DELAYS_S):
            delivery.is_over, subscription.is_active = True, False
            subscription.disabled_reason = (
                "The target answered 410." if status == 410 else f"{attempts} attempts failed."
            )
        else:
            delivery.due_s = now_s + DELAYS_S[attempts] * self.delay_scale


def route(sandbox: Sandbox, request: Request) -> Response:
    """Answer a call under /v1/Webhooks."""
    hooks, parts = sandbox.webhooks, request.path.strip("/").split("/")
    if parts[:2] != ["v1", "Webhooks"] or len(parts) > 3:
        return not_found("The path")
    if len(parts) == 2:
        if request.method == "GET":
            return answer([subscription.document() for subscription in hooks.subscriptions.values()])
        return _create(sandbox, request.document()) if request.method == "POST" else not_found("The path")
    if (request.method, parts[2]) == ("POST", "test"):
        return _test(sandbox, request.document())
    subscription = hooks.subscriptions.get(parts[2].lower())
    if subscription is None:
        return not_found("The webhook")
    if request.method == "DELETE":
        del hooks.subscriptions[subscription.id]
        return empty(204)
    return (
        _update(sandbox, subscription, request.document())
        if request.method == "PUT"
        else answer(subscription.document())
    )


def _fault(sandbox: Sandbox, url: Any, events: Any) -> str | None:
    if not isinstance(events, list) or not events or set(map(str, events)) - set(codes.EVENTS):
        return "events must name at least one known event."
    parts = urlsplit(url) if isinstance(url, str) and len(url) <= MAX_URL else None
    is_local = parts is not None and parts.hostname in LOOPBACK
    if parts is None or not parts.hostname or (is_local and not sandbox.options.accepts_local_webhooks):
        return "url must be a public HTTPS address."
    return None if parts.scheme == "https" or is_local else "url must be HTTPS."


def _create(sandbox: Sandbox, wanted: dict[str, Any]) -> Response:
    fault = _fault(sandbox, wanted.get("url"), wanted.get("events"))
    if fault:
        return failure(400, "ValidationError", fault)
    hooks, now = sandbox.webhooks, from_us(sandbox.clock.now_us()).isoformat()
    made = Subscription(
        hooks.new_id(), wanted["url"], wanted["events"], bool(wanted.get("isTestMode")), hooks.new_secret(), now, now
    )
    hooks.subscriptions[made.id] = made
    return answer(made.document(with_secret=True))


def _update(sandbox: Sandbox, subscription: Subscription, wanted: dict[str, Any]) -> Response:
    url, events = wanted.get("url") or subscription.url, wanted.get("events") or subscription.events
    fault = _fault(sandbox, url, events)
    if fault:
        return failure(400, "ValidationError", fault)
    subscription.url, subscription.events = url, events
    subscription.updated = from_us(sandbox.clock.now_us()).isoformat()
    if wanted.get("isTestMode") is not None:
        subscription.is_test = bool(wanted["isTestMode"])
    if wanted.get("isActive") is not None:
        subscription.is_active = bool(wanted["isActive"])
        subscription.disabled_reason = None if subscription.is_active else subscription.disabled_reason
    is_rotated = bool(wanted.get("regenerateSecret"))
    if is_rotated:
        subscription.secret = sandbox.webhooks.new_secret()
    return answer(subscription.document(with_secret=is_rotated))


def _test(sandbox: Sandbox, wanted: dict[str, Any]) -> Response:
    """Queue a real, signed delivery; no data changes."""
    world, name = sandbox.world, str(wanted.get("eventType"))
    if not world.options.is_test_environment:
        return failure(403, "Forbidden", "This operation works in the test environment only.")
    if name not in codes.EVENTS or name == "cases.replay_failed":
        return failure(400, "ValidationError", "eventType is not known.")
    if name.startswith("case."):
        try:
            row = sandbox.find("cases", str(UUID(str(wanted.get("caseId")))))
        except ValueError:
            return failure(400, "ValidationError", "caseId is needed for case events.")
        if row is None:
            return not_found("The case")
        old = codes.LIFECYCLES[int(world.cases["lifecycle"][row])].label
        facts = {
            "case.updated": {
                "oldLifecycle": wanted.get("oldLifecycle") or old, "newLifecycle": wanted.get("newLifecycle") or "Closed",
            },
            "case.closed": {"closeCode": wanted.get("closeCode") or "Paid"},
        }.get(name, {})  # fmt: skip
        event = Event(name, int(world.cases["client"][row]), row, facts)
    else:
        client = world.find_tenant(str(wanted.get("externalTenantId")))
        if client is None:
            return not_found("The client")
        event = Event(name, client)
    count = sandbox.announce([event])
    return answer({"eventType": name, "enqueuedCount": count, "message": f"{count} deliveries queued."})
