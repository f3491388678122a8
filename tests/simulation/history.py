"""One seeded history: a small world, a first sync, some nights, quiet ones at the end; the judge after every sync.

The order of events. Moves are in `moves.py`, promises in `judge.py`, what is real and what is not in `harness.py`. The same
seed plays the same history, request by request.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from debitura_pipeline.errors import RateLimitExhausted, UnprovenError
from debitura_pipeline.landing.landing_zone import unmerged
from debitura_pipeline.landing.tenants import TenantResolver
from debitura_pipeline.settings import Endpoint, Secret, Settings
from debitura_pipeline.sync.partner import read_terms
from debitura_pipeline.sync.proof import verify
from debitura_pipeline.sync.replay import replay
from debitura_pipeline.sync.report import SyncReport
from debitura_pipeline.sync.runner import READ_IN_ORDER
from debitura_pipeline.sync.session import SyncSession
from debitura_sandbox.world import codes
from debitura_sandbox.world.change import Entry
from tests.simulation.crash import tear
from tests.simulation.direct_client import DirectClient, Here, runtime_of
from tests.simulation.first_night import FirstNight
from tests.simulation.harness import Harness, Merged
from tests.simulation.judge import Terms, judge, plain
from tests.simulation.moves import Mover
from tests.simulation.options import NIGHTLY, READ_ALL, RESOURCES, SYNCED, Options, Profile
from tests.simulation.world import Moments, Rows, SimWorld

ENDPOINT = Endpoint("http://127.0.0.1:1", Secret("sandbox-key"), None, is_simulated=True)
REFRESH_DAYS = 3
MAX_TRIES = 4  # syncs in one night, where each ends without proof or with its allowance spent
MOST_POINTS = 8  # powers of two: the point at which a process dies is chosen evenly among small and large numbers
A_DAY_AND_MORE_S = 26 * 3600.0
UNCLASSIFIED = "in none of the API's stages"
LATE = "merged by a later run"  # what is said of a sync that was read before the run that merged it


class Broken(AssertionError):
    """A promise was not kept; the text says which, in which history, and how to play it again. `kind`: for counting."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass
