"""The simulated API as a function from request to response: keys, limits, faults, and which room answers which path.

Belongs here: the order of these steps, and the read-only routes. Does not: sockets (`server.py`), writing routes
(`onboarding.py`, `webhooks.py`) or the admin door (`admin.py`). Used by the server, and by tests without one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from debitura_pipeline.sandbox import admin, catalog, customer, onboarding, webhooks
from debitura_pipeline.sandbox.changes import Entry
from debitura_pipeline.sandbox.clock import SimulatedClock
from debitura_pipeline.sandbox.columns import from_us
from debitura_pipeline.sandbox.documents import case_document, client_document
from debitura_pipeline.sandbox.evolve import Event
from debitura_pipeline.sandbox.faults import Faults
from debitura_pipeline.sandbox.http import RefusedError, Request, Response, answer, not_found
from debitura_pipeline.sandbox.journal import Journal
from debitura_pipeline.sandbox.limits import RateLimits
from debitura_pipeline.sandbox.pages import Pages
from debitura_pipeline.sandbox.query import BadQueryError, read_query
from debitura_pipeline.sandbox.world import RESOURCES, World

DEFAULT_KEY = "sandbox-key"
LISTING_PATHS = {"/clients": "clients", "/cases": "cases", "/reporting/transactions": "transactions"}
GIB = 2**30


@dataclass(frozen=True)
class AppOptions:
    """How the API behaves, apart from what is in its world."""

    key: str = DEFAULT_KEY
    has_rate_limit: bool = True
    latency_ms: float = 0.0
    cache_bytes: int = int(1.5 * GIB)
    accepts_local_webhooks: bool = True
    webhook_delay_scale: float = 1.0


class Sandbox:
    """A world behind an API. Not thread-safe: one request at a time, as on one event loop."""

    def __init__(
        self,
        journal: Journal,
        options: AppOptions | None = None,
        *,
        real: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.options = options or AppOptions()
        self.journal = journal
        self.clock = SimulatedClock(max(journal.world.now_us, journal.clock_us), real)
        self.limits = RateLimits()
        self.faults = Faults()
        self.pages = Pages(journal.world, self.options.cache_bytes)
        self.webhooks = webhooks.Webhooks(journal.world.options.seed, self.options.webhook_delay_scale)
        self.log: Counter[str] = Counter()
        self.requests = 0
        self._wall = wall

    @property
    def world(self) -> World:
        """The world as it is now."""
        return self.journal.world

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            if request.path.startswith("/sandbox/"):
                return admin.route(self, request)
            if request.path.startswith("/customer/"):
                return customer.route(self, request)
            return self._public(request)
        except RefusedError as refused:
            return refused.response

    def change(self, entry: Entry) -> dict[str, Any]:
        """Change the world, write it down, and queue what webhooks announce. Raises UnknownChangeError."""
        facts, events = self.journal.do(entry, self.clock.now_us())
        self.clock.move_to(self.world.now_us)
        self.announce(events)
        return facts

    def announce(self, events: list[Event]) -> int:
        """Queue events for webhooks; how many deliveries that makes."""
        return self.webhooks.announce(self.world, events, from_us(self.clock.now_us()).isoformat(), self._wall())

    def make_ahead(self) -> None:
        """Write the text of all rows before the first request."""
        for resource in RESOURCES:
            self.pages.make_ahead(resource)

    def _public(self, request: Request) -> Response:
        self.requests += 1
        self.log[f"{request.method} {request.path}"] += 1
        key = request.headers.get("xapikey", "")
        is_known = key == self.options.key
        if self.options.has_rate_limit:
            wait = self.limits.take(key if is_known else "", self._wall())
            if wait is not None:
                self.log["429"] += 1
                return too_many(wait)
        if not is_known:
            return Response(401, b"", None)
        rule = self.faults.match(request)
        if rule is None:
            return self._route(request)
        self.log[f"fault {rule.kind}"] += 1
        return self.faults.apply(rule, self, request, self._route)

    def _route(self, request: Request) -> Response:
        resource = LISTING_PATHS.get(request.path)
        if resource is not None and request.method == "GET":
            try:
                ask = read_query(resource, request.query)
            except BadQueryError as bad:
                return answer(bad.body, 400)
            return Response(200, self.pages.page(ask, self.clock.now_us(), self.requests).body())
        parts = request.path.strip("/").split("/")
        if request.method == "GET" and len(parts) == 2 and parts[0] == "cases":
            return self._case(parts[1])
        if request.method == "GET" and len(parts) == 2 and parts[0] == "clients":
            return self._client(unquote(parts[1]))
        if parts[0] == "v1":
            return webhooks.route(self, request)
        return catalog.route(self, request) or onboarding.route(self, request) or not_found("The path")

    def _case(self, id_: str) -> Response:
        row = self.find("cases", id_)
        if row is None:
            return not_found("The case")
        return answer(case_document(self.world, row) | {"potentialRevenue": catalog.potential_revenue(self.world, row)})

    def _client(self, tenant: str) -> Response:
        row = self.world.find_tenant(tenant)
        if row is None:
            return not_found("The client")
        return answer(client_document(self.world, row, self.world.client_stats()))

    def find(self, resource: str, id_: str) -> int | None:
        """Row number of a live row by its UUID."""
        try:
            wanted = str(UUID(id_))
        except ValueError:
            return None
        kept, ids = self.world.kept, self.world.all_ids(resource)
        name = f"rows of {resource}"
        if len(kept.get(name, ())) != len(ids):
            kept[name] = {text: row for row, text in enumerate(ids)}
        row: int | None = kept[name].get(wanted)
        return row if row is not None and self.world.live(resource)[row] else None


def too_many(wait_s: float) -> Response:
    """429: the wait stands in the body only."""
    body = {"error": "rate_limit_exceeded", "message": "Too many requests.", "retryAfter": math.ceil(wait_s * 10) / 10}
    return answer(body, 429)
