"""Create and correct payments. A case's payments, booked in its currency, and its remainder always add up to the claim.

A few payments arrive in another currency than the case's; their earnings are in that of the payment.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from debitura_sandbox.world import codes, pace, target_shares
from debitura_sandbox.world.addresses import CURRENCIES, PARTNERS
from debitura_sandbox.world.codes import DAY_US, NULL_US, Flags, Ints
from debitura_sandbox.world.columns import UNIT, Array, jittered, mix, share
from debitura_sandbox.world.world import World

Random = np.random.Generator
PERCENT = 100 * UNIT
_SHARE = np.array([partner.share_pct for partner in PARTNERS], dtype=np.int64) * UNIT
_FEE = np.array([partner.fee_pct for partner in PARTNERS], dtype=np.int64) * UNIT
_YEN, _EURO, _DOLLAR = (CURRENCIES.index(name) for name in ("JPY", "EUR", "USD"))
FOREIGN_SALT, ONE_FOREIGN_IN = 606, 150


def earning(world: World) -> Flags:
    """Cases whose payments become transactions: those with a collection partner that were not merged into another case."""
    cases = world.cases
    return np.asarray((cases["partner"] >= 0) & cases["earns"] & (cases["lifecycle"] != codes.MERGED), dtype=bool)


def has_takers(world: World, rows: Ints) -> bool:
    """Whether payments are possible on any of these cases."""
    code = world.cases["close_code"][rows]
    return bool((earning(world)[rows] & np.isin(code, (codes.NO_CODE, codes.PAID_IN_FULL, codes.PAID_IN_PART))).any())


def add_history(world: World, rng: Random, rows: Ints, count: int, unsettled_share: float | None = None) -> Ints:
    """`count` payments over the cases `rows`; each case that recovered money has some, as far as they go. The cases that
    are left without one although they recovered money."""
    cases = world.cases
    can_earn = earning(world)[rows]
    code = cases["close_code"][rows]
    recovered: Ints = rows[can_earn & ((code == codes.PAID_IN_FULL) | (code == codes.PAID_IN_PART))]
    open_ = rows[can_earn & (code == codes.NO_CODE)]
    first = rng.permutation(recovered)[:count]
    able = np.concatenate([recovered, open_])
    if not count or not len(able):
        return recovered
    unfinished = 0.6 if world.options.open_share is None else 0.5
    pull = np.select([cases["close_code"][able] == code for code in (0, 1)], [4.0, 3.0], unfinished)
    more = rng.choice(able, count - len(first), p=pull / pull.sum())
    paid = np.sort(np.concatenate([first, more]))
    dates, amounts = _spread(world, rng, paid)
    order = np.argsort(dates, kind="stable")
    add_payments(world, rng, paid[order], dates[order], amounts[order], unsettled_share=unsettled_share)
    is_paid = np.zeros(len(cases), dtype=bool)
    is_paid[paid] = True
    return np.asarray(recovered[~is_paid[recovered]])


def _spread(world: World, rng: Random, rows: Ints) -> tuple[Ints, Ints]:
    """Instant and amount of payments on cases `rows` (sorted): together what the case has recovered."""
    cases, count = world.cases, len(rows)
    begin, finished = cases["started"][rows], cases["finished"][rows]
    end = np.where(finished == NULL_US, world.now_us, finished)
    dates = begin + (rng.random(count) * np.maximum(end - begin, 0)).astype(np.int64)
    first = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    times = np.diff(np.r_[first, count])
    own = rows[first]
    code, grain = cases["close_code"][own], _grain(cases["currency"][own])
    part = np.select(
        [code == codes.PAID_IN_FULL, code == codes.PAID_IN_PART],
        [np.ones(len(own)), rng.uniform(0.15, 0.85, len(own))],
        rng.uniform(0.05, 0.7, len(own)),
    )
    total = np.maximum((cases["gross"][own] // grain * part).astype(np.int64), times)
    weight = np.cumsum(rng.uniform(0.5, 1.5, count))
    before = np.r_[0.0, weight[first[1:] - 1]]
    way = (weight - np.repeat(before, times)) / np.repeat(weight[first + times - 1] - before, times)
    way[first + times - 1] = 1.0
    reached = np.floor(np.repeat(total - times, times) * np.minimum(way, 1.0)).astype(np.int64)
    steps = np.diff(np.r_[0, reached])
    steps[first] = reached[first]
    return dates, (steps + 1) * np.repeat(grain, times)


def _grain(currency: Array) -> Ints:
    """The smallest amount of each currency: whole yen, else cents."""
    return np.asarray(np.where(currency == _YEN, UNIT, UNIT // 100), dtype=np.int64)


def part_of_remainder(world: World, rng: Random, rows: Ints, least: float, most: float) -> Ints:
    """An amount for each case, between these parts of its remainder; in whole units where the remainder is."""
    remainder = world.cases["remainder"][rows]
    grain = np.where(remainder % UNIT == 0, UNIT, UNIT // 100)
    return np.asarray(
        np.maximum((remainder * rng.uniform(least, most, len(rows))).astype(np.int64) // grain, 1) * grain
    )


def add_payments(
    world: World,
    rng: Random,
    rows: Ints,
    dates: Ints,
    amounts: Ints,
    *,
    is_new: bool = False,
    unsettled_share: float | None = None,
    may_be_foreign: bool = True,
) -> Ints:
    """Book payments on cases `rows`; each makes a transaction. `is_new`: nothing has been invoiced or paid out yet.

    `may_be_foreign`: a few are made in another currency than the case's. With `unsettled_share`, that share of them has not
    been paid out to the partner.
    """
    cases, count = world.cases, len(rows)
    np.subtract.at(cases["remainder"], rows, amounts)
    np.maximum(cases["remainder"], 0, out=cases["remainder"])
    dates = _batched(
        rng, np.maximum(jittered(rng, dates), cases["started"][rows]), cases["started"][rows], cases["finished"][rows]
    )
    new = np.arange(len(world.transactions), len(world.transactions) + count)
    booked = world.days_of(dates) + 1
    draws = rng.random((2, count))
    pending = np.where(draws[0] < 0.15, codes.NO_CODE, codes.REFERRAL_PENDING)
    if unsettled_share is None:
        stage_history = pace.stage_history(world, new, booked, pending)
    else:
        fixed = target_shares.statuses(rng, world.now_us - dates, unsettled_share, pending)
        stage_history = pace.StageHistory(*fixed, confirmed=booked + 8, moved=np.full(count, world.day))
    paid, currency = amounts, cases["currency"][rows]
    if may_be_foreign:
        paid, currency = _in_other_currency(world, new, rows, amounts, booked)
    revenue, fee, rate = earnings(world, rows, paid)
    return world.transactions.append(
        case=rows,
        date=dates,
        paid=np.maximum(np.where(draws[1] < 0.5, dates - DAY_US, dates // DAY_US * DAY_US), cases["started"][rows]),
        amount=paid,
        currency=currency,
        booked=amounts,
        revenue=revenue,
        rate=rate,
        fee=fee,
        locked_day=np.minimum(stage_history.confirmed, world.day),
        moved=world.day if is_new else stage_history.moved,
        commission=codes.UNPAID if is_new else stage_history.commission,
        platform=codes.NOT_INVOICED if is_new else stage_history.platform,
        referral=pending if is_new else stage_history.referral,
        alive=True,
    )


def _in_other_currency(world: World, new: Ints, rows: Ints, amounts: Ints, days: Ints) -> tuple[Ints, Ints]:
    """Amount and currency in which these payments were made: for one in ONE_FOREIGN_IN, euro or dollars instead of the
    case's currency."""
    own = world.cases["currency"][rows].astype(np.int64)
    is_foreign = mix(new, FOREIGN_SALT + world.options.seed * 1_000_003) % np.uint64(ONE_FOREIGN_IN) == 0
    currency = np.where(is_foreign, np.where(own == _EURO, _DOLLAR, _EURO), own)
    return np.where(is_foreign, world.fx.convert(amounts, own, currency, days), amounts), currency


