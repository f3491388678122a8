"""Webhook subscriptions and signed deliveries. Subscriptions are part of the journal, deliveries last as long as the process.

Nothing is sent here: the caller passes in the function that posts (`server.py`, to loopback addresses only).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from debitura_sandbox.api.documents import registration
from debitura_sandbox.api.undocumented import Undocumented
from debitura_sandbox.world.addresses import COUNTRIES
from debitura_sandbox.world.columns import references, uuids
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.world import World

DELAYS_S = (0, 60, 120, 240, 480, 960, 1_800, 1_800)  # before each of the eight attempts: an hour and a half in all
JITTER = 0.1  # of a delay, more or less
KEPT_DELIVERIES = 10_000  # beyond this, those that are over are forgotten
Post = Callable[[str, bytes, dict[str, str]], int]  # sends; gives the status, 0 where no answer came


@dataclass
class Subscription:
    """One subscription. The secret is Base64 text, made from `rotation` and never stored."""

    id: str
    url: str
    events: list[str]
    is_test: bool
    created: str
    updated: str
    is_active: bool = True
    disabled_reason: str | None = None
    failures: int = 0
    rotation: int = 0

    def document(self, secret: str | None = None) -> dict[str, Any]:
        """WebhookDto; with a secret only at creation and rotation."""
        return {
            "id": self.id, "url": self.url, "events": self.events, "isActive": self.is_active, "createdUtc": self.created,
            "updatedUtc": self.updated, "disabledReason": self.disabled_reason,
            "secret": secret, "isTestMode": self.is_test,
        }  # fmt: skip


@dataclass
class Delivery:
    """One event on its way to one subscription. `stamp`: of the first attempt; `repeats`: how often it is delivered again."""

    subscription: str
    event: str
    body: bytes
    due_s: float
    repeats: int = 0
    stamp: int | None = None
    statuses: list[int] = field(default_factory=list)
    is_over: bool = False


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Value of X-Debitura-Signature."""
    text = str(timestamp).encode() + b"." + body
    return f"t={timestamp},v1={hmac.new(base64.b64decode(secret), text, hashlib.sha256).hexdigest()}"


class Webhooks:
    """All subscriptions and pending deliveries. `switches`: how deliveries behave where the documents leave it open."""

    def __init__(self, seed: int, first: int, delay_scale: float = 1.0, switches: Undocumented | None = None) -> None:
        """`first`: number of the first id, larger than those of processes before this one."""
        self.switches = switches or Undocumented()
        self.subscriptions: dict[str, Subscription] = {}
        self.deliveries: list[Delivery] = []
        self.delay_scale = delay_scale
        self.is_changed = False  # a subscription was switched off, which the journal does not know yet
        self._seed, self._made = seed, first
        self._random = random.Random(seed)  # noqa: S311 (pauses, no secrets)

    def new_id(self) -> str:
        """The next id of a subscription or an event."""
        self._made += 1
        return str(uuids(np.array([self._made]), self._seed + 515)[0].decode())

    def secret_of(self, subscription: Subscription) -> str:
        """The signing secret of a subscription."""
        text = f"{self._seed} {subscription.id} {subscription.rotation}"
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    def stored(self) -> list[dict[str, Any]]:
        """The subscriptions as plain values, without secrets."""
        return [asdict(subscription) for subscription in self.subscriptions.values()]

    def restore(self, stored: list[dict[str, Any]]) -> None:
        """The inverse of `stored`."""
        self.subscriptions = {each["id"]: Subscription(**each) for each in stored}

    def announce(self, world: World, events: list[Event], instant: str, now_s: float, *, to_all: bool = False) -> int:
        """Queue events for their subscribers, and return the number of deliveries. Subscriptions in test mode receive events of
        test cases, the others all other events; `to_all`: any event."""
        count = 0
        for event in events if self.subscriptions else ():
            wanted = [s for s in self.subscriptions.values() if s.is_active and event.name in s.events]
            if not to_all:
                is_test = event.case is not None and world.submissions.is_test(event.case)
                wanted = [s for s in wanted if s.is_test == is_test]
            if wanted:
                body = json.dumps(self._envelope(world, event, instant), ensure_ascii=False).encode()
                if len(self.deliveries) > KEPT_DELIVERIES:
                    self.deliveries = [delivery for delivery in self.deliveries if not delivery.is_over]
                repeats = self.switches.delivery_repeats
                self.deliveries += [Delivery(s.id, event.name, body, now_s + self._spread(), repeats) for s in wanted]
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
        """Make all attempts that are due at `now_s` (seconds since 1970), and return their number."""
        due = [delivery for delivery in self.deliveries if not delivery.is_over and delivery.due_s <= now_s]
        for delivery in sorted(due, key=lambda each: each.due_s):
            self._attempt(delivery, now_s, post)
        return len(due)

    def _attempt(self, delivery: Delivery, now_s: float, post: Post) -> None:
        subscription = self.subscriptions.get(delivery.subscription)
        if subscription is None or not subscription.is_active:
            delivery.is_over = True
            return
        if delivery.stamp is None or not self.switches.retries_keep_stamp:
            delivery.stamp = int(now_s)
        headers = {
            "Content-Type": "application/json",
            "X-Debitura-Event": delivery.event,
            "X-Debitura-Timestamp": str(delivery.stamp),
            "X-Debitura-Signature": signature(self.secret_of(subscription), delivery.stamp, delivery.body),
        }
        status = post(subscription.url, delivery.body, headers)
        delivery.statuses.append(status)
        if 200 <= status < 300:
            subscription.failures = 0
            self._succeed(delivery, now_s)
        else:
            subscription.failures += 1
            self._fail(delivery, subscription, status, now_s)

    def _succeed(self, delivery: Delivery, now_s: float) -> None:
        """Done, or due again as a repeat, with a stamp of its own."""
        if delivery.repeats:
            delivery.repeats -= 1
            delivery.due_s, delivery.stamp = now_s + self._spread(), None
        else:
            delivery.is_over = True

    def _fail(self, delivery: Delivery, subscription: Subscription, status: int, now_s: float) -> None:
        attempts = len(delivery.statuses)
        counted = subscription.failures if self.switches.failures_count == "subscription" else attempts
        if status == 410 or counted >= len(DELAYS_S):
            delivery.is_over, subscription.is_active, self.is_changed = True, False, True
            why = "The target answered 410." if status == 410 else f"{counted} attempts failed."
            subscription.disabled_reason = why
        elif attempts == len(DELAYS_S):
            delivery.is_over = True
        else:
            pause = DELAYS_S[attempts] * self.delay_scale
            delivery.due_s = now_s + pause * (1 + JITTER * (2 * self._random.random() - 1))

    def _spread(self) -> float:
        return self._random.random() * self.switches.delivery_spread_s
