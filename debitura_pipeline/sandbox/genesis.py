"""Makes the world's first day: clients linked over the years, their cases, and the payments on those.

Belongs here: how new rows come about, in bulk. Does not: how old rows change (`evolve.py`). Every draw comes from the
generator passed in, so the same seed gives the same rows. `evolve.py` and `changes.py` call the same functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from debitura_pipeline.sandbox import codes, names, shares
from debitura_pipeline.sandbox.codes import DAY_US, NULL_US, Ints
from debitura_pipeline.sandbox.columns import UNIT, share
from debitura_pipeline.sandbox.places import COUNTRIES, CURRENCIES, PARTNERS
from debitura_pipeline.sandbox.world import RESOURCES, World, WorldOptions

Random = np.random.Generator
PERCENT = 100 * UNIT
_WEIGHTS = np.array([country.weight for country in COUNTRIES], dtype=float) / sum(
    country.weight for country in COUNTRIES
)
_CURRENCY = np.array([CURRENCIES.index(country.currency) for country in COUNTRIES])
_SHARE = np.array([partner.share_pct for partner in PARTNERS], dtype=np.int64) * UNIT
_FEE = np.array([partner.fee_pct for partner in PARTNERS], dtype=np.int64) * UNIT
_YEN = CURRENCIES.index("JPY")


def make_world(options: WorldOptions) -> World:
    """The world on day 0."""
    world = World(options)
    rng = np.random.default_rng([options.seed, 1])
    span = options.years * 365 * DAY_US
    archived = int(options.clients > 10)  # one more client was archived before the story begins
    count = options.clients + archived
    linked = np.sort(world.start_us - (rng.random(count) ** 1.2 * span).astype(np.int64))
    done = rng.random(count) < 0.9
    done[0] = True
    if options.open_share is not None:
        linked = np.sort(shares.link_dates(rng, count, world.start_us, span))
        done = shares.settle_signatures(done, linked, world.start_us)
    add_clients(world, rng, linked, done)
    world.clients["alive"][5 : 5 + archived] = False
    if options.cases:
        weights = world.clients["weight"]
        if options.open_share is not None:
            weights = weights * (world.start_us - world.clients["linked"])
        owners = rng.choice(count, options.cases, p=weights / weights.sum())
        room = world.start_us - world.clients["linked"][owners]
        created = world.clients["linked"][owners] + (rng.random(options.cases) ** 0.9 * room).astype(np.int64)
        order = np.argsort(created, kind="stable")
        add_cases(world, rng, owners[order], created[order])
        age_cases(world, rng, np.arange(options.cases), options.open_share)
        payments = spread_payments(world, rng, options.transactions)
        add_payments(world, rng, *payments, unsettled_share=options.unsettled_share)
    world.touch(*RESOURCES)
    return world


def add_clients(world: World, rng: Random, linked: Ints, done: Any, tenants: list[str] | None = None) -> Ints:
    """Add clients linked at these instants; tenant ids are made where none are given."""
    count, first = len(linked), len(world.clients)
    numbers = np.arange(first, first + count)
    made = tenants or [f"tenant-{number + 1:03}" if number % 9 else f"Mandant_{number + 1}:ä" for number in numbers]
    kyc = rng.choice(3, count, p=[0.5, 0.2, 0.3])
    return world.clients.append(
        tenant=np.array(made, dtype=object),
        number=numbers,
        country=rng.choice(len(COUNTRIES), count, p=_WEIGHTS),
        town=rng.integers(0, 5, count),
        is_attributed=rng.random(count) < 0.75,
        done=np.asarray(done),
        is_upgrade=False,
        linked=ragged(rng, np.asarray(linked)),
        kyc=kyc,
        kyc_review=np.where(kyc == 0, -1, rng.integers(0, 3, count)),
        rate=rng.choice([30, 40, 50, 50, 50, 52.5, 70], count) * UNIT,
        weight=rng.gamma(1.5, 1.0, count) + 0.05,
        alive=True,
    )


def ragged(rng: Random, instants: Ints) -> Ints:
    """Instants as systems write them: to the microsecond, to the millisecond, or whole seconds."""
    grain = rng.choice([1, 1_000, 1_000_000], len(instants), p=[0.5, 0.3, 0.2])
    return np.asarray(instants // grain * grain, dtype=np.int64)


def add_cases(world: World, rng: Random, owners: Ints, created: Ints) -> Ints:
    """Add new cases of the clients `owners`, in the state that a case starts in. Some come in batches, at one instant."""
    count = len(owners)
    created = ragged(rng, created)
    batched = np.flatnonzero(rng.random(count) < 0.06)
    created[batched] = created[np.maximum(batched - 1, 0)]
    at_home = rng.random(count) < 0.7
    country = np.where(at_home, world.clients["country"][owners], rng.choice(len(COUNTRIES), count, p=_WEIGHTS))
    currency = np.where(rng.random(count) < 0.9, _CURRENCY[country], rng.integers(0, len(CURRENCIES), count))
    heads, tails = names.pick_debtors(rng, country)
    return world.cases.append(
        client=owners,
        head=heads,
        tail=tails,
        country=country,
        currency=currency,
        gross=(gross := _amounts(rng, currency)),
        remainder=gross,
        lifecycle=np.where(world.clients["done"][owners], codes.INTERNAL, codes.SIGNING),
        close_code=codes.NO_CODE,
        phase=codes.NO_CODE,
        created=created,
        due=(created - rng.integers(20, 500, count) * DAY_US) // DAY_US * DAY_US,
        started=NULL_US,
        finished=NULL_US,
        needs_info=False,
        responded=NULL_US,
        partner=codes.NO_CODE,
        rate=NULL_US,
        earns=world.clients["is_attributed"][owners] | (rng.random(count) < 0.5),
        has_reference=rng.random(count) < 0.92,
        alive=True,
    )


def _amounts(rng: Random, currency: Ints) -> Ints:
    """Claims from some tens to two million, to the cent, some round; yen in whole yen and a hundred times as many."""
    cents = np.clip(np.exp(rng.normal(7.2, 1.5, len(currency))) * 100, 2_500, 200_000_000).astype(np.int64)
    cents = np.where(rng.random(len(currency)) < 0.25, cents // 10_000 * 10_000 + 10_000, cents)
    return np.asarray(np.where(currency == _YEN, cents * UNIT, cents * (UNIT // 100)))


def assign(world: World, rng: Random, rows: Ints) -> None:
    """Give cases a collection partner of the debtor's country, and with it the rate that is expected of them."""
    cases = world.cases
    cases["partner"][rows] = cases["country"][rows] * 3 + rng.choice(3, len(rows), p=[0.65, 0.25, 0.1])
    own = world.clients["rate"][cases["client"][rows]]
    cases["rate"][rows] = np.where(rng.random(len(rows)) < 0.05, 35 * UNIT, own)
    cases["phase"][rows] = np.where(rng.random(len(rows)) < 0.02, codes.NO_CODE, 0)


