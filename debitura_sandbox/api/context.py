"""The context that every route receives: world, clock, rate limits, faults, pages and webhooks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from debitura_sandbox.api.faults import Faults
from debitura_sandbox.api.pages import Pages
from debitura_sandbox.api.rate_limits import RateLimits
from debitura_sandbox.api.webhooks import Webhooks
from debitura_sandbox.world.clock import SimulatedClock
from debitura_sandbox.world.columns import from_us
from debitura_sandbox.world.commands import Entry
from debitura_sandbox.world.daily_changes import Event
from debitura_sandbox.world.state import Journal
from debitura_sandbox.world.world import RESOURCES, World

DEFAULT_KEY = "sandbox-key"
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


class Context:
    """A world and everything around it. Not thread-safe: one request at a time, as on one event loop."""

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
        self.webhooks = Webhooks(journal.world.options.seed, self.options.webhook_delay_scale)
        self.log: Counter[str] = Counter()
        self.requests = 0
        self.wall = wall

    @property
    def world(self) -> World:
        """The current world."""
        return self.journal.world

    def change(self, entry: Entry) -> dict[str, Any]:
        """Change the world, persist the change, and queue its webhooks. Raises UnknownChangeError."""
        facts, events = self.journal.do(entry, self.clock.now_us())
        self.clock.move_to(self.world.now_us)
        self.announce(events)
        return facts

    def announce(self, events: list[Event]) -> int:
        """Queue events for webhooks, and return the number of deliveries."""
        return self.webhooks.announce(self.world, events, from_us(self.clock.now_us()).isoformat(), self.wall())

    def prerender(self) -> None:
        """Render all rows before the first request."""
        for resource in RESOURCES:
            self.pages.prerender(resource)

    def find(self, resource: str, id_: str) -> int | None:
        """Row number of a live row by its UUID."""
        try:
            wanted = str(UUID(id_))
        except ValueError:
            return None
        cache, ids = self.world.cache, self.world.all_ids(resource)
        name = f"rows of {resource}"
        if len(cache.get(name, ())) != len(ids):
            cache[name] = {text: row for row, text in enumerate(ids)}
        row: int | None = cache[name].get(wanted)
        return row if row is not None and self.world.live(resource)[row] else None
