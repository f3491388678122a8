"""How cases end: with the payments that their close code speaks of, or none; and how a paid one is opened again.

Belongs here: what closing means for a case and its money. Does not: which cases, and when (`genesis.py`, `evolve.py`).
"""

from __future__ import annotations

import numpy as np

from debitura_sandbox.world import codes, payments
from debitura_sandbox.world.codes import NO_CODE, NULL_US, Ints
from debitura_sandbox.world.columns import ragged
from debitura_sandbox.world.payments import Random
from debitura_sandbox.world.world import World


def close(world: World, rng: Random, rows: Ints, close_code: Ints, at: Ints) -> None:
    """Close cases with these codes at these instants."""
    cases = world.cases
    cases["lifecycle"][rows] = codes.CLOSED
    cases["close_code"][rows] = close_code
    cases["finished"][rows] = ragged(rng, at)
    cases["needs_info"][rows] = False


def never_start(world: World, rows: Ints) -> None:
    """Take collection partner and start from cases that ended before they had any."""
    cases = world.cases
    cases["partner"][rows], cases["phase"][rows] = NO_CODE, NO_CODE
    cases["rate"][rows] = cases["started"][rows] = NULL_US


def collected_codes(world: World, rng: Random, rows: Ints) -> Ints:
    """Close codes for cases under way: recovered wholly or in part where something was paid, else any but early ones."""
    drawn = rng.choice(len(codes.CLOSE_CODES), len(rows), p=codes.LATE_WEIGHTS)
    remainder = world.cases["remainder"][rows]
    has_paid = remainder < world.cases["gross"][rows]
    paid = np.where(remainder > 0, np.where(drawn == codes.PAID_IN_FULL, drawn, codes.PAID_IN_PART), codes.PAID_IN_FULL)
    return np.asarray(np.where(has_paid, paid, drawn), dtype=np.int64)


def settle_without_transactions(world: World, rng: Random, rows: Ints) -> None:
    """What recovered cases were paid that earn the partner nothing: no transaction tells of it, the remainder does."""
    cases = world.cases
    code = cases["close_code"][rows]
    cases["remainder"][rows[code == codes.PAID_IN_FULL]] = 0
    part = rows[(code == codes.PAID_IN_PART) & (cases["remainder"][rows] == cases["gross"][rows])]
    cases["remainder"][part] -= payments.part_of_remainder(world, rng, part, 0.15, 0.85)


def last_payments(world: World, rng: Random, rows: Ints, code: Ints, begin_us: int, at: Ints) -> int:
    """Book the payments with which cases, about to be closed with these codes at these instants, end; how many."""
    cases = world.cases
    is_full = code == codes.PAID_IN_FULL
    is_part = (code == codes.PAID_IN_PART) & (cases["remainder"][rows] == cases["gross"][rows])
    pays = payments.earning(world)[rows] & (is_full & (cases["remainder"][rows] > 0) | is_part)
    own = rows[pays]
    if not len(own):
        return 0
    amounts = np.where(is_full[pays], cases["remainder"][own], payments.part_of_remainder(world, rng, own, 0.15, 0.85))
    dates = begin_us + ((at[pays] - begin_us) * rng.random(len(own))).astype(np.int64)
    order = np.argsort(dates, kind="stable")
    payments.add_payments(world, rng, own[order], dates[order], amounts[order], is_new=True)
    return len(own)


def reopen(world: World, rows: Ints) -> None:
    """Open those of these cases again that were closed as paid, and on which something is owed now."""
    cases = world.cases
    own = rows[(cases["close_code"][rows] == codes.PAID_IN_FULL) & (cases["remainder"][rows] > 0)]
    cases["lifecycle"][own], cases["close_code"][own] = codes.ACTIVE, NO_CODE
    cases["finished"][own] = NULL_US


def withdraw(world: World, rng: Random, rows: Ints, at_us: int) -> Ints:
    """Close those of these cases that are open, their client having left; which they were."""
    cases = world.cases
    own = rows[~np.isin(cases["lifecycle"][rows], (codes.CLOSED, codes.MERGED))]
    has_paid = cases["remainder"][own] < cases["gross"][own]
    code = np.where(has_paid, codes.PAID_IN_PART, codes.WITHDRAWN)
    close(world, rng, own, code, np.full(len(own), at_us))
    return own
