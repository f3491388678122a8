"""What a seed decides beforehand: the world's first day, how restless it is, what is synced in which way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from random import Random

from debitura_sandbox.world import codes
from debitura_sandbox.world.world import WorldOptions

PROFILES = 40  # different first days; what happens afterwards is different in every history
# From here on most histories that begin quietly start from their profile's first night, read once (`first_night.py`).
FIRST_SHARED_SEED = 400_000
WHOLE = frozenset({739947000182})  # lessons of that range, which begin with their own first night
SHARED, SHARED_AMONG_DYING = 0.9, 0.5
# Chance that something moves between two answers, from quiet to very restless; then up to three things move.
UNREST = (0.0, 0.01, 0.01, 0.03, 0.03, 0.03, 0.1, 0.1, 0.1, 0.3, 0.6)
NIGHTLY, READ_ALL = 1, 200  # requests below which everything is read; one nightly plan in two
RESOURCES = ("clients", "cases", "transactions")
SYNCED = (
    RESOURCES,
    ("cases",),
    ("transactions",),
    ("transactions",),
)  # what a night syncs; the last has most to get wrong


@dataclass(frozen=True)
class Profile:
    """A world's first day, and how much of it fits a page and a window."""

    world: WorldOptions
    page_rows: int
    window_rows: int
    small_pages: int  # up to this many, what moved is read again as a whole
    in_flight: int  # requests at once
    has_months: bool  # a nightly plan compares month by month, not the list as a whole
    goes_by_paid: bool  # the list of transactions is filtered and sorted by the payment's date
    has_dateless: bool  # some rows have no date
    has_future: bool  # some rows are dated after now

    @classmethod
    @cache
    def of(cls, number: int) -> Profile:
        dice = Random(f"profile {number}")
        world = WorldOptions(
            seed=number,
            clients=3,
            cases=dice.choice((10, 16, 25)),
            transactions=dice.choice((12, 25, 40)),
            years=1,
            mode=codes.CONFIRMED_PIPELINE if number % 3 == 0 else codes.PAY_WHEN_PAID,
            summary_ignores_dates=number % 5 == 4,
            ties_shuffle=number % 2 == 1,
            archived_rows_remain=number % 4 != 2,
        )
        return cls(
            world,
            page_rows=dice.choice((3, 5, 5, 10, 100)),
            window_rows=dice.choice((10, 20, 40)),
            small_pages=dice.choice((0, 2, 60)),
            in_flight=dice.choice((1, 2, 8)),
            has_months=number % 3 != 1,
            goes_by_paid=number % 5 == 1,
            has_dateless=number % 10 == 7,
            has_future=number % 10 == 3,
        )


@dataclass(frozen=True)
class Options:
    """What the seed decides beforehand."""

    seed: int
    profile: Profile
    unrest: float
    is_restless_from_the_start: bool
    nights: int
    dies: bool  # processes die at times
    has_quiet_end: bool
    shares_first_night: bool = False  # reads its first night not itself

    @classmethod
    def of(cls, seed: int) -> Options:
        dice = Random(f"options {seed}")
        options = cls(
            seed,
            Profile.of(dice.randrange(PROFILES)),
            unrest=dice.choice(UNREST),
            is_restless_from_the_start=dice.random() < 0.4,
            nights=dice.choice((1, 1, 1, 2)),
            dies=dice.random() < 0.25,
            has_quiet_end=dice.random() < 0.05,
        )
        is_quiet = not options.is_restless_from_the_start or options.unrest == 0
        may_share = is_quiet and seed >= FIRST_SHARED_SEED and seed not in WHOLE
        share = SHARED_AMONG_DYING if options.dies else SHARED
        return replace(options, shares_first_night=may_share and dice.random() < share)
