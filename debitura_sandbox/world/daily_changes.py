"""Advance the world by days, with all kinds of changes that a warehouse has to detect.

Each day has its own random generator, seeded by (seed, day), so nine days at once give the same world as nine single days.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debitura_sandbox.world import codes, initial_state, invoicing, outcomes, payments
from debitura_sandbox.world.codes import DAY_US, NULL_US, Flags, Ints
from debitura_sandbox.world.payments import Random
from debitura_sandbox.world.world import RESOURCES, World

FEW_CLIENTS = 8  # worlds below this size keep their clients
UNTOLD_DAYS = 10  # on every tenth day, a case may be closed as paid without a transaction
EVENTS_A_NIGHT = 200  # of one kind; a large world would otherwise announce tens of thousands


@dataclass(frozen=True)
class Event:
    """Something that webhooks announce."""

    name: str
    client: int
    case: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def advance_world(world: World, days: int) -> list[Event]:
    """Advance the world by `days`, and return the events in order."""
    events: list[Event] = []
    for _ in range(days):
        world.day += 1
        rng = np.random.default_rng([world.options.seed, 77, world.day])
        _Night(world, rng, events).pass_by()
    world.invalidate(*RESOURCES)
    return events


class _Night:
    """The changes of one day. Their order matters: a case opened today is not closed today."""

    def __init__(self, world: World, rng: Random, events: list[Event]) -> None:
        self.world, self.rng, self.events = world, rng, events
        self.cases, self.clients = world.cases, world.clients
        self.begin = world.now_us - DAY_US
        self.booked = 0  # payments with which cases ended

    def pass_by(self) -> None:
        """Make all changes of the day."""
        invoicing.move_stages(self.world, self.some)
        invoicing.correct_payments(self.world, self.some)
        self.close_cases()
        self.move_cases()
        self.book_payments()
        self.sign_contracts()
        self.open_cases()
        self.change_clients()

    def some(self, mask: Flags, part: float, least: int = 0) -> Ints:
        """A random sample of the rows of a mask: about the share `part`, and at least `least` if there are that many."""
        rows = np.flatnonzero(mask)
        count = min(len(rows), max(int(least), int(self.rng.poisson(len(rows) * part))))
        return np.sort(self.rng.choice(rows, count, replace=False)) if count else rows[:0]

    def moments(self, count: int) -> Ints:
        """Random instants within the day, ascending."""
        return np.sort(self.begin + (self.rng.random(count) * (DAY_US - 2_000_000)).astype(np.int64))

    def close_cases(self) -> None:
        """Close cases for various reasons, merge one, delete one, and close those of clients that left."""
        cases, day, state = self.cases, self.world.day, self.cases["lifecycle"].copy()
        alive, has_client = cases["alive"], self.clients["alive"][cases["client"]]
        ended = self.some(alive & has_client & np.isin(state, (codes.ACTIVE, codes.PAUSED)), 0.007, 1)
        merged = self.some(alive & (state == codes.ACTIVE), 0.0, day % 4 == 1)
        merged = merged[~np.isin(merged, ended)]
        early = self.some(alive & has_client & (state < codes.ACTIVE) & (state > codes.SIGNING), 0.006)
        left = self.some(alive & ~has_client & ~np.isin(state, (codes.CLOSED, codes.MERGED)), 0.3, 1)
        closing = np.concatenate([ended, early, left])
        self._announce("case.updated", closing, newLifecycle=codes.LIFECYCLES[codes.CLOSED].label)
        self._end(ended)
        kind = self.rng.choice(codes.EARLY, len(early), p=codes.EARLY_WEIGHTS)
        outcomes.close(self.world, self.rng, early, kind, self.moments(len(early)))
        outcomes.withdraw(self.world, self.rng, left, self.begin)
        self._announce("case.closed", closing)
        cases["lifecycle"][merged], cases["close_code"][merged] = codes.MERGED, codes.NO_CODE
        cases["finished"][merged] = self.begin
        unread = alive & (cases["lifecycle"] == codes.INTERNAL)
        unread[list(self.world.submissions.cases)] = False  # a submitted case stays, so that it can be accounted for
        alive[self.some(unread, 0.0, day % 3 == 1)] = False

    def _end(self, rows: Ints) -> None:
        """Close active cases with their last payments; occasionally without transactions for them."""
        at = self.moments(len(rows))
        code = outcomes.collected_codes(self.world, self.rng, rows)
        if not self.world.options.transactions:
            code[self.cases["earns"][rows]] = codes.NOTHING_PAID
        is_unpaid = self.cases["remainder"][rows] == self.cases["gross"][rows]
        untold = rows[(code == codes.PAID_IN_FULL) & is_unpaid][: int(self.world.day % UNTOLD_DAYS == 7)]
        is_told = ~np.isin(rows, untold)
        self.booked = outcomes.last_payments(
            self.world, self.rng, rows[is_told], code[is_told], self.begin, at[is_told]
        )
        outcomes.close(self.world, self.rng, rows, code, at)
        outcomes.settle_without_transactions(self.world, self.rng, rows)

    def move_cases(self) -> None:
        """Advance open cases; phases change, sometimes backwards; creditors respond."""
        cases, alive, state = self.cases, self.cases["alive"], self.cases["lifecycle"].copy()
        for source, target, part in (
            (codes.INTERNAL, codes.VERIFYING, 0.3), (codes.VERIFYING, codes.LEADS, 0.2), (codes.VERIFYING, codes.NEEDS_INFO, 0.1),
            (codes.NEEDS_INFO, codes.LEADS, 0.15), (codes.LEADS, codes.QUOTED, 0.2), (codes.QUOTED, codes.ACTIVE, 0.25),
            (codes.ACTIVE, codes.PAUSED, 0.004), (codes.PAUSED, codes.ACTIVE, 0.04),
        ):  # fmt: skip
            rows = self.some(alive & (state == source) & (cases["lifecycle"] == source), part, 1)
            self._announce("case.updated", rows, newLifecycle=codes.LIFECYCLES[target].label)
            cases["lifecycle"][rows] = target
            cases["needs_info"][rows] = False
            cases["responded"][rows] = NULL_US
            if target == codes.NEEDS_INFO:
                initial_state.ask(self.world, self.rng, rows)
            fresh = rows[cases["partner"][rows] < 0] if target == codes.ACTIVE else rows[:0]
            initial_state.assign(self.world, self.rng, fresh)
            cases["started"][fresh] = self.moments(len(fresh))
        running = alive & (cases["lifecycle"] == codes.ACTIVE) & (cases["phase"] >= 0)
        onwards = self.some(running & (cases["phase"] < 2), 0.005, 1)
        back = self.some(running & (cases["phase"] > 0), 0.001, 1)
        cases["phase"][onwards] += 1
        cases["phase"][back] = 0
        answered = self.some(alive & cases["needs_info"], 0.1)
        cases["responded"][answered] = self.moments(len(answered))

    def book_payments(self) -> None:
        """Book payments at the rate of the previous months."""
        able = np.flatnonzero(self.world.is_collected())
        expected = self.rng.poisson(self.world.pace.payments * len(able)) - self.booked
        count = min(len(able), max(int(expected), int(self.world.options.transactions > 0)))
        if not count:
            return
        rows = self.rng.choice(able, count, replace=False)
        amounts = payments.part_of_remainder(self.world, self.rng, rows, 0.05, 0.6)
        payments.add_payments(self.world, self.rng, rows, self.moments(count), amounts, is_new=True)

    def sign_contracts(self) -> None:
        """One client signs, and its waiting cases advance; another gets a new contract to sign."""
        clients = self.clients
        for row in self.some(clients["alive"] & ~clients["done"], 0.1, self.world.day % 2).tolist():
            self.events.extend(sign(self.world, row))
        renewed = self.some(
            clients["alive"] & clients["done"], 0.0, int(self.world.day % 3 == 2 and len(clients) >= FEW_CLIENTS)
        )
        for row in renewed.tolist():
            require_signature(self.world, row)

    def open_cases(self) -> None:
        """Open new cases."""
        clients = self.clients
        weights = clients["weight"] * clients["alive"]
        count = max(int(self.rng.poisson(self.world.pace.cases * weights.sum())), int(self.world.options.cases > 0))
        if not count or not weights.sum():
            return
        owners = self.rng.choice(len(clients), count, p=weights / weights.sum())
        self._announce("case.created", initial_state.add_cases(self.world, self.rng, owners, self.moments(count)))

    def change_clients(self) -> None:
        """Link new clients, archive one, and reuse the tenant id of an archived one for a new creditor."""
        options, day = self.world.options, self.world.day
        count = int(self.rng.poisson(options.clients / (options.years * 365))) + (day % 10 == 1)
        if count:
            self._link(count, None)
        if len(self.clients) < FEW_CLIENTS:
            return
        if day % 15 == 8:
            size = self.world.client_stats()[0]
            small = self.clients["alive"] & (size <= max(1, np.quantile(size[self.clients["alive"]], 0.3)))
            self.clients["alive"][self.some(small, 0.0, 1)] = False
        if day % 15 == 9:
            free = [
                t
                for t in self.clients["tenant"][~self.clients["alive"]].tolist()
                if self.world.find_tenant(t) is None and t not in self.world.link_requests
            ]
            if free:
                self._link(1, [str(free[-1])])

    def _link(self, count: int, tenants: list[str] | None) -> None:
        rows = initial_state.create_clients(
            self.world, self.rng, self.moments(count), self.rng.random(count) < 0.5, tenants
        )
        self.events.extend(Event("client.linked", row) for row in rows.tolist())

    def _announce(self, name: str, rows: Ints, **facts: Any) -> None:
        for row in rows[:EVENTS_A_NIGHT].tolist():
            old = codes.LIFECYCLES[self.cases["lifecycle"][row]].label
            changes = {"oldLifecycle": old, **facts} if name == "case.updated" else {}
            self.events.append(Event(name, int(self.cases["client"][row]), row, changes))


def require_signature(world: World, row: int) -> None:
    """A new contract version: the client has to sign again, by a link of its own."""
    world.clients["done"][row], world.clients["is_upgrade"][row] = False, True
    renew_link(world, row, world.now_us)


def renew_link(world: World, row: int, at_us: int) -> None:
    """Replace a client's signing link by a fresh one."""
    number, _ = world.signing_links.get(row, (0, 0))
    world.signing_links[row] = (number + 1, at_us)


def sign(world: World, row: int) -> list[Event]:
    """Sign everything that a client has to sign; its waiting cases advance to verification."""
    world.clients["done"][row], world.clients["is_upgrade"][row] = True, False
    waiting = np.flatnonzero((world.cases["client"] == row) & (world.cases["lifecycle"] == codes.SIGNING))
    world.cases["lifecycle"][waiting] = codes.INTERNAL
    world.invalidate("clients", "cases")
    step = {
        "oldLifecycle": codes.LIFECYCLES[codes.SIGNING].label,
        "newLifecycle": codes.LIFECYCLES[codes.INTERNAL].label,
    }
    moved = [Event("case.updated", row, case, step) for case in waiting[:EVENTS_A_NIGHT].tolist()]
    return [Event("client.onboarding.poa_signed", row), Event("client.onboarding.contract_signed", row), *moved]
