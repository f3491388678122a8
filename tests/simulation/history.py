"""One seeded history: a small world, a first sync, some nights, quiet ones at the end; the judge after every sync.

Belongs here: what a seed decides, and the order of events. Does not: moves (`moves.py`), promises (`judge.py`). The same
seed plays the same history, request by request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from debitura_pipeline.errors import BudgetSpent, UnprovenError
from debitura_pipeline.extract.certificate import check
from debitura_pipeline.landing.store import folders
from debitura_pipeline.sandbox import codes
from debitura_pipeline.sandbox.changes import Entry
from debitura_pipeline.sandbox.world import WorldOptions
from debitura_pipeline.settings import Endpoint, Secret, Settings
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.run import read_partner
from debitura_pipeline.sync.session import Session
from tests.simulation.door import DirectClient, Here, tools_of
from tests.simulation.judge import Terms, judge, plain
from tests.simulation.moves import Mover
from tests.simulation.workshop import Workshop
from tests.simulation.world import Moments, Rows, SimWorld

RESOURCES = ("clients", "cases", "transactions")
SYNCED = (
    RESOURCES,
    ("cases",),
    ("transactions",),
    ("transactions",),
)  # what a night syncs; the last has most to get wrong
ENDPOINT = Endpoint("http://127.0.0.1:1", Secret("sandbox-key"), None, is_simulated=True)
PROFILES = 20  # different first days; what happens afterwards is different in every history
REFRESH_DAYS = 3
REAL_EVERY = 20  # histories; the others merge into a sketch of the warehouse
MAX_TRIES = 4  # syncs in one night, where each ends without proof or with its allowance spent


class Broken(AssertionError):
    """A promise was not kept; the text says which, in which history, and how to play it again."""


@dataclass(frozen=True)
class Profile:
    """A world's first day, and how much of it fits a page and a window."""

    world: WorldOptions
    page_rows: int
    window_rows: int

    @classmethod
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
            ties_shuffle=number % 7 == 3,
            archived_rows_remain=number % 4 != 2,
        )
        return cls(world, page_rows=dice.choice((3, 5, 10, 100)), window_rows=dice.choice((10, 20, 40)))


@dataclass(frozen=True)
class Options:
    """What the seed decides beforehand."""

    seed: int
    profile: Profile
    small_requests: int
    unrest: float  # chance of a move before each answer
    is_restless_from_the_start: bool
    nights: int
    has_quiet_end: bool

    @classmethod
    def of(cls, seed: int) -> Options:
        dice = Random(f"options {seed}")
        return cls(
            seed,
            Profile.of(dice.randrange(PROFILES)),
            small_requests=dice.choice((1, 1, 1, 1, 200)),
            unrest=dice.choice((0.0, 0.01, 0.03, 0.1)),
            is_restless_from_the_start=dice.random() < 0.12,
            nights=dice.choice((1, 1, 1, 1, 2)),
            has_quiet_end=dice.random() < 0.05,
        )

    @property
    def is_real(self) -> bool:
        return self.seed % REAL_EVERY == 0


@dataclass
class Tally:
    """What a history was made of: syncs, moves, unproven ones, masked rows."""

    counts: Counter[str] = field(default_factory=Counter)
    trail: list[str] = field(default_factory=list)


