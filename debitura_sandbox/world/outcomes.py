"""Close cases, with the payments that their close code implies, and reopen paid ones."""

from __future__ import annotations

import numpy as np

from debitura_sandbox.world import codes, payments
from debitura_sandbox.world.codes import NO_CODE, NULL_US, Ints
from debitura_sandbox.world.columns import jittered
from debitura_sandbox.world.payments import Random
from debitura_sandbox.world.world import World


def close(world: World, rng: Random, rows: Ints, close_code: Ints, at: Ints) -> None:
    """Close cases with these codes at these instants."""
    cases = world.cases
    cases["lifecycle"][rows] = codes.CLOSED
    cases["close_code"][rows] = close_code
    cases["finished"][rows] = jittered(rng, at)
    cases["needs_info"][rows] = False


def never_start(world: World, rows: Ints) -> None:
    """Remove collection partner and start date from cases that ended before they had one."""
    cases = world.cases
    cases["partner"][rows], cases["phase"][rows] = NO_CODE, NO_CODE
    cases["rate"][rows] = cases["started"][rows] = NULL_US


def collected_codes(world: World, rng: Random, rows: Ints) -> Ints:
    """Close codes for active cases: recovered, wholly or in part, if something was paid, otherwise any but early ones."""
    drawn = rng.choice(len(codes.CLOSE_CODES), len(rows), p=codes.LATE_WEIGHTS)
    remainder = world.cases["remainder"][rows]
    has_paid = remainder < world.cases["gross"][rows]
    paid = np.where(remainder > 0, np.where(drawn == codes.PAID_IN_FULL, drawn, codes.PAID_IN_PART), codes.PAID_IN_FULL)
    return np.asarray(np.where(has_paid, paid, drawn), dtype=np.int64)


def settle_without_transactions(world: World, rng: Random, rows: Ints) -> None:
    """Settle recovered cases that earn the partner nothing: their remainder changes without a transaction."""
    cases = world.cases
    code = cases["close_code"][rows]
    cases["remainder"][rows[code == codes.PAID_IN_FULL]] = 0
    part = rows[(code == codes.PAID_IN_PART) & (cases["remainder"][rows] == cases["gross"][rows])]
    cases["remainder"][part] -= payments.part_of_remainder(world, rng, part, 0.15, 0.85)


def last_payments(world: World, rng: Random, rows: Ints, code: Ints, begin_us: int, at: Ints) -> int:
    """Book the final payments of cases that are closed with these codes at these instants; returns their number."""
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
    """Reopen those of these cases that were closed as paid and have a remainder again."""
    cases = world.cases
    own = rows[(cases["close_code"][rows] == codes.PAID_IN_FULL) & (cases["remainder"][rows] > 0)]
    cases["lifecycle"][own], cases["close_code"][own] = codes.ACTIVE, NO_CODE
    cases["finished"][own] = NULL_US


def recode(world: World, rows: Ints) -> None:
    """Give those of these cases that were closed as paid the code that their payments bear out, after some were corrected."""
    cases = world.cases
    own = rows[
        np.isin(cases["close_code"][rows], (codes.PAID_IN_FULL, codes.PAID_IN_PART)) & (cases["remainder"][rows] > 0)
    ]
    is_unpaid = cases["remainder"][own] == cases["gross"][own]
    cases["close_code"][own] = np.where(is_unpaid, codes.NOTHING_PAID, codes.PAID_IN_PART)


def proven_codes(world: World, rows: Ints, drawn: Ints) -> Ints:
    """The drawn close codes of active cases, as far as their payments bear them out."""
    remainder, gross = world.cases["remainder"][rows], world.cases["gross"][rows]
    is_money = (drawn == codes.PAID_IN_FULL) | (drawn == codes.PAID_IN_PART)
    unpaid = np.where(
        np.isin(drawn, codes.EARLY) | (is_money & payments.earning(world)[rows]), codes.NOTHING_PAID, drawn
    )
    paid = np.where(remainder > 0, codes.PAID_IN_PART, codes.PAID_IN_FULL)
    return np.asarray(np.where(remainder < gross, paid, unpaid), dtype=np.int64)


def withdraw(world: World, rng: Random, rows: Ints, at_us: int) -> Ints:
    """Close the open ones of these cases because their client has left, and return their rows."""
    cases = world.cases
    own = rows[~np.isin(cases["lifecycle"][rows], (codes.CLOSED, codes.MERGED))]
    has_paid = cases["remainder"][own] < cases["gross"][own]
    code = np.where(has_paid, codes.PAID_IN_PART, codes.WITHDRAWN)
    close(world, rng, own, code, np.full(len(own), at_us))
    return own
