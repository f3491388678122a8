"""Webhook subscriptions and signed deliveries. Subscriptions last as long as the process.

Nothing is sent here: the caller passes in the function that posts (`server.py`, to loopback addresses only).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debitura_sandbox.api.documents import registration
from debitura_sandbox.world.addresses import COUNTRIES
from debitura_sandbox.world.columns import references, uuids
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.world import World

DELAYS_S = (0, 60, 120, 240, 480, 960, 1_800, 1_800)  # before each of the eight attempts: an hour and a half in all
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
    """All subscriptions and pending deliveries."""

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
        """Queue events for their subscribers, and return the number of deliveries."""
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
        """Make all attempts that are due at `now_s` (real seconds since 1970), and return their number."""
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
