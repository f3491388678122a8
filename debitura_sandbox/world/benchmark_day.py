"""Advance a world by a day with exact numbers of changes, at the scale of a large partner, for benchmarks.

Each row is changed at most once, so the counts are exact if the world has enough rows of each kind. Ordinary days, whose changes
are random, are in `daily_changes.py`.
"""

from __future__ import annotations

import numpy as np

from debitura_sandbox.world import codes, initial_state, outcomes, payments
from debitura_sandbox.world.codes import DAY_US, NO_CODE, NULL_US, Flags, Ints
from debitura_sandbox.world.columns import UNIT, Array
from debitura_sandbox.world.payments import Random
from debitura_sandbox.world.world import RESOURCES, World

FULL = {
    "new_cases": 800, "closed": 600, "case_moves": 2_400, "reopened": 10, "new_transactions": 2_000, "paid_out": 1_500,
    "confirmed": 2_000, "issued": 1_000, "received": 700, "invoiced": 500, "disputed": 100, "unsent": 100, "unissued": 100,
    "edited_transactions": 40, "edited_cases": 10, "deleted_transactions": 16, "deleted_cases": 4,
}  # fmt: skip
NEXT_STEP = {
    codes.INTERNAL: codes.VERIFYING, codes.VERIFYING: codes.LEADS, codes.NEEDS_INFO: codes.LEADS,
    codes.LEADS: codes.QUOTED, codes.QUOTED: codes.ACTIVE,
}  # fmt: skip


def pass_night(world: World, scale: float) -> dict[str, int]:
    """A day later, with the change of a world of 1,000,000 cases times `scale`; what was changed, by kind. At scale 0
    nothing but the day and its exchange rates."""
    world.day += 1
    wanted = {name: max(1, round(count * scale)) if scale else 0 for name, count in FULL.items()}
    done = _Night(world, np.random.default_rng([world.options.seed, 78, world.day]), wanted).pass_by()
    world.invalidate(*RESOURCES)
    return done


