"""What may happen to a world between two requests, or between two nights; each move chosen by the history's own dice.

When it happens is `history.py`'s to say. Moves that attack a reading (`swap`, `slip`, `bulk`) know up to where it has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np

from debitura_sandbox.world import codes
from debitura_sandbox.world.codes import DAY_US
from debitura_sandbox.world.world import DATES
from tests.simulation.options import RESOURCES, Profile
from tests.simulation.world import SimWorld

CENT = 100  # in 1/10,000
SPAN_DAYS = 110
SECOND_US, HOUR_US = 1_000_000, 3_600_000_000
AIMED = 0.6  # share of attacks on the resource that is being read, or on the place up to which it is read
BACK = 0.5  # share of moves that are taken back later
SAME_AMOUNT = 0.5  # share of uploads whose rows are equal in every field that a list can be sorted by
MOST_BULKS = 2  # in one history
KINDS = {"cases": ("lifecycle",), "transactions": ("commission", "platform", "referral")}  # columns that totals go by
# (commission, platform, referral) of every stage, rows of no stage, and estimates past the first one.
STATUSES = (
    (codes.UNPAID, codes.NOT_INVOICED, codes.NO_CODE),
    (codes.UNPAID, codes.NOT_INVOICED, codes.REFERRAL_PENDING),
    (codes.CREDITED, codes.NOT_INVOICED, codes.REFERRAL_PENDING),
    (codes.PAID, codes.NOT_INVOICED, codes.REFERRAL_PENDING),
    (codes.PAID, codes.ISSUED, codes.NO_CODE),
    (codes.PAID, codes.RECEIVED, codes.REFERRAL_PENDING),
    (codes.PAID, codes.RECEIVED, codes.REFERRAL_INVOICED),
    (codes.PAID, codes.RECEIVED, codes.REFERRAL_PAID),
    (codes.PAID, codes.RECEIVED, codes.REFERRAL_PAID),
    (codes.PAID, codes.RECEIVED, codes.DISPUTED),
    (codes.UNPAID, codes.NOT_INVOICED, codes.DISPUTED),
    (codes.CREDITED, codes.RECEIVED, codes.REFERRAL_PAID),
    (codes.PAID, codes.INVOICE_CREDITED, codes.REFERRAL_PENDING),
    (codes.CREDITED, codes.INVOICE_CREDITED, codes.NO_CODE),
)


class Mover:
    """Moves one world by one set of dice. `later`: what is still to happen (a row's way back, a client's return)."""

    def __init__(self, sim: SimWorld, random: Random, profile: Profile) -> None:
        self._sim, self._random, self._profile = sim, random, profile
        self._later: list[Callable[[], None]] = []
        self._bulks = 0
        kinds: list[tuple[Callable[[], None], int]] = [
            (self.new_case, 8), (self.like_case, 3), (self.delete_case, 4), (self.restore_case, 3),
            (self.close_case, 10), (self.reopen_case, 4), (self.step_case, 8), (self.edit_case, 5), (self.redate_case, 2),
            (self.new_payment, 8), (self.like_payment, 4), (self.delete_payment, 5), (self.restore_payment, 4),
            (self.stage_payment, 24), (self.edit_payment, 6), (self.one_cent, 6), (self.edit_unseen, 4),
            (self.redate_payment, 4), (self.archive_client, 2), (self.add_client, 1), (self.change_client, 3),
            (self.sim_midnight, 1), (self.swap, 24), (self.slip, 16), (self.exchange, 12), (self.bulk, 3), (self.come_back, 12),
        ]  # fmt: skip
        if profile.has_dateless:
            kinds.append((self.lose_date, 8))
        if profile.has_future:
            kinds.append((self.future, 6))
        self._kinds = [move for move, _ in kinds]
        self._weights = [weight for _, weight in kinds]

    def move(self) -> None:
        """One thing happens, or nothing where there is no row that it could happen to."""
        self._random.choices(self._kinds, self._weights)[0]()

    def swap(self) -> None:
        """One row goes and one like it comes, so that no count of either bucket moves: beside it, or anywhere else."""
        resource = self._resource()
        row = self._pick(resource, self._on_one_side(resource))
        if row is not None:
            at = self._random.choice((self._date(resource, row), self._somewhere(resource), self._now()))
            self._sim.change({"op": "row", "resource": resource, "action": "insert", "row": row, "at": at})
            self._sim.change({"op": "row", "resource": resource, "action": "delete", "row": row})

    def slip(self) -> None:
        """A row's date is edited, often from the part that is not read yet into the one that is; and perhaps back."""
        resource = self._resource()
        row = self._pick(resource, self._on_one_side(resource))
        if row is not None:
            was = self._date(resource, row)
            self._move_to(resource, row, self._somewhere(resource))
            if self._random.random() < BACK:
                self._later.append(lambda: self._move_to(resource, row, was))

    def exchange(self) -> None:
        """A row that is not read yet takes the place of one like it that is read: its date moves there, the other is deleted."""
        resource, front = self._resource(), self._sim.front
        if resource != self._sim.reading or resource not in KINDS or front is None:
            return
        date = DATES[resource]
        ahead = self._pick(resource, lambda table: table[date] >= front)
        if ahead is None:
            return
        kind = [self._sim.world.table(resource)[name][ahead] for name in KINDS[resource]]
        behind = self._pick(
            resource,
            lambda table: (table[date] < front) & (table[date] != codes.NULL_US) & _are(table, KINDS[resource], kind),
        )
        if behind is not None:
            at = self._date(resource, behind) + self._random.choice((0, SECOND_US))
            self._sim.change({"op": "row", "resource": resource, "action": "delete", "row": behind})
            self._move_to(resource, ahead, at)

    def bulk(self) -> None:
        """An upload: one and a half to four pages of rows at one instant, or a few; some vanish again as they came."""
        resource = self._resource()
        row = self._pick(resource)
        if row is None or resource == "clients" or self._bulks >= MOST_BULKS:
            return
        self._bulks += 1
        size = int(self._profile.page_rows * self._random.uniform(1.5, 4.0))
        instants = self._random.choice((1, 1, 1, 3))
        dates = [self._somewhere(resource) for _ in range(instants)]
        amount = "gross" if resource == "cases" else "amount"
        equal = self._random.random() < SAME_AMOUNT
        amounts = [(1 if equal else self._random.randrange(1, 10_000)) * CENT for _ in range(size)]
        made = self._sim.insert_many(
            resource, row, [dates[number % instants] for number in range(size)], **{amount: amounts}
        )
        if self._random.random() < BACK:
            self._later.append(lambda: self._sim.set_alive(resource, made, is_alive=False))

    def come_back(self) -> None:
        """What was to happen later happens now."""
        if self._later:
            self._later.pop(self._random.randrange(len(self._later)))()

    def lose_date(self) -> None:
        """A row has no date any more."""
        resource = self._random.choice(("cases", "transactions"))
        row = self._pick(resource)
        if row is not None:
            was = self._date(resource, row)
            self._move_to(resource, row, codes.NULL_US)
            self._later.append(lambda: self._move_to(resource, row, was))

    def future(self) -> None:
        """A row that is dated some days from now."""
        resource = self._random.choice(("cases", "transactions"))
        self._insert(resource, self._now() + self._random.randrange(1, 20 * DAY_US))

    def payout(self) -> None:
        """A batch: invoiced payments of one month are paid out at once, as a partner's invoice is settled."""
        table = self._sim.world.transactions
        rows = np.flatnonzero(table["alive"] & (table["referral"] == codes.REFERRAL_INVOICED))
        for row in rows.tolist()[: self._random.randrange(1, 6)]:
            self._set("transactions", row, referral=codes.REFERRAL_PAID)

    def sim_midnight(self) -> None:
        self._sim.midnight()

    def new_case(self) -> None:
        self._insert("cases", self._now(), lifecycle=codes.INTERNAL, close_code=codes.NO_CODE, finished=codes.NULL_US)

    def like_case(self) -> None:
        """A case that turns up with a date in the past: one that was archived, or moved here."""
        self._insert("cases", self._past())

    def delete_case(self) -> None:
        self._act("cases", "delete", is_alive=True)

    def restore_case(self) -> None:
        self._act("cases", "restore", is_alive=False)

    def close_case(self) -> None:
        row = self._pick("cases", lambda table: table["lifecycle"] < codes.CLOSED)
        if row is not None:
            state = self._random.choice((codes.CLOSED, codes.CLOSED, codes.CLOSED, codes.MERGED))
            code = codes.NO_CODE if state == codes.MERGED else self._random.randrange(len(codes.CLOSE_CODES))
            self._set("cases", row, lifecycle=state, close_code=code, finished=self._now())

    def reopen_case(self) -> None:
        row = self._pick("cases", lambda table: table["lifecycle"] >= codes.CLOSED)
        if row is not None:
            self._set("cases", row, lifecycle=codes.ACTIVE, close_code=codes.NO_CODE, finished=codes.NULL_US)

    def step_case(self) -> None:
        row = self._pick("cases", lambda table: table["lifecycle"] < codes.CLOSED)
        if row is not None:
            self._set("cases", row, lifecycle=self._random.randrange(codes.CLOSED))

    def edit_case(self) -> None:
        row = self._pick("cases")
        if row is not None:
            self._set("cases", row, remainder=self._random.randrange(1, 10_000) * CENT)

    def redate_case(self) -> None:
        self._act("cases", "move", at=self._past())

    def new_payment(self) -> None:
        commission, platform, referral = STATUSES[0]
        self._insert("transactions", self._now(), commission=commission, platform=platform, referral=referral)

    def like_payment(self) -> None:
        self._insert("transactions", self._past(), amount=self._random.randrange(1, 100_000) * CENT)

    def delete_payment(self) -> None:
        self._act("transactions", "delete", is_alive=True)

    def restore_payment(self) -> None:
        self._act("transactions", "restore", is_alive=False)

    def stage_payment(self) -> None:
        row = self._pick("transactions")
        if row is not None:
            commission, platform, referral = self._random.choice(STATUSES)
            self._set("transactions", row, commission=commission, platform=platform, referral=referral)

    def edit_payment(self) -> None:
        row = self._pick("transactions")
        if row is not None:
            amount = self._random.randrange(1, 100_000) * CENT
            self._set("transactions", row, amount=amount, revenue=amount // 10, fee=amount // 20)

    def one_cent(self) -> None:
        row = self._pick("transactions")
        if row is not None:
            fee = int(self._sim.world.transactions["fee"][row])
            self._set("transactions", row, fee=max(0, fee + self._random.choice((-CENT, CENT))))

    def edit_unseen(self) -> None:
        """What neither a count nor a sum of fees shows: only the turn can find it, unless the row is read anyway."""
        row = self._pick("transactions")
        if row is not None:
            self._set("transactions", row, amount=self._random.randrange(1, 100_000) * CENT)

    def edit_closed(self) -> None:
        """The same of a case: it is closed, and stays so."""
        row = self._pick("cases", lambda table: table["lifecycle"] >= codes.CLOSED)
        if row is not None:
            self._set("cases", row, remainder=self._random.randrange(1, 10_000) * CENT)

    def redate_payment(self) -> None:
        self._act("transactions", "move", at=self._past())

    def archive_client(self) -> None:
        """All rows of a client vanish, or those of the client alone; they may come back, all at once."""
        tenant = self._tenant()
        if tenant is None:
            return
        world = self._sim.world
        client = world.find_tenant(tenant)
        owned = {
            name: np.flatnonzero(world.table(name)["alive"] & (world.client_of(name) == client))
            for name in RESOURCES[1:]
        }
        self._sim.change({"op": self._random.choice(("archive", "reset")), "tenant": tenant})
        if self._random.random() < BACK and client is not None:
            self._later.append(lambda: self._return(client, owned))

    def _return(self, client: int, owned: dict[str, Any]) -> None:
        for resource, rows in owned.items():
            self._sim.set_alive(resource, rows.tolist(), is_alive=True)
        self._sim.set_alive("clients", [client], is_alive=True)

    def add_client(self) -> None:
        cases, payments = self._random.randrange(4), self._random.randrange(4)
        self._sim.change({"op": "add_client", "cases": cases, "transactions": payments if cases else 0})

    def change_client(self) -> None:
        tenant = self._tenant()
        if tenant is not None:
            self._sim.change({"op": self._random.choice(("sign", "upgrade", "kyc")), "tenant": tenant})

    def _insert(self, resource: str, at: int, **columns: Any) -> None:
        row = self._pick(resource)
        if row is not None:
            self._sim.change({"op": "row", "resource": resource, "action": "insert", "row": row, "at": at})
            self._set(resource, len(self._sim.world.table(resource)) - 1, **columns)

    def _act(self, resource: str, action: str, *, is_alive: bool = True, **more: Any) -> None:
        row = self._pick(resource, is_alive=is_alive)
        if row is not None:
            self._sim.change({"op": "row", "resource": resource, "action": action, "row": row, **more})

    def _set(self, resource: str, row: int, **columns: Any) -> None:
        """Several columns at once: the first entries change the columns alone, and the last one is what is noted."""
        *others, last = columns.items() if columns else [("alive", True)]
        for name, value in others:
            self._sim.world.table(resource)[name][row] = value
        self._sim.change(
            {"op": "row", "resource": resource, "action": "set", "row": row, "column": last[0], "value": last[1]}
        )

    def _pick(
        self, resource: str, condition: Callable[[Any], Any] | None = None, *, is_alive: bool = True
    ) -> int | None:
        table = self._sim.world.table(resource)
        mask = table["alive"] == is_alive
        rows: Sequence[int] = np.flatnonzero(mask & condition(table) if condition is not None else mask).tolist()
        return self._random.choice(rows) if rows else None

    def _tenant(self) -> str | None:
        clients = self._sim.world.clients
        tenants = clients["tenant"][clients["alive"]].tolist()
        return str(self._random.choice(tenants)) if len(tenants) > 1 else None

    def _resource(self) -> str:
        """Mostly the one that is being read."""
        if self._sim.reading is not None and self._random.random() < AIMED:
            return self._sim.reading
        return self._random.choice(("cases", "transactions"))

    def _on_one_side(self, resource: str) -> Callable[[Any], Any] | None:
        """Rows before the point up to which the list is read, or those after it; any where no request said so."""
        front, is_before = self._sim.front, self._random.random() < 0.5
        if front is None or resource != self._sim.reading or self._random.random() > AIMED:
            return None
        return lambda table: (table[DATES[resource]] < front) == is_before

    def _somewhere(self, resource: str) -> int:
        """An instant: another row's, one right beside it, or right beside the point up to which the list is read."""
        row = self._pick(resource)
        near = self._now() if row is None else self._date(resource, row)
        if self._sim.front is not None and resource == self._sim.reading and self._random.random() < AIMED / 2:
            near = self._sim.front
        if near == codes.NULL_US:
            near = self._past()
        return near + self._random.choice((0, 0, 0, 1, -1, SECOND_US, -SECOND_US, HOUR_US, -HOUR_US))

    def _date(self, resource: str, row: int) -> int:
        return int(self._sim.table(resource)[DATES[resource]][row])

    def _move_to(self, resource: str, row: int, at: int) -> None:
        self._sim.change({"op": "row", "resource": resource, "action": "move", "row": row, "at": at})

    def _now(self) -> int:
        return self._sim.app.clock.now_us()

    def _past(self) -> int:
        return self._now() - self._random.randrange(SPAN_DAYS * DAY_US)


def _are(table: Any, names: Sequence[str], values: Sequence[Any]) -> Any:
    """Which rows have these values in these columns."""
    return np.logical_and.reduce([table[name] == value for name, value in zip(names, values, strict=True)])
