"""The context that every route receives: world, clock, rate limits, faults, pages and webhooks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from debitura_sandbox.api.client_requests import KnownEmails
from debitura_sandbox.api.faults import Faults, Route
from debitura_sandbox.api.http import Request, Response
from debitura_sandbox.api.ledger import Ledger
from debitura_sandbox.api.pages import Pages
from debitura_sandbox.api.rate_limits import RateLimits
from debitura_sandbox.api.undocumented import Undocumented
from debitura_sandbox.api.webhooks import Webhooks
from debitura_sandbox.world.change import Entry
from debitura_sandbox.world.clock import SimulatedClock
from debitura_sandbox.world.columns import from_us
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
    undocumented: Undocumented = field(default_factory=Undocumented)


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
        seed, first = journal.world.options.seed, self.clock.now_us()
        self.webhooks = Webhooks(seed, first, self.options.webhook_delay_scale)
        self.webhooks.restore(journal.world.webhooks)
        self.log: Counter[str] = Counter()
        self.set_undocumented(self.options.undocumented)
        self.answers: dict[tuple[int, str], Response] = {}  # by (client row, idempotency key), while this process lasts
        self.requests = 0
        self._hidden_until: list[tuple[int, int]] = []
        self._late: list[tuple[int, Request, Route]] = []
        self.emails = KnownEmails(journal.world)
        self.ledger = Ledger(self.options.key)
        self.wall = wall

    @property
    def world(self) -> World:
        """The current world."""
        return self.journal.world

    def latest_us(self) -> int:
        """The later of the simulated and the real instant: what lies behind it is no date in the future for anybody."""
        return max(self.clock.now_us(), int(self.wall() * 1_000_000))

    def change(self, entry: Entry) -> dict[str, Any]:
        """Change the world, persist the change, and queue its webhooks. Raises UnknownChangeError."""
        if entry.get("op") in ("advance", "night"):
            self._show_hidden(None)  # a day is longer than any delay, and a rebuilt world knows of none
        facts, events = self.journal.do(entry, self.clock.now_us())
        self.clock.move_to(self.world.now_us)
        self.announce(events)
        return facts

    def announce(self, events: list[Event], *, to_all: bool = False) -> int:
        """Queue events for webhooks, and return the number of deliveries. `to_all`: to subscriptions of either mode."""
        instant = from_us(self.clock.now_us()).isoformat()
        return self.webhooks.announce(self.world, events, instant, self.delivery_s(), to_all=to_all)

    def delivery_s(self) -> float:
        """Seconds since 1970 by which webhooks are due and stamped."""
        return self.wall() if self.undocumented.delivery_clock == "real" else self.clock.now_us() / 1_000_000

    def prerender(self) -> None:
        """Render all rows before the first request."""
        for resource in RESOURCES:
            self.pages.prerender(resource)

    def hide(self, row: int, until_us: int) -> None:
        """Keep a case out of lookups and listings until an instant, or until it is deleted."""
        self.world.submissions.hidden.add(row)
        self.world.cases["alive"][row] = False
        self.world.invalidate("cases")
        self._hidden_until.append((until_us, row))

    def set_undocumented(self, switches: Undocumented) -> None:
        """Change how the API answers where its documents are silent."""
        self.undocumented = self.webhooks.switches = switches
        if self.world.submissions.lists_tests != switches.lists_test_cases:
            self.world.submissions.lists_tests = switches.lists_test_cases
            self.world.invalidate("cases")

    def later(self, request: Request, route: Route, delay_s: float) -> None:
        """Let a request take effect after some simulated seconds."""
        self._late.append((self.clock.now_us() + int(delay_s * 1_000_000), request, route))

    def keep_webhooks(self) -> None:
        """Put the subscriptions into the journal."""
        self.webhooks.is_changed = False
        self.change({"op": "webhooks", "subscriptions": self.webhooks.stored()})

    def catch_up(self) -> None:
        """Let late requests take effect, and show the hidden cases whose time has come."""
        if self.webhooks.is_changed:
            self.keep_webhooks()
        if self._late:
            now_us, late = self.clock.now_us(), self._late
            self._late = [each for each in late if each[0] > now_us]
            for _, request, route in (each for each in late if each[0] <= now_us):
                route(request)
        if self._hidden_until:
            self._show_hidden(self.clock.now_us())
        if self.world.link_requests:
            self._expire_requests()

    def _expire_requests(self) -> None:
        life_s = self.undocumented.link_life_s
        for tenant, request in list(self.world.link_requests.items()) if life_s is not None else ():
            if not request.is_over and self.clock.now_us() >= request.asked_us + int((life_s or 0) * 1_000_000):
                self.change({"op": "expire_link", "tenant": tenant})

    def _show_hidden(self, until_us: int | None) -> None:
        """Show the hidden cases that are due by an instant; all for None."""
        hidden = self.world.submissions.hidden
        due = [each for each in self._hidden_until if until_us is None or each[0] <= until_us]
        self._hidden_until = [each for each in self._hidden_until if each not in due]
        rows = [row for _, row in due if row in hidden]
        if rows:
            hidden.difference_update(rows)
            self.world.cases["alive"][rows] = True
            self.world.invalidate("cases")

    def find(self, resource: str, id_: str) -> int | None:
        """Row number of a listed row by its UUID."""
        row = self.find_row(resource, id_)
        return row if row is not None and self.world.live(resource)[row] else None

    def find_row(self, resource: str, id_: str) -> int | None:
        """Row number of a row by its UUID, whether it is listed or not."""
        try:
            wanted = str(UUID(id_))
        except ValueError:
            return None
        cache, ids = self.world.cache, self.world.all_ids(resource)
        name = f"rows of {resource}"
        rows: dict[str, int] = cache.setdefault(name, {})
        rows.update((ids[row], row) for row in range(len(rows), len(ids)))
        return rows.get(wanted)