def _batched(rng: Random, dates: Ints, started: Ints, finished: Ints) -> Ints:
    """Some payments are booked at the very instant of the one before, where their case was being collected then."""
    before = dates[np.maximum(np.arange(len(dates)) - 1, 0)]
    is_open = (before >= started) & ((finished == NULL_US) | (before <= finished))
    return np.asarray(np.where(is_open & (rng.random(len(dates)) < 0.05), before, dates))


def earnings(world: World, rows: Ints, amounts: Ints) -> tuple[Ints, Ints, Ints]:
    """Debitura's revenue and the referral fee on payments of cases, and the referral rate, frozen in the transaction."""
    partner = world.cases["partner"][rows]
    phase_points = np.maximum(world.cases["phase"][rows], 0).astype(np.int64) * (5 * UNIT)
    fees = share(amounts, _FEE[partner] + phase_points, PERCENT)
    revenue = share(fees, _SHARE[partner], PERCENT)
    rate = world.cases["rate"][rows]
    return revenue, share(revenue, rate, PERCENT), rate


def lower(world: World, rows: Ints) -> None:
    """Correct payments to nine tenths; what they are less by is owed again."""
    table = world.transactions
    old, booked = table["amount"][rows].copy(), table["booked"][rows].copy()
    table["amount"][rows] = nine_tenths(old)
    is_own = table["currency"][rows] == world.cases["currency"][table["case"][rows]]
    table["booked"][rows] = np.where(is_own, table["amount"][rows], nine_tenths(booked))
    revenue, fee, _ = earnings(world, table["case"][rows], table["amount"][rows])
    table["revenue"][rows], table["fee"][rows] = revenue, fee
    _owe_again(world, rows, booked - table["booked"][rows])


def nine_tenths(amounts: Any) -> Ints:
    """Amounts a tenth lower, in whole units where they were whole."""
    grain = np.where(amounts % UNIT == 0, UNIT, UNIT // 100)
    return np.asarray(np.maximum(amounts * 9 // 10 // grain, 1) * grain, dtype=np.int64)


def delete(world: World, rows: Ints) -> None:
    """Take payments away; they are owed again."""
    world.transactions["alive"][rows] = False
    _owe_again(world, rows, world.transactions["booked"][rows])


def _owe_again(world: World, rows: Ints, amounts: Any) -> None:
    cases, own = world.cases, world.transactions["case"][rows]
    np.add.at(cases["remainder"], own, amounts)
    np.minimum(cases["remainder"], cases["gross"], out=cases["remainder"])
