"""Moves the world forward, one night at a time: everything that a warehouse has to notice happens somewhere in here.

Belongs here: what changes in a night, in bulk. Does not: changes that somebody asks for (`changes.py`). Each night
draws from its own generator (seed, day), so nine nights in one go are the same as nine nights one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from debitura_pipeline.sandbox import codes, genesis
from debitura_pipeline.sandbox.codes import DAY_US, NULL_US, Flags, Ints
from debitura_pipeline.sandbox.columns import Array
from debitura_pipeline.sandbox.genesis import Random
from debitura_pipeline.sandbox.world import RESOURCES, World

FEW_CLIENTS = 8  # worlds below this size keep their clients
EVENTS_A_NIGHT = 200  # of one kind; a large world would otherwise announce tens of thousands


@dataclass(frozen=True)
class Event:
    """Something that webhooks announce."""

    name: str
    client: int
    case: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def advance(world: World, days: int) -> list[Event]:
    """Move the world `days` nights forward; what happened is announced in order."""
    events: list[Event] = []
    for _ in range(days):
        world.day += 1
        rng = np.random.default_rng([world.options.seed, 77, world.day])
        _Night(world, rng, events).pass_by()
    world.touch(*RESOURCES)
    return events


class _Night:
    """One night. The order of its steps matters: a case opened tonight does not close tonight."""

    def __init__(self, world: World, rng: Random, events: list[Event]) -> None:
        self.world, self.rng, self.events = world, rng, events
        self.cases, self.payments, self.clients = world.cases, world.transactions, world.clients
        self.begin = world.now_us - DAY_US

    def pass_by(self) -> None:
        """Everything that one night does."""
        self.move_invoices()
        self.correct_payments()
        self.close_and_reopen()
        self.move_cases()
        self.book_payments()
        self.sign_contracts()
        self.open_cases()
        self.change_clients()

    def some(self, mask: Flags, part: float, least: int = 0) -> Ints:
        """Some of the rows that a mask names: about `part` of them, and at least `least` where there are so many."""
        rows = np.flatnonzero(mask)
        count = min(len(rows), max(int(least), int(self.rng.poisson(len(rows) * part))))
        return np.sort(self.rng.choice(rows, count, replace=False)) if count else rows[:0]

    def moments(self, count: int) -> Ints:
        """Instants within the night, ascending."""
        return np.sort(self.begin + (self.rng.random(count) * (DAY_US - 2_000_000)).astype(np.int64))

    def case_of(self, rows: Array, column: str) -> Array:
        return self.cases[column][self.payments["case"][rows]]

    def move_invoices(self) -> None:
        """Stages move forward, as a rule; some move back, are credited, disputed, or skipped."""
        table, day = self.payments, self.world.day
        alive, old = table["alive"], table["date"] < self.begin - 5 * DAY_US
        commission, platform, referral = table["commission"], table["platform"], table["referral"]
        pending = referral <= codes.REFERRAL_PENDING
        credited = self.some(alive & (commission == codes.PAID) & (platform != codes.NOT_INVOICED), 0.0003, 1)
        disputed = self.some(alive & (referral == codes.REFERRAL_INVOICED), 0.003, 1)
        settled = self.some(alive & (referral == codes.DISPUTED), 0.05)
        unsent = self.some(alive & (referral == codes.REFERRAL_INVOICED), 0.002, 1)
        unissued = self.some(alive & (platform == codes.ISSUED) & pending, 0.004, 1)
        invoice_credited = self.some(alive & (platform == codes.RECEIVED) & pending, 0.004)
        paid_out = self.some(alive & (referral == codes.REFERRAL_INVOICED), 0.02, 1)
        invoiced = self.some(alive & (platform == codes.RECEIVED) & pending, 0.03, 1)
        received = self.some(alive & (platform == codes.ISSUED) & pending, 0.04, 1)
        due = self.some(
            alive & (platform == codes.NOT_INVOICED) & (commission == codes.PAID) & pending,
            0.9 if day % 30 == 3 else 0.02,
            1,
        )
        confirmed = self.some(alive & old & (commission == codes.UNPAID), 0.15, 1)
        for rows, column, value in (
            (due, "platform", codes.ISSUED), (received, "platform", codes.RECEIVED), (unissued, "platform", codes.NOT_INVOICED),
            (invoice_credited, "platform", codes.INVOICE_CREDITED), (invoiced, "referral", codes.REFERRAL_INVOICED),
            (paid_out, "referral", codes.REFERRAL_PAID), (unsent, "referral", codes.REFERRAL_PENDING),
            (disputed, "referral", codes.DISPUTED), (settled, "referral", codes.REFERRAL_PAID),
            (credited, "commission", codes.CREDITED), (confirmed, "commission", codes.PAID),
        ):  # fmt: skip
            table[column][rows] = value
        table["locked_day"][confirmed] = day

    def correct_payments(self) -> None:
        """Payments not yet invoiced are edited in place, or deleted: a row changes its amounts, or is gone."""
        table = self.payments
        free = (
            table["alive"] & (table["platform"] == codes.NOT_INVOICED) & (table["referral"] <= codes.REFERRAL_PENDING)
        )
        edited = self.some(free, 0.01, 2)
        grain = np.where(table["amount"][edited] % 10_000 == 0, 10_000, 100)
        table["amount"][edited] = np.maximum(table["amount"][edited] * 9 // 10 // grain, 1) * grain
        revenue, fee, _ = genesis.earnings(self.world, table["case"][edited], table["amount"][edited])
        table["revenue"][edited], table["fee"][edited] = revenue, fee
        table["alive"][self.some(free & (table["amount"] > 0), 0.004, 1)] = False

    def close_and_reopen(self) -> None:
        """Cases end, for all kinds of reasons; a paid one is reopened; one is merged into another, one is deleted."""
        cases, alive = self.cases, self.cases["alive"]
        reopened = self.some(alive & (cases["close_code"] == codes.PAID_IN_FULL), 0.0005, 1)
        ended = self.some(alive & np.isin(cases["lifecycle"], (codes.ACTIVE, codes.PAUSED)), 0.006, 1)
        merged = self.some(alive & (cases["lifecycle"] == codes.ACTIVE), 0.0002, self.world.day % 2)
        kind = self.rng.choice(len(codes.CLOSE_CODES), len(ended), p=codes.CLOSE_WEIGHTS)
        self._announce("case.closed", ended)
        genesis.close(self.world, self.rng, ended, kind, self.moments(len(ended)))
        cases["remainder"][ended[kind == codes.PAID_IN_FULL]] = 0
        cases["lifecycle"][reopened], cases["close_code"][reopened] = codes.ACTIVE, codes.NO_CODE
        cases["finished"][reopened] = NULL_US
        cases["remainder"][reopened] = cases["gross"][reopened] // 2
        cases["lifecycle"][merged], cases["close_code"][merged] = codes.MERGED, codes.NO_CODE
        cases["finished"][merged] = self.begin
        alive[self.some(alive & (cases["lifecycle"] == codes.INTERNAL), 0.0, self.world.day % 3 == 1)] = False

    def move_cases(self) -> None:
        """Open cases take a step; phases move, at times backwards; creditors answer."""
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
                genesis.ask(self.world, self.rng, rows)
            fresh = rows[cases["partner"][rows] < 0] if target == codes.ACTIVE else rows[:0]
            genesis.assign(self.world, self.rng, fresh)
            cases["started"][fresh] = self.moments(len(fresh))
        running = alive & (cases["lifecycle"] == codes.ACTIVE) & (cases["phase"] >= 0)
        onwards = self.some(running & (cases["phase"] < 2), 0.005, 1)
        back = self.some(running & (cases["phase"] > 0), 0.001, 1)
        cases["phase"][onwards] += 1
        cases["phase"][back] = 0
        answered = self.some(alive & cases["needs_info"], 0.1)
        cases["responded"][answered] = self.moments(len(answered))

    def book_payments(self) -> None:
        """Debtors pay, in proportion to the years before."""
        options, cases = self.world.options, self.cases
        count = int(self.rng.poisson(options.transactions / (options.years * 365))) + (options.transactions > 0)
        able = np.flatnonzero(
            cases["alive"] & (cases["lifecycle"] == codes.ACTIVE) & (cases["partner"] >= 0) & cases["earns"]
        )
        if not len(able) or not count:
            return
        rows = self.rng.choice(able, count)
        grain = np.where(cases["remainder"][rows] % 10_000 == 0, 10_000, 100)
        amounts = (
            np.maximum((cases["remainder"][rows] * self.rng.uniform(0.05, 0.6, count)).astype(np.int64) // grain, 1)
            * grain
        )
        genesis.add_payments(self.world, self.rng, rows, self.moments(count), amounts, is_new=True)

    def sign_contracts(self) -> None:
        """A client that had something to sign signs it, and its waiting cases move on; another gets a new contract."""
        clients = self.clients
        for row in self.some(clients["alive"] & ~clients["done"], 0.1, self.world.day % 2).tolist():
            self.events.extend(sign(self.world, row))
        renewed = self.some(
            clients["alive"] & clients["done"], 0.0, int(self.world.day % 3 == 2 and len(clients) >= FEW_CLIENTS)
        )
        clients["done"][renewed], clients["is_upgrade"][renewed] = False, True

    def open_cases(self) -> None:
        """Clients bring new cases."""
        options, clients = self.world.options, self.clients
        count = int(self.rng.poisson(options.cases / (options.years * 365))) + (options.cases > 0)
        weights = clients["weight"] * clients["alive"]
        if not count or not weights.sum():
            return
        owners = self.rng.choice(len(clients), count, p=weights / weights.sum())
        self._announce("case.created", genesis.add_cases(self.world, self.rng, owners, self.moments(count)))

    def change_clients(self) -> None:
        """New clients are linked; one is archived; the id of an archived one goes to a new creditor."""
        count = int(self.rng.poisson(self.world.options.clients / 200)) + (self.world.day % 4 == 1)
        if count:
            self._link(count, None)
        if len(self.clients) < FEW_CLIENTS:
            return
        if self.world.day % 5 == 3:
            size = self.world.client_stats()[0]
            small = self.clients["alive"] & (size <= max(1, np.quantile(size[self.clients["alive"]], 0.3)))
            self.clients["alive"][self.some(small, 0.0, 1)] = False
        if self.world.day % 5 == 4:
            free = [
                t for t in self.clients["tenant"][~self.clients["alive"]].tolist() if self.world.find_tenant(t) is None
            ]
            if free:
                self._link(1, [str(free[-1])])

    def _link(self, count: int, tenants: list[str] | None) -> None:
        rows = genesis.add_clients(self.world, self.rng, self.moments(count), self.rng.random(count) < 0.5, tenants)
        self.events.extend(Event("client.linked", row) for row in rows.tolist())

    def _announce(self, name: str, rows: Ints, **facts: Any) -> None:
        for row in rows[:EVENTS_A_NIGHT].tolist():
            old = codes.LIFECYCLES[self.cases["lifecycle"][row]].label
            changes = {"oldLifecycle": old, **facts} if name == "case.updated" else {}
            self.events.append(Event(name, int(self.cases["client"][row]), row, changes))


def sign(world: World, row: int) -> list[Event]:
    """A client signs what it had to sign; its cases that waited for this go on to verification."""
    world.clients["done"][row], world.clients["is_upgrade"][row] = True, False
    waiting = np.flatnonzero((world.cases["client"] == row) & (world.cases["lifecycle"] == codes.SIGNING))
    world.cases["lifecycle"][waiting] = codes.INTERNAL
    world.touch("clients", "cases")
    step = {
        "oldLifecycle": codes.LIFECYCLES[codes.SIGNING].label,
        "newLifecycle": codes.LIFECYCLES[codes.INTERNAL].label,
    }
    moved = [Event("case.updated", row, case, step) for case in waiting[:EVENTS_A_NIGHT].tolist()]
    return [Event("client.onboarding.poa_signed", row), Event("client.onboarding.contract_signed", row), *moved]