def close(world: World, rng: Random, rows: Ints, close_code: Ints, at: Ints) -> None:
    """Close cases with these codes at these instants."""
    cases = world.cases
    cases["lifecycle"][rows] = codes.CLOSED
    cases["close_code"][rows] = close_code
    cases["finished"][rows] = ragged(rng, at)
    cases["needs_info"][rows] = False


def age_cases(world: World, rng: Random, rows: Ints, open_share: float | None = None) -> None:
    """Give new cases the past that fits their age: where in their life they are, with whom, and how they ended.

    With `open_share`, cases take as long or short as it needs to have that share of them open.
    """
    cases, count = world.cases, len(rows)
    created = cases["created"][rows]
    length = (rng.gamma(2.0, 75.0, count) + 8) * DAY_US
    is_signed = world.clients["done"][cases["client"][rows]]
    if open_share is not None:
        length = shares.fit_lengths(length, world.now_us - created, is_signed, open_share)
    progress = (world.now_us - created) / length
    steps = np.array([0.02, 0.04, 0.06, 0.09, 0.12])
    lifecycle = np.array([codes.INTERNAL, codes.VERIFYING, codes.NEEDS_INFO, codes.LEADS, codes.QUOTED, codes.ACTIVE])
    state = np.where(is_signed, lifecycle[np.searchsorted(steps, progress)], codes.SIGNING)
    state = np.where((state == codes.ACTIVE) & (rng.random(count) < 0.07), codes.PAUSED, state)
    cases["lifecycle"][rows] = state
    ask(world, rng, rows[state == codes.NEEDS_INFO])
    assigned = np.isin(state, (codes.ACTIVE, codes.PAUSED))
    begun = rows[assigned]
    assign(world, rng, begun)
    cases["started"][begun] = ragged(rng, created[assigned] + (length[assigned] * 0.12).astype(np.int64))
    cases["phase"][begun] = np.where(
        cases["phase"][begun] < 0, codes.NO_CODE, np.clip((progress[assigned] * 2).astype(int) - 1, 0, 2)
    )
    ended = assigned & (progress >= 1)
    close(world, rng, rows[ended], rng.choice(len(codes.CLOSE_CODES), int(ended.sum()), p=codes.CLOSE_WEIGHTS),
          created[ended] + length[ended].astype(np.int64))  # fmt: skip
    merged = rows[ended][rng.random(int(ended.sum())) < 0.008]
    cases["lifecycle"][merged] = codes.MERGED
    cases["close_code"][merged] = codes.NO_CODE


def ask(world: World, rng: Random, rows: Ints) -> None:
    """Ask creditors for something about their cases; some have answered before."""
    world.cases["needs_info"][rows] = rng.random(len(rows)) < 0.9
    answered = world.cases["created"][rows] + DAY_US // 3
    world.cases["responded"][rows] = np.where(rng.random(len(rows)) < 0.3, answered, NULL_US)