class History:
    """Plays one seed."""

    def __init__(self, options: Options, workshop: Workshop) -> None:
        self.options, self.workshop = options, workshop
        self.dice = Random(f"history {options.seed}")
        self.sim = SimWorld(options.profile.world)
        self.mover = Mover(self.sim, self.dice)
        self.settings: Settings = workshop.settle_in(REFRESH_DAYS, is_real=options.is_real)
        self.tools = tools_of(self.sim)
        self.tally = Tally()
        self.ordered: tuple[int, Entry] | None = None
        self.asked: list[str] = []  # by the sync that runs, or the last one
        self.kept: dict[str, Any] = {resource: {} for resource in RESOURCES}

    def play(self) -> Tally:
        """The whole history; raises Broken."""
        profile = self.options.profile
        with self.workshop.sizes(profile.page_rows, profile.window_rows):
            self.first()
            for number in range(self.options.nights):
                self.daytime()
                unrest = self.options.unrest if self.dice.random() < 0.7 else 0.0
                self.night(f"night {number + 1}", unrest, self.dice.choice(SYNCED))
            if self.options.has_quiet_end:
                for number in range(REFRESH_DAYS):
                    self.sim.midnight()
                    self.night(f"quiet night {number + 1}", 0.0)
                self.expect_the_world()
        return self.tally

    def first(self) -> None:
        """The first sync, of everything. What it leaves where nothing moves is the same for a profile, and kept."""
        if self.options.is_restless_from_the_start or self.options.is_real:
            self.night("first", self.options.unrest)
            return
        start = self.workshop.starts.get(self.options.profile)
        if start is None:
            self.dice.seed("the same for all")
            self.night("first", 0.0)
            start = self.workshop.keep(self.sim.seconds, self.sim.app.requests)
            self.workshop.starts[self.options.profile] = start
        self.sim.seconds, self.sim.app.requests = start.seconds, start.requests
        self.workshop.resume(start)
        self.dice.seed(f"nights {self.options.seed}")
        self.kept = {resource: self.workshop.live(resource) for resource in RESOURCES}

    def daytime(self) -> None:
        """A day passes: a full one of the sandbox's, or some moves, or next to nothing."""
        kind = self.dice.random()
        if kind < 0.3:
            self.sim.change({"op": "advance", "days": 1})
        else:
            self.sim.midnight()
        for _ in range(self.dice.choice((0, 1, 3, 8))):
            self.mover.move()
        if self.options.has_quiet_end:  # for the turn to find
            self.mover.edit_unseen()
            self.mover.edit_closed()
        if self.dice.random() < 0.2:
            self.mover.payout()
        if self.dice.random() < 0.05:
            modes = {codes.PAY_WHEN_PAID: codes.CONFIRMED_PIPELINE, codes.CONFIRMED_PIPELINE: codes.PAY_WHEN_PAID}
            self.sim.change({"op": "mode", "mode": modes[self.sim.world.mode]})

    def night(self, name: str, unrest: float, resources: Sequence[str] = RESOURCES) -> None:
        """Each resource tried again where the world would not hold still or the allowance ran out."""
        for resource in resources:
            for _ in range(MAX_TRIES):
                if self.attempt(name, resource, unrest):
                    break
            else:
                self.sim.unwatch(resource)
                self.tally.counts["nights given up"] += 1

    def attempt(self, name: str, resource: str, unrest: float) -> bool:
        """One sync of one resource: whether it ended with a merge."""
        ends_at = self.dice.randrange(2, 60) if self.dice.random() < 0.02 else None
        before = self.sim.seconds
        self.sim.watch(resource)
        try:
            report = asyncio.run(self.sync(resource, unrest, ends_at))
        except UnprovenError as error:
            self.tally.counts["unproven"] += 1
            self.note(f"{name} {resource}: {error}")
            if not self.sim.has_moved(resource):
                self.fail(name, resource, f"unproven, and nothing moved: {error}")
        except BudgetSpent:
            self.tally.counts["allowance spent"] += 1
        else:
            self.tally.counts[f"{report.mode} syncs"] += 1
            self.tally.counts["requests"] += report.requests
            self.judge(name, report, self.sim.unwatch(resource), self.sim.seconds - before)
            return True
        if self.workshop.live(resource) != self.kept[resource]:
            self.fail(name, resource, "a sync that failed changed the warehouse")
        return False

    def change_before(self, moment: int, entry: Entry, resource: str) -> bool:
        """A sync of one resource in which one thing happens, before its nth request; whether it had so many."""
        self.ordered = (moment, entry)
        self.night(f"change before request {moment}", 0.0, (resource,))
        return self.ordered is None

    async def sync(self, resource: str, unrest: float, ends_at: int | None) -> SyncReport:
        def before_answer() -> None:
            if self.ordered is not None and client.stats.requests == self.ordered[0]:
                self.sim.change(self.ordered[1])
                self.ordered = None
            if unrest and self.dice.random() < unrest:
                self.tally.counts["moves during syncs"] += 1
                self.mover.move()

        client: Any = DirectClient(self.sim, self.options.profile.page_rows, self.dice, before_answer, ends_at)
        self.asked = client.asked
        shaping: Any = Here()
        session = Session(
            self.settings, ENDPOINT, self.tools, client, self.workshop.shaper, shaping, None,
            await read_partner(client), self.options.small_requests,
        )  # fmt: skip
        return await session.resource(resource, allow_shrink=True)

    def judge(self, name: str, report: SyncReport, moments: Moments, _: float) -> None:
        resource = report.resource
        have = self.workshop.live(resource)
        self.kept[resource] = have
        folder = next(f for f in folders(self.settings.landing_dir, resource) if f.begin["sync_id"] == report.sync_id)
        terms = Terms(
            resource, report.mode == "nightly", self.options.profile.world.summary_ignores_dates, self.sim.world.mode
        )
        verdict = judge(terms, moments, have, folder.instant("at"))
        if verdict.broken:
            told = "; ".join(f"{what} {key}: {told_of(moments, have, key)}" for what, key in verdict.broken[:3])
            self.fail(name, resource, f"{report.mode}: {len(verdict.broken)} rows: {told}")
        self.tally.counts["masked"] += len(verdict.masked)
        finding = check(folder)
        if finding.faults:
            self.fail(name, resource, f"certificate: {finding.faults}")
        counts = {len(state) for state in moments.states()}
        if finding.api_count != len(have) or finding.api_count not in counts:
            self.fail(name, resource, f"certified {finding.api_count} rows, {len(have)} there, the world had {counts}")

    def expect_the_world(self) -> None:
        """After the quiet nights nothing may be wrong any more, whatever no total shows."""
        for resource in RESOURCES:
            terms = Terms(resource, False, False, self.sim.world.mode)
            have = {key: plain(terms, row) for key, row in self.kept[resource].items()}
            truth = self.sim.rows[resource]
            if have != truth:
                wrong = {key for key in have.keys() | truth.keys() if have.get(key) != truth.get(key)}
                self.fail("quiet end", resource, f"still wrong: {sorted(wrong)[:5]}")

    def note(self, text: str) -> None:
        self.tally.trail.append(text)

    def fail(self, name: str, resource: str, what: str) -> None:
        raise Broken(
            f"seed {self.options.seed}, {name}, {resource}: {what}\n"
            f"play it again: .venv/bin/python -m tests.simulation {self.options.seed}\n{self.options}"
        )


def told_of(moments: Moments, have: Rows, key: str) -> str:
    """What the warehouse has of a row, and what it was, column by column where these differ."""
    ours = have.get(key)
    texts = []
    for row in moments.values().get(key, [None]):
        if row is None or ours is None:
            texts.append("gone" if row is None else "there")
        else:
            texts.append(str({name: (row[name], ours[name]) for name in row if row[name] != ours[name]}))
    return f"{' then '.join(texts)} (world, warehouse), warehouse {'has it' if ours else 'lacks it'}"
