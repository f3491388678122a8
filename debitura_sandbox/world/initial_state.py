"""Makes the world's first day: clients linked over the years, their cases, and the payments on those.

Belongs here: how new rows come about, in bulk. Does not: how old rows change (`evolve.py`). Every draw comes from the
generator passed in, so the same seed gives the same rows. `evolve.py` and `changes.py` call the same functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from debitura_sandbox.world import anomalies, codes, outcomes, payments, people, target_shares
from debitura_sandbox.world.addresses import COUNTRIES, CURRENCIES
from debitura_sandbox.world.codes import DAY_US, NULL_US, Ints
from debitura_sandbox.world.columns import UNIT, ragged
from debitura_sandbox.world.payments import Random
from debitura_sandbox.world.world import RESOURCES, World, WorldOptions

_WEIGHTS = np.array([country.weight for country in COUNTRIES], dtype=float) / sum(
    country.weight for country in COUNTRIES
)
_CURRENCY = np.array([CURRENCIES.index(country.currency) for country in COUNTRIES])
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
        linked = np.sort(target_shares.link_dates(rng, count, world.start_us, span))
        done = target_shares.settle_signatures(done, linked, world.start_us)
    else:
        done = np.sort(done)[::-1]  # those that have not signed are the newest
    add_clients(world, rng, linked, done)
    world.clients["alive"][5 : 5 + archived] = False
    world.clients["weight"][5 : 5 + archived] *= 0.3
    if options.cases:
        _fill(world, rng)
    world.touch(*RESOURCES)
    return world


def _fill(world: World, rng: Random) -> None:
    """The cases of all clients, each bringing its own share of them day by day since it was linked, and their payments."""
    options, clients = world.options, world.clients
    since = np.maximum(world.start_us - clients["linked"], DAY_US)
    weights = clients["weight"] * since
    owners = rng.choice(len(clients), options.cases, p=weights / weights.sum())
    room = world.start_us - clients["linked"][owners]
    created = clients["linked"][owners] + (rng.random(options.cases) ** 0.9 * room).astype(np.int64)
    order = np.argsort(created, kind="stable")
    rows = add_cases(world, rng, owners[order], created[order])
    give_past(world, rng, rows, options.transactions, options.open_share, options.unsettled_share, is_first_day=True)
    if options.open_share is None:
        outcomes.withdraw(world, rng, rows[~clients["alive"][owners[order]]], world.start_us)
        anomalies.place(world)
    world.note_pace()


def give_past(
    world: World,
    rng: Random,
    rows: Ints,
    transactions: int,
    open_share: float | None = None,
    unsettled_share: float | None = None,
    *,
    is_first_day: bool = False,
    haste: float = 1.0,
) -> None:
    """Give new cases the past that fits their age, with `transactions` payments, which agree with how each case ended."""
    age_cases(world, rng, rows, open_share, haste)
    if transactions and not payments.has_takers(world, rows):
        _begin_one(world, rng, rows)
    untold = anomalies.without_transaction(world, rows) if is_first_day else rows[:0]
    is_silent = np.zeros(len(world.cases), dtype=bool)
    is_silent[untold] = True
    unpaid = payments.add_history(world, rng, rows[~is_silent[rows]], transactions, unsettled_share)
    world.cases["close_code"][unpaid] = codes.NOTHING_PAID
    recovered = np.isin(world.cases["close_code"][rows], (codes.PAID_IN_FULL, codes.PAID_IN_PART))
    is_silent |= ~payments.earning(world)
    outcomes.settle_without_transactions(world, rng, rows[recovered & is_silent[rows]])


def _begin_one(world: World, rng: Random, rows: Ints) -> None:
    """Let one of the cases be under way, and earn, so that there is one to pay on."""
    cases = world.cases
    one = rows[world.clients["done"][cases["client"][rows]]][:1]
    cases["lifecycle"][one], cases["close_code"][one], cases["earns"][one] = codes.ACTIVE, codes.NO_CODE, True
    cases["started"][one], cases["finished"][one] = cases["created"][one], NULL_US
    assign(world, rng, one)


def add_clients(world: World, rng: Random, linked: Ints, done: Any, tenants: list[str] | None = None) -> Ints:
    """Add clients linked at these instants; tenant ids are made where none are given."""
    count, first = len(linked), len(world.clients)
    numbers = np.arange(first, first + count)
    made = tenants or [f"tenant-{number + 1:03}" if number % 9 else f"Mandant_{number + 1}:ä" for number in numbers]
    kyc = rng.choice(3, count, p=[0.5, 0.2, 0.3])
    review = np.select([kyc == 0, kyc == 1], [-1, rng.integers(0, 2, count)], codes.KYC_REVIEWS.index("Completed"))
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
        kyc_review=review,
        rate=rng.choice([30, 40, 50, 50, 50, 52.5, 70], count) * UNIT,
        weight=rng.gamma(1.5, 1.0, count) + 0.05,
        alive=True,
    )


def add_cases(world: World, rng: Random, owners: Ints, created: Ints) -> Ints:
    """Add new cases of the clients `owners`, in the state that a case starts in. Some come in batches, at one instant."""
    count = len(owners)
    linked = world.clients["linked"][owners]
    created = np.maximum(ragged(rng, created), linked)
    before = created[np.maximum(np.arange(count) - 1, 0)]
    created = np.where((rng.random(count) < 0.06) & (before >= linked), before, created)
    at_home = rng.random(count) < 0.7
    country = np.where(at_home, world.clients["country"][owners], rng.choice(len(COUNTRIES), count, p=_WEIGHTS))
    currency = np.where(rng.random(count) < 0.9, _CURRENCY[country], rng.integers(0, len(CURRENCIES), count))
    heads, tails = people.pick_debtors(rng, country)
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


def age_cases(world: World, rng: Random, rows: Ints, open_share: float | None = None, haste: float = 1.0) -> None:
    """Give new cases the past that fits their age: where in their life they are, with whom, and how they ended.

    With `open_share`, cases take as long or short as it needs to have that share of them open; with `haste`, by that factor.
    """
    cases, count = world.cases, len(rows)
    created = cases["created"][rows]
    length = (rng.gamma(2.0, 75.0, count) + 8) * DAY_US * max(haste, 1e-6)
    is_signed = world.clients["done"][cases["client"][rows]]
    if open_share is not None:
        length = target_shares.fit_lengths(length, world.now_us - created, is_signed, open_share)
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
    code = rng.choice(len(codes.CLOSE_CODES), count, p=codes.CLOSE_WEIGHTS)
    early = ended & np.isin(code, codes.EARLY)
    outcomes.never_start(world, rows[early])
    took = np.where(early, length * 0.1, length).astype(np.int64)
    outcomes.close(world, rng, rows[ended], code[ended], (created + took)[ended])
    merged = rows[ended & ~early & (rng.random(count) < 0.008)]
    cases["lifecycle"][merged] = codes.MERGED
    cases["close_code"][merged] = codes.NO_CODE


def ask(world: World, rng: Random, rows: Ints) -> None:
    """Ask creditors for something about their cases; some have answered before."""
    world.cases["needs_info"][rows] = rng.random(len(rows)) < 0.9
    created = world.cases["created"][rows]
    answered = np.maximum(created, np.minimum(created + DAY_US // 3, world.now_us))
    world.cases["responded"][rows] = np.where(rng.random(len(rows)) < 0.3, answered, NULL_US)
