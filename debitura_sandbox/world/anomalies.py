"""Add a few anomalies to the initial state of larger worlds, so that the report of attribution gaps has something to show."""

from __future__ import annotations

import numpy as np

from debitura_sandbox.world import codes
from debitura_sandbox.world.codes import DAY_US, Ints
from debitura_sandbox.world.columns import UNIT, share
from debitura_sandbox.world.payments import PERCENT, earning
from debitura_sandbox.world.world import World

WITHOUT_TRANSACTION, OF_ANOTHER_RATE, BEFORE_LINK = 3, 2, 2  # at most; a tenth of a percent of the cases
FIVE_POINTS = 5 * UNIT


def _some(world: World, most: int) -> int:
    return min(most, int(world.options.cases) // 1_000)


def _is_attributed(world: World, cases: Ints) -> codes.Flags:
    clients = world.cases["client"][cases]
    return np.asarray(world.clients["is_attributed"][clients] & world.clients["alive"][clients])


def without_transaction(world: World, rows: Ints) -> Ints:
    """The latest cases closed as paid, which get no transactions."""
    cases = world.cases
    paid = rows[(cases["close_code"][rows] == codes.PAID_IN_FULL) & earning(world)[rows] & _is_attributed(world, rows)]
    latest = np.argsort(cases["finished"][paid], kind="stable")
    return np.sort(paid[latest][len(paid) - min(len(paid), _some(world, WITHOUT_TRANSACTION)) :])


def place(world: World) -> None:
    """Add payments in rare states, with a rate that differs from their case's, and from before the client's link."""
    _leave_the_usual_way(world)
    table = world.transactions
    able = np.flatnonzero(_is_attributed(world, table["case"]) & (table["revenue"] > 0))
    other = able[len(able) // 2 :][: _some(world, OF_ANOTHER_RATE)]
    table["rate"][other] += FIVE_POINTS
    table["fee"][other] = share(table["revenue"][other], table["rate"][other], PERCENT)
    owners = world.client_of("transactions", able)
    for client in np.flatnonzero(np.bincount(owners))[: _some(world, BEFORE_LINK)].tolist():
        _move_before_link(world, int(able[np.argmax(owners == client)]))


def _leave_the_usual_way(world: World) -> None:
    """Disputes and credited commissions: at least one of each, if possible.

    No credited invoice: it fits none of the API's stages, so no night of such a world could be proven."""
    table = world.transactions
    commission, platform, referral = table["commission"], table["platform"], table["referral"]
    pending = referral <= codes.REFERRAL_PENDING
    for mask, part, column, value in (
        (referral == codes.REFERRAL_INVOICED, 0.04, "referral", codes.DISPUTED),
        (pending & (commission == codes.PAID) & (platform == codes.NOT_INVOICED), 0.01, "commission", codes.CREDITED),
        (referral == codes.REFERRAL_PAID, 0.001, "commission", codes.CREDITED),
    ):
        rows = np.flatnonzero(mask)
        count = int(np.ceil(len(rows) * part))
        table[column][rows[np.arange(count) * len(rows) // max(count, 1)]] = value


def _move_before_link(world: World, row: int) -> None:
    """Move a payment, and the start of its case, to some days before the client was linked."""
    table, cases, case = world.transactions, world.cases, int(world.transactions["case"][row])
    linked = int(world.clients["linked"][cases["client"][case]])
    cases["created"][case], cases["started"][case] = linked - 40 * DAY_US, linked - 30 * DAY_US
    table["date"][row], table["paid"][row] = linked - 3 * DAY_US, linked - 4 * DAY_US