def spread_payments(world: World, rng: Random, count: int) -> tuple[Ints, Ints, Ints]:
    """`count` payments over the cases that can have some: case, instant and amount of each, by instant."""
    cases = world.cases
    able = np.flatnonzero((cases["partner"] >= 0) & cases["earns"] & (cases["lifecycle"] != codes.MERGED))
    if not count or not len(able):
        return (np.empty(0, dtype=np.int64),) * 3
    code = cases["close_code"][able]
    unfinished = 1.5 if world.options.open_share is None else 0.5  # long-standing partners: each day like the others
    pull = np.select(
        [code == codes.PAID_IN_FULL, code == codes.PAID_IN_PART, code == codes.NO_CODE], [4.0, 3.0, unfinished], 0.3
    )
    rows = np.sort(rng.choice(able, count, p=pull / pull.sum()))
    begin = cases["started"][rows]
    end = np.where(cases["finished"][rows] == NULL_US, world.now_us, cases["finished"][rows])
    dates = begin + (rng.random(count) * np.maximum(end - begin, 0)).astype(np.int64)
    paid_part = np.select(
        [cases["close_code"][rows] == codes.PAID_IN_FULL, cases["close_code"][rows] == codes.NO_CODE], [1.0, 0.5], 0.3
    )
    times = np.bincount(rows, minlength=len(cases))[rows]
    parts = paid_part * rng.uniform(0.5, 1.0, count) / times
    grain = np.where(cases["currency"][rows] == _YEN, UNIT, UNIT // 100)
    amounts = np.maximum((cases["gross"][rows] * parts).astype(np.int64) // grain, 1) * grain
    order = np.argsort(dates, kind="stable")
    return rows[order], dates[order], amounts[order]


def add_payments(
    world: World,
    rng: Random,
    rows: Ints,
    dates: Ints,
    amounts: Ints,
    *,
    is_new: bool = False,
    unsettled_share: float | None = None,
) -> Ints:
    """Book payments on cases `rows`; each makes a transaction. `is_new`: nothing has been invoiced or paid out yet.

    With `unsettled_share`, that share of them has not been paid out to the partner.
    """
    cases, count = world.cases, len(rows)
    np.subtract.at(cases["remainder"], rows, amounts)
    np.maximum(cases["remainder"], 0, out=cases["remainder"])
    settled = rows[cases["close_code"][rows] == codes.PAID_IN_FULL]
    cases["remainder"][settled] = 0
    dates = ragged(rng, dates)
    batched = np.flatnonzero(rng.random(count) < 0.05)
    dates[batched] = dates[np.maximum(batched - 1, 0)]
    revenue, fee, rate = earnings(world, rows, amounts)
    age = (world.now_us - dates) // DAY_US
    luck = rng.random((4, count))
    commission = np.where((age < 12) & (luck[0] < 0.8) | (luck[0] < 0.04), codes.UNPAID, codes.PAID)
    commission = np.where((age > 40) & (luck[0] > 0.99), codes.CREDITED, commission)
    platform = np.where(age > 65, codes.RECEIVED, np.where(age > 28, codes.ISSUED, codes.NOT_INVOICED))
    platform = np.where(commission != codes.PAID, codes.NOT_INVOICED, platform)
    platform = np.where((age > 65) & (luck[1] < 0.006), codes.INVOICE_CREDITED, platform)
    pending = np.where(luck[2] < 0.15, codes.NO_CODE, codes.REFERRAL_PENDING)
    referral = np.where(age > 150, codes.REFERRAL_PAID, np.where(age > 95, codes.REFERRAL_INVOICED, pending))
    referral = np.where((platform == codes.RECEIVED) & (luck[3] < 0.94), referral, pending)
    referral = np.where((age > 70) & (luck[3] > 0.985), codes.DISPUTED, referral)
    if unsettled_share is not None and count:
        commission, platform, referral = shares.statuses(rng, world.now_us - dates, unsettled_share, pending)
    fresh = np.full(count, is_new)
    return world.transactions.append(
        case=rows,
        date=dates,
        paid=np.where(luck[1] < 0.5, dates - DAY_US, dates // DAY_US * DAY_US),
        amount=amounts,
        currency=cases["currency"][rows],
        revenue=revenue,
        rate=rate,
        fee=fee,
        locked_day=np.minimum(world.days_of(dates) + 9, world.day),
        commission=np.where(fresh, codes.UNPAID, commission),
        platform=np.where(fresh, codes.NOT_INVOICED, platform),
        referral=np.where(fresh, pending, referral),
        alive=True,
    )


def earnings(world: World, rows: Ints, amounts: Ints) -> tuple[Ints, Ints, Ints]:
    """Debitura's revenue and the referral fee on payments of cases, and the referral rate, frozen in the transaction."""
    partner = world.cases["partner"][rows]
    phase_points = np.maximum(world.cases["phase"][rows], 0).astype(np.int64) * (5 * UNIT)
    fees = share(amounts, _FEE[partner] + phase_points, PERCENT)
    revenue = share(fees, _SHARE[partner], PERCENT)
    rate = world.cases["rate"][rows]
    return revenue, share(revenue, rate, PERCENT), rate