class Tally:
    """What a history was made of: syncs, moves, unproven ones, masked rows; why syncs were refused or not proven."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    trail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """What one sync is asked for: the resource, and how much of it; of one client, where `tenant` is given."""

    resource: str
    small_requests: int = NIGHTLY
    full: bool = False
    tenant: str | None = None
    creditor: str | None = None


class History:
    """Plays one seed."""

    def __init__(self, options: Options, harness: Harness) -> None:
        self.options, self.harness = options, harness
        self.first = first_night(options.profile, harness) if options.shares_first_night else None
        self.dice = Random(f"history {options.seed}")
        self.sim = SimWorld(options.profile.world)
        self.mover = Mover(self.sim, self.dice, options.profile)
        self.settings: Settings = harness.reset(REFRESH_DAYS, self.first)
        self.runtime = runtime_of(self.sim)
        self.tally = Tally()
        self.ordered: tuple[int, tuple[Entry, ...]] | None = None
        self.asked: list[str] = []  # by the sync that runs, or the last one
        self.kept: dict[str, Rows] = {resource: {} for resource in RESOURCES}
        self.dies = options.dies
        self.unrest = 0.0  # of the sync that runs
        self.counted: dict[str, set[int]] = {}  # rows that the world had while a proven sync read

    def play(self) -> Tally:
        """The whole history; raises Broken."""
        with self.harness.sizes(self.options.profile):
            if self.first is None:
                self.night("first", self.options.unrest if self.options.is_restless_from_the_start else 0.0)
            else:
                self.take_over(self.first)
            for number in range(self.options.nights):
                self.daytime()
                unrest = self.options.unrest if self.dice.random() < 0.8 else 0.0
                self.night(f"night {number + 1}", unrest, self.dice.choice(SYNCED))
            if self.dice.random() < 0.1:
                self.replay("at the end")
            if self.options.has_quiet_end:
                self.dies = False
                for number in range(REFRESH_DAYS):
                    self.sim.midnight()
                    for resource in RESOURCES:
                        self.sync_until_done(f"quiet night {number + 1}", Wanted(resource), 0.0)
                self.expect_the_world()
            self.expect_certificates()
        return self.tally

    def take_over(self, first: FirstNight) -> None:
        """Begin after a first night that was read before."""
        self.sim.seconds = first.seconds
        self.kept, self.counted = dict(first.kept), dict(first.counted)
        self.tally.counts["first nights shared"] += 1

    def daytime(self) -> None:
        """A day passes: a full one of the sandbox's, or some moves, or next to nothing."""
        kind = self.dice.random()
        if kind < 0.3:
            self.sim.change({"op": "advance", "days": 1})
        else:
            self.sim.midnight()
        for _ in range(self.dice.choice((0, 1, 3, 8))):
            self.mover.move()
        if self.options.has_quiet_end:  # for the rotation to find
            self.mover.edit_unseen()
            self.mover.edit_closed()
        if self.dice.random() < 0.2:
            self.mover.payout()
        if self.dice.random() < 0.05:
            modes = {codes.PAY_WHEN_PAID: codes.CONFIRMED_PIPELINE, codes.CONFIRMED_PIPELINE: codes.PAY_WHEN_PAID}
            self.sim.change({"op": "mode", "mode": modes[self.sim.world.mode]})

    def night(self, name: str, unrest: float, resources: Sequence[str] = RESOURCES) -> None:
        """Each resource tried again where the world would not hold still, the allowance ran out or the process died."""
        small = self.dice.choice((NIGHTLY, NIGHTLY, NIGHTLY, READ_ALL))
        full = self.dice.random() < 0.1
        client = self._client() if self.dice.random() < 0.1 else (None, None)
        for resource in resources:
            tenant, creditor = client if resource != "clients" and self.kept[resource] else (None, None)
            self.sync_until_done(name, Wanted(resource, small, full and tenant is None, tenant, creditor), unrest)

    def sync_until_done(self, name: str, wanted: Wanted, unrest: float) -> None:
        for _ in range(MAX_TRIES):
            if self.attempt(name, wanted, unrest):
                return
        if not unmerged(self.settings.landing_dir, wanted.resource):  # what is landed may be taken up by a later sync
            self.sim.forget(wanted.resource)
        self.tally.counts["nights given up"] += 1

    def attempt(self, name: str, wanted: Wanted, unrest: float) -> bool:
        """One sync of one resource: whether it ended with a merge."""
        resource, self.unrest = wanted.resource, unrest
        ends_at = self.dice.randrange(2, 60) if self.dice.random() < 0.02 else None
        known = self.harness.merged(resource)
        self.sim.watch(resource)
        if self.dies and self.dice.random() < 0.4:
            after_commit = self.dice.random() < 0.3
            most = 3 if after_commit else 2 ** self.dice.randrange(1, MOST_POINTS + 1)
            self.harness.deaths.arm(self.dice.randrange(1, most + 1), after_commit=after_commit)
        try:
            report = asyncio.run(self.sync(wanted, unrest, ends_at))
        except BaseException as error:  # noqa: BLE001 (raised again where it is none that is expected)
            if self.harness.deaths.is_dead:
                return self.after_death(name, wanted, known)
            self.harness.deaths.disarm()
            self._expect_refusal(name, resource, error)
            new = [sync for sync in self.harness.merged(resource) if sync not in known]
            if any(LATE not in sync.message for sync in new):
                self.fail("changed by a failed sync", name, resource, f"a sync that failed was merged: {new}")
            if new:
                self.kept[resource] = self.harness.live(resource)
        else:
            self.harness.deaths.disarm()
            self.tally.counts[f"{report.mode} syncs"] += 1
            self.tally.counts[f"unrest {self.unrest}: done"] += 1
            self.tally.counts["requests"] += report.requests
            self.judge(name, wanted, report, len(self.harness.merged(resource)) - len(known))
            return True
        if self.harness.live(resource) != self.kept[resource]:
            self.fail("changed by a failed sync", name, resource, "a sync that failed changed the warehouse")
        return False

    def _expect_refusal(self, name: str, resource: str, error: BaseException) -> None:
        """Two ends of a sync are allowed that are none: it cannot prove what it read, or may ask no more."""
        if isinstance(error, UnprovenError):
            self.tally.counts["unproven"] += 1
            self.tally.counts[f"unrest {self.unrest}: refused"] += 1
            self.tally.reasons[f"refused: {told(str(error))}"] += 1
            self.note(f"{name} {resource}: {error}")
            if not self.sim.has_moved(resource):
                self.fail("refused in a quiet world", name, resource, f"unproven, and nothing moved: {error}")
        elif isinstance(error, RateLimitExhausted):
            self.tally.counts["allowance spent"] += 1
        else:
            raise error

    def after_death(self, name: str, wanted: Wanted, known: list[Merged]) -> bool:
        """What a process left that died: nothing, or the whole of a merge. Then a replay, a day, or the next sync at once."""
        resource, deaths = wanted.resource, self.harness.deaths
        where, journal = deaths.where, deaths.journal
        self.tally.counts["deaths"] += 1
        self.note(f"{name} {resource}: died before {where}")
        self.harness.after_death()
        if journal is not None and self.dice.random() < 0.5:
            tear(journal)
        new = [sync for sync in self.harness.merged(resource) if sync not in known]
        if new:
            self.tally.counts["deaths after the merge"] += 1
            last = new[-1]
            if LATE in last.message:  # an earlier reading, merged before this one's, which may be taken up: watched on
                self.kept[resource], new = self.harness.live(resource), []
            else:
                moments = self.sim.unwatch(resource)
                self._hold(f"{name}, died before {where}", wanted, last, moments, is_alone=len(new) == 1)
        elif self.harness.live(resource) != self.kept[resource]:
            self.fail("changed by a dead process", name, resource, f"died before {where}, and the warehouse changed")
        what_next = self.dice.random()
        if what_next < 0.3:
            self.replay(f"after a death before {where}")
        elif what_next < 0.5:
            self.sim.midnight()
            if self.dice.random() < 0.5:  # too late to take up what was begun
                self.sim.seconds += A_DAY_AND_MORE_S
                self.sim.forget(resource)
        return bool(new) and self.dice.random() < 0.5

    def replay(self, when: str) -> None:
        """Rebuild the warehouse from the landing zone: nothing may change."""
        before = self.harness.everything()
        self.tally.counts["replays"] += 1
        replay(self.settings)
        after = self.harness.everything()
        for table, rows in before.items():
            if rows != after[table]:
                lost, come = len(set(map(repr, rows)) - set(map(repr, after[table]))), len(after[table]) - len(rows)
                self.fail("replay differs", f"replay {when}", table, f"{lost} of {len(rows)} rows changed, {come:+d}")

    def change_before(self, moment: int, resource: str, *entries: Entry) -> bool:
        """A sync of one resource in which these things happen, before its nth request; whether it had so many."""
        self.ordered = (moment, entries)
        self.sync_until_done(f"change before request {moment}", Wanted(resource), 0.0)
        return self.ordered is None

    async def sync(self, wanted: Wanted, unrest: float, ends_at: int | None) -> SyncReport:
        def before_answer() -> None:
            self.harness.deaths.point(f"request {client.stats.requests}")
            if self.ordered is not None and client.stats.requests == self.ordered[0]:
                for entry in self.ordered[1]:
                    self.sim.change(entry)
                self.ordered = None
            if unrest and self.dice.random() < unrest:
                for _ in range(self.dice.choice((1, 1, 1, 2, 2, 3))):
                    self.tally.counts["moves during syncs"] += 1
                    self.mover.move()

        profile = self.options.profile
        client: Any = DirectClient(self.sim, profile.page_rows, self.dice, before_answer, ends_at, profile.in_flight)
        self.asked = client.asked
        session = await self._session(client, wanted.small_requests)
        (report,) = await session.resources(
            (wanted.resource,),
            tenants=None if wanted.tenant is None else (wanted.tenant,),
            full=wanted.full,
            allow_shrink=True,
        )
        return report

    async def sync_together(self) -> list[SyncReport]:
        """All resources in one session, as the nightly run reads them, in a quiet world."""
        session = await self._session(DirectClient(self.sim, self.options.profile.page_rows, self.dice), NIGHTLY)
        reports = await session.resources(READ_IN_ORDER)
        self.kept = {resource: self.harness.live(resource) for resource in RESOURCES}
        return reports

    async def _session(self, client: Any, small_requests: int) -> SyncSession:
        client.translate = TenantResolver(client, self.harness.transformer.business_keys).query
        transform_pool: Any = Here()
        return SyncSession(
            self.settings, ENDPOINT, self.runtime, client, self.harness.transformer, transform_pool, None,
            await read_terms(client), small_requests,
        )  # fmt: skip

    def judge(self, name: str, wanted: Wanted, report: SyncReport, merges: int) -> None:
        merged = next(sync for sync in self.harness.merged(wanted.resource) if sync.sync_id == report.sync_id)
        moments = self.sim.unwatch(wanted.resource)
        if not report.is_proven:
            self.tally.counts["not proven"] += 1
            self.tally.reasons[f"not proven: {told(report.message)}"] += 1
            if not report.message:
                self.fail("not proven, no reason", name, wanted.resource, "it does not say why")
        self._hold(name, wanted, merged, moments, is_alone=merges == 1)
        if report.is_proven:
            self.counted[report.sync_id] = moments.counts(wanted.tenant)

    def _hold(self, name: str, wanted: Wanted, merged: Merged, moments: Moments, *, is_alone: bool) -> None:
        """Hold the warehouse against the moments of the reading that it has just merged. `is_alone`: no other was merged
        in the same run."""
        resource, have = wanted.resource, self.harness.live(wanted.resource)
        before = self.kept[resource] if is_alone else have
        self.kept[resource] = have
        verdict = judge(self.terms(resource, merged.mode, wanted), moments, before, have, merged.at)
        self.tally.counts["masked"] += len(verdict.masked)
        self.tally.counts["slipped"] += bool(verdict.slipped)
        if merged.is_proven:  # a list that moved and was not read again as a whole is not called proven
            verdict.broken += verdict.slipped
        if verdict.broken and moments.moved and is_said(merged):
            self.tally.counts["wrong, and said so"] += 1
            self.tally.counts[f"unrest {self.unrest}: wrong, and said so"] += 1
            self.tally.reasons[f"wrong, and said so: {told(merged.message)}"] += 1
        elif verdict.broken:
            rows = "; ".join(f"{what} {key}: {told_of(moments, have, key)}" for what, key in verdict.broken[:3])
            kind = "false certificate" if merged.is_proven else "wrong, and not proven"
            what = f"{merged.mode}: {len(verdict.broken)} rows: {rows}\n  message: {merged.message}"
            self.fail(f"{kind}, {merged.mode} {resource}: {verdict.broken[0][0]}", name, resource, what)

    def terms(self, resource: str, mode: str, wanted: Wanted | None = None) -> Terms:
        profile = self.options.profile
        dated = {"cases": "created_at", "transactions": "paid_at" if profile.goes_by_paid else "occurred_at"}
        ignores_dates = profile.world.summary_ignores_dates
        is_long = mode != "nightly" and len(self.kept[resource]) > profile.small_pages * profile.page_rows
        return Terms(
            resource, mode, ignores_dates, self.sim.world.mode, dated.get(resource, ""), profile.has_months, is_long,
            None if wanted is None else wanted.creditor, None if wanted is None else wanted.tenant,
        )  # fmt: skip

    def expect_the_world(self) -> None:
        """After the quiet nights nothing may be wrong any more, whatever no total shows."""
        for resource in RESOURCES:
            terms = self.terms(resource, "full")
            have = {key: plain(terms, row) for key, row in self.kept[resource].items()}
            truth = self.sim.rows[resource]
            if have != truth:
                wrong = {key for key in have.keys() | truth.keys() if have.get(key) != truth.get(key)}
                self.fail("quiet end", "quiet end", resource, f"still wrong: {sorted(wrong)[:5]}")

    def expect_certificates(self) -> None:
        """All that is landed still holds, and what is called proven counts what the world held at some moment."""
        for finding in verify(self.settings):
            if finding.faults:
                self.fail("certificate", "the end", finding.resource, f"{finding.sync_id}: {finding.faults}")
            counts = self.counted.get(finding.sync_id)
            if counts is not None and finding.api_count not in counts:
                told = f"{finding.sync_id}: certified {finding.api_count} rows, the world had {sorted(counts)}"
                self.fail("certificate", "the end", finding.resource, told)

    def note(self, text: str) -> None:
        self.tally.trail.append(text)

    def fail(self, kind: str, name: str, resource: str, what: str) -> None:
        trail = "".join(f"\n  before that: {line}" for line in self.tally.trail[-5:])
        raise Broken(
            kind,
            f"{kind}; seed {self.options.seed}, {name}, {resource}: {what}{trail}\n"
            f"play it again: .venv/bin/python -m tests.simulation {self.options.seed}\n{self.options}",
        )

    def _client(self) -> tuple[str | None, str | None]:
        """A client that is there: tenant and creditor id."""
        rows = list(self.sim.rows["clients"].values())
        row = self.dice.choice(rows) if rows else {}
        return row.get("external_tenant_id"), row.get("creditor_id")


def first_night(profile: Profile, harness: Harness) -> FirstNight:
    """The first night of this profile's quiet world: read and judged now, or already. Raises Broken as any other."""
    if profile in harness.first_nights:
        return harness.first_nights[profile]
    history = History(Options(-profile.world.seed - 1, profile, 0.0, False, 0, False, False), harness)
    with harness.sizes(profile):
        history.night("first", 0.0)
    return harness.keep(profile, history.sim.seconds, history.kept, history.counted)


def is_said(merged: Merged) -> bool:
    """Whether a sync says that its reading is not proven; of rows without a stage alone, their sum is what is not."""
    reasons = [reason for reason in merged.message.split("; ") if UNCLASSIFIED not in reason]
    return not merged.is_proven and bool(reasons)


def told(reason: str | None) -> str:
    """A message without its figures and dates, for counting."""
    return re.sub(r"[\d][\d.:,T+-]*", "#", reason or "no reason")[:160]


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