class _Night:
    def __init__(self, world: World, rng: Random, wanted: dict[str, int]) -> None:
        self.world, self.rng, self.wanted = world, rng, wanted
        self.done: dict[str, int] = {}
        self.begin = world.now_us - DAY_US
        self.free = {name: world.live(name) for name in ("cases", "transactions")}

    def pass_by(self) -> dict[str, int]:
        """Everything, scarce kinds first; edits and deletions strike anywhere, old rows as well as new ones."""
        if any(self.wanted.values()):
            self.edit_and_delete()
            self.move_payments()
            self.move_cases()
            self.add()
        return self.done

    def pick(self, resource: str, kind: str, mask: Flags | None = None, count: int | None = None) -> Ints:
        """Rows of a mask, as many as are wanted of this kind, that nothing else changes tonight."""
        free = self.free[resource]
        rows = np.flatnonzero(free if mask is None else free & mask)
        count = min(self.wanted[kind] if count is None else count, len(rows))
        chosen = np.sort(self.rng.choice(rows, count, replace=False)) if count else rows[:0]
        return self.take(resource, kind, chosen)

    def take(self, resource: str, kind: str, rows: Ints) -> Ints:
        self.free[resource][rows] = False
        self.done[kind] = self.done.get(kind, 0) + len(rows)
        return rows

    def moments(self, count: int) -> Ints:
        """Instants within the night, ascending."""
        return np.sort(self.begin + (self.rng.random(count) * (DAY_US - 2_000_000)).astype(np.int64))

    def edit_and_delete(self) -> None:
        cases, table = self.world.cases, self.world.transactions
        cases["alive"][self.pick("cases", "deleted_cases", ~self._have_payments())] = False
        deleted = self.pick("transactions", "deleted_transactions")
        payments.delete(self.world, deleted)
        claims = self.pick("cases", "edited_cases", cases["remainder"] > cases["gross"] // 2)
        gross = cases["gross"][claims].copy()
        cases["gross"][claims] = payments.nine_tenths(gross)
        cases["remainder"][claims] -= gross - cases["gross"][claims]
        edited = self.pick("transactions", "edited_transactions", table["fee"] > 0)
        payments.lower(self.world, edited)
        outcomes.recode(self.world, np.unique(table["case"][np.concatenate([deleted, edited])]))

    def _have_payments(self) -> Flags:
        found = np.zeros(len(self.world.cases), dtype=bool)
        found[self.world.transactions["case"]] = True
        return found

    def move_payments(self) -> None:
        table = self.world.transactions
        commission, platform, referral = table["commission"], table["platform"], table["referral"]
        pending = referral <= codes.REFERRAL_PENDING
        is_paid, sent = commission == codes.PAID, referral == codes.REFERRAL_INVOICED
        table["referral"][self._batches(sent)] = codes.REFERRAL_PAID
        confirmed = (commission == codes.UNPAID) & pending & (table["date"] < self.begin - 5 * DAY_US)
        due = is_paid & (platform == codes.NOT_INVOICED) & pending
        issued, received = (
            is_paid & (platform == codes.ISSUED) & pending,
            is_paid & (platform == codes.RECEIVED) & pending,
        )
        for kind, mask, column, value in (
            ("invoiced", received, "referral", codes.REFERRAL_INVOICED), ("received", issued, "platform", codes.RECEIVED),
            ("issued", due, "platform", codes.ISSUED), ("disputed", sent, "referral", codes.DISPUTED),
            ("unsent", sent, "referral", codes.REFERRAL_PENDING), ("unissued", issued, "platform", codes.NOT_INVOICED),
        ):  # fmt: skip
            table[column][self.pick("transactions", kind, mask)] = value
        rows = self.pick("transactions", "confirmed", confirmed)
        table["commission"][rows], table["locked_day"][rows] = codes.PAID, self.world.day

    def _batches(self, sent: Flags) -> Ints:
        """Payments to be paid out: invoice by invoice, an invoice being a client's payments of one month. The month
        lies two to four months back, and is that with the most to be paid."""
        dates = self.world.transactions["date"]
        months = dates.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        now = int(np.datetime64(self.world.now_us, "us").astype("datetime64[M]").astype(np.int64))
        able = self.free["transactions"] & sent
        found = [np.flatnonzero(able & (months == now - back)) for back in (2, 3, 4)]
        rows = max(found, key=len)
        owners = self.world.client_of("transactions", rows)
        turn = self.rng.permutation(len(self.world.clients))
        by_client: Array = rows[np.argsort(turn[owners], kind="stable")]
        return self.take("transactions", "paid_out", np.sort(by_client[: self.wanted["paid_out"]]))

    def move_cases(self) -> None:
        cases, state = self.world.cases, self.world.cases["lifecycle"].copy()
        # A payment was corrected that is no transaction, since the case earns the partner nothing.
        reopened = self.pick("cases", "reopened", (cases["close_code"] == codes.PAID_IN_FULL) & ~self._have_payments())
        cases["lifecycle"][reopened], cases["close_code"][reopened] = codes.ACTIVE, NO_CODE
        cases["finished"][reopened], cases["remainder"][reopened] = NULL_US, cases["gross"][reopened] // 2
        ended = self.pick("cases", "closed", np.isin(state, (codes.ACTIVE, codes.PAUSED)))
        kind = self.rng.choice(len(codes.CLOSE_CODES), len(ended), p=codes.CLOSE_WEIGHTS)
        kind = outcomes.proven_codes(self.world, ended, kind)
        outcomes.close(self.world, self.rng, ended, kind, self.moments(len(ended)))
        outcomes.settle_without_transactions(self.world, self.rng, ended)
        self._step(state)

    def _step(self, state: Ints) -> None:
        """Half of the moves are steps towards a collection partner, the rest changes of cases under way."""
        cases, wanted = self.world.cases, self.wanted["case_moves"]
        early = self.pick("cases", "case_moves", np.isin(state, list(NEXT_STEP)), wanted // 2)
        for source, target in NEXT_STEP.items():
            rows = early[state[early] == source]
            cases["lifecycle"][rows] = target
            cases["needs_info"][rows], cases["responded"][rows] = False, NULL_US
            fresh = rows[cases["partner"][rows] < 0] if target == codes.ACTIVE else rows[:0]
            initial_state.assign(self.world, self.rng, fresh)
            cases["started"][fresh] = self.moments(len(fresh))
        cases["lifecycle"][self.pick("cases", "case_moves", state == codes.PAUSED, wanted // 10)] = codes.ACTIVE
        cases["lifecycle"][self.pick("cases", "case_moves", state == codes.ACTIVE, wanted // 10)] = codes.PAUSED
        rows = self.pick("cases", "case_moves", state == codes.ACTIVE, wanted - self.done["case_moves"])
        cases["phase"][rows] = (cases["phase"][rows] + 1) % len(codes.PHASES)

    def add(self) -> None:
        """New payments on cases under way, new cases of any client."""
        world, cases = self.world, self.world.cases
        able = np.flatnonzero(world.is_collected() & (cases["remainder"] > UNIT))
        count = self.wanted["new_transactions"] if len(able) else 0
        rows = self.rng.choice(able, count, replace=count > len(able)) if count else able[:0]
        times = np.bincount(rows, minlength=len(cases))[rows]
        part = self.rng.uniform(0.05, 0.6, count) / times
        grain = np.where(cases["remainder"][rows] % 10_000 == 0, 10_000, 100)
        amounts = np.maximum((cases["remainder"][rows] * part).astype(np.int64) // grain, 1) * grain
        if count:
            payments.add_payments(world, self.rng, rows, self.moments(count), amounts, is_new=True)
        weights = world.clients["weight"] * world.clients["alive"]
        opened = self.wanted["new_cases"]
        owners = self.rng.choice(len(world.clients), opened, p=weights / weights.sum())
        initial_state.add_cases(world, self.rng, owners, self.moments(opened))
        self.done |= {"new_transactions": count, "new_cases": opened}
