"""A model of one claim's submission: all that the API, the network, crashes, the clock and the source may do to it.

The decisions are the pipeline's own (`submission/steps.py`); only the world around them is modelled. An assumption that fails
adds behaviour and removes none, so what holds for a set of assumptions holds for every larger set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from debitura_pipeline.submission import steps as steps_module
from debitura_pipeline.submission.answers import Created, NoAnswer, NoEffect, Refusal
from debitura_pipeline.submission.decision import Evidence, FoundCase, LookUp, Wanted
from debitura_pipeline.submission.states import CONFLICT, HUMAN, SENT, WITH_CASE, ClaimIdentity, Record
from debitura_pipeline.submission.steps import NewToken, Pause, Post, Store, Turn

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
SETTLED = 15  # minutes. A2 and A3: a request's effect, if any, shows by then
MAX_GENERATIONS = 3
IDENTITY = ClaimIdentity("test", "6d5c1f9e-0000-4000-8000-000000000001", "INV-1")
GENERATIONS = {IDENTITY.key(number): number for number in range(MAX_GENERATIONS + 2)}


@dataclass(frozen=True)
class Case:
    by_us: bool
    version: int
    visible_at: int


@dataclass(frozen=True)
class Used:
    """A key that the API has acted upon: when it was first sent, with which version of the row, and what came of it (the index
    of a case, or -1 for a refusal)."""

    key: str
    first_at: int
    version: int
    case: int


@dataclass(frozen=True)
class Late:
    """A request that takes effect later."""

    key: str
    version: int
    sent_at: int
    at: int


@dataclass(frozen=True)
class World:
    now: int = 0
    cases: tuple[Case, ...] = ()
    used: tuple[Used, ...] = ()
    late: tuple[Late, ...] = ()
    firsts: tuple[tuple[str, int], ...] = ()  # when each key was first sent
    last_key: str | None = None
    unknown_at: int | None = None  # the last request without an answer
    absent_at: int | None = None  # the first lookup long after it that showed nothing
    version: int = 0
    is_wanted: bool = True
    is_refusing: bool = False
    changes: int = 0  # of the source or of the client's documents


@dataclass(frozen=True)
class State:
    record: Record
    world: World


class Crash(Exception):
    """The process died here."""


class Broken(AssertionError):
    """A promise was broken; the text says which and how it came about."""


@dataclass
class Choices:
    """The choices of one run, replayed from a script and then always the first; `following` gives the next script."""

    script: list[int]
    made: list[tuple[int, int]] = field(default_factory=list)

    def of(self, options: int) -> int:
        place = len(self.made)
        chosen = self.script[place] if place < len(self.script) else 0
        self.made.append((chosen, options))
        return chosen

    def following(self) -> list[int] | None:
        made = list(self.made)
        while made:
            chosen, options = made.pop()
            if chosen + 1 < options:
                return [one for one, _ in made] + [chosen + 1]
        return None


@dataclass(frozen=True)
class Model:
    """`holds`: which of A1 to A4 hold."""

    holds: frozenset[str]
    # Minutes that a key is honoured (A1); whatever fails, nothing is late by more. Twelve hours are shortened, here and in the
    # protocol, which leaves the instants in every order and the number of states small.
    keys: int = 30
    submit: Callable[..., Any] = steps_module.submit

    def run(self, state: State, choices: Choices, *, is_fair: bool = False) -> State:
        """One run of the pipeline, as the choices have it."""
        play = _Run(self, state.world, state.record, choices, is_fair)
        generator = self.submit(state.record, wanted_of(state.world), play.clock)
        reply: Any = None
        try:
            while True:
                reply = play.act(generator.send(reply))
        except StopIteration:
            pass
        except Crash:
            generator.close()
        return State(play.stored, play.world)


def wanted_of(world: World) -> Wanted | None:
    if not world.is_wanted:
        return None
    return Wanted(IDENTITY, f"claim-{world.version}", f"body-{world.version}")


def at(minutes: int) -> datetime:
    return ZERO + timedelta(minutes=minutes)


@dataclass
class _Run:
    model: Model
    world: World
    stored: Record
    choices: Choices
    is_fair: bool
    repeats: int = 0
    answered_then: tuple[int | None, int | None] | None = None

    def clock(self) -> datetime:
        return at(self.world.now)

    def pick(self, options: int) -> int:
        return 0 if self.is_fair else self.choices.of(options)

    def crash_here(self) -> None:
        if self.pick(2):
            raise Crash

    def act(self, action: Any) -> Any:
        match action:
            case LookUp():
                return self._look_up()
            case Store(record):
                self.crash_here()
                self.stored = record
                if self.answered_then is not None:  # the answer is known, now that it is stored
                    unknown_at, absent_at = self.answered_then
                    self.world = replace(self.world, unknown_at=unknown_at, absent_at=absent_at)
                    self.answered_then = None
            case Post(key):  # a crash before it is a request that got lost, and a crash before the next Store
                return self._post(key)
            case Turn() | NewToken() | Pause():
                pass
        return None

    def _look_up(self) -> Evidence:
        """Lookups that fail end a run as if there had been none, so only those that answer are played."""
        self._let_late_requests_in()
        found = [
            FoundCase(f"case-{place}", None, () if case.version == self.world.version else ("amount",))
            for place, case in enumerate(self.world.cases)
            if case.visible_at <= self.world.now
        ]
        world = self.world
        if not found and world.unknown_at is not None and world.now - world.unknown_at >= self.model.keys:
            self.world = replace(world, absent_at=world.now if world.absent_at is None else world.absent_at)
        # The night reads all cases, or it does not.
        is_needed = not found and self.world.absent_at is not None
        swept = None if is_needed and self.pick(2) else self.clock()
        return Evidence(self.clock(), tuple(found), swept)

    def _post(self, key: str) -> Any:
        self._check_key(key)
        world = self.world
        before = world.unknown_at, world.absent_at
        what = self.pick(6 if self.repeats < 1 else 4)
        if "A1" in self.model.holds and what < 4 and key not in dict(world.firsts):
            world = replace(world, firsts=(*world.firsts, (key, world.now)))
        self.world = world = replace(world, unknown_at=world.now, absent_at=None)
        if what == 3:  # it will have its effect, and nobody hears of it
            delay = SETTLED if "A2" in self.model.holds or not self.pick(2) else self.model.keys
            late = Late(key, world.version, world.now, world.now + delay)
            self.world = replace(world, late=(*world.late, late))
        if what in (2, 3):
            return NoAnswer()
        if what in (4, 5):
            self.repeats += 1
            self.world = replace(world, unknown_at=before[0], absent_at=before[1])
            self.crash_here()
            return NoEffect("rate_limited" if what == 4 else "unauthorized")
        answer = self._effect(key, world.version, world.now)
        if what == 1:
            return NoAnswer()
        self.answered_then = before
        return answer

    def _check_key(self, key: str) -> None:
        """Never a new key for a claim in doubt: requests without an answer must be settled, by the model's own account."""
        world = self.world
        self.world = replace(world, last_key=key)
        if key == world.last_key or world.unknown_at is None:
            return
        is_settled = (
            world.now - world.unknown_at >= self.model.keys
            and world.absent_at is not None
            and world.now - world.absent_at >= SETTLED
        )
        if not is_settled:
            raise Broken("a new key for a claim in doubt")
        self.world = replace(self.world, unknown_at=None, absent_at=None)

    def _let_late_requests_in(self) -> None:
        for late in sorted(self.world.late, key=lambda one: one.at):
            if late.at <= self.world.now:
                self.world = replace(self.world, late=tuple(one for one in self.world.late if one is not late))
                self._effect(late.key, late.version, late.sent_at, late.at)

    def _effect(self, key: str, version: int, sent_at: int, moment: int | None = None) -> Any:
        """The API acts upon a request."""
        self._let_late_requests_in() if moment is None else None
        moment = sent_at if moment is None else moment
        world, holds = self.world, self.model.holds
        used = next((one for one in world.used if one.key == key), None)
        is_young = used is not None and sent_at - used.first_at < self.model.keys
        if used is not None and (("A1" in holds and is_young) or not self.pick(2)):
            return self._replay(used, version)
        if world.cases and ("A4" in holds or not self.pick(2)):
            return self._remember(key, version, -1, Refusal(422, ("DuplicateReference",)))
        if world.is_refusing:
            return self._remember(key, version, -1, Refusal(422, ("MissingPowerOfAttorney",)))
        return self._create(key, version, sent_at, moment)

    def _create(self, key: str, version: int, sent_at: int, moment: int) -> Any:
        shown = moment
        if self.pick(2):
            longest = SETTLED if "A3" in self.model.holds or not self.pick(2) else self.model.keys
            shown = max(moment, sent_at + longest)
        cases = (*self.world.cases, Case(True, version, shown))
        self.world = replace(self.world, cases=cases)
        if len(cases) > 1:
            raise Broken("two cases for a claim")
        place = len(cases) - 1
        return self._remember(key, version, place, Created(200, FoundCase(f"case-{place}", None)))

    def _remember(self, key: str, version: int, case: int, answer: Any) -> Any:
        first_at = dict(self.world.firsts).get(key, 0)  # matters where A1 holds
        others = tuple(one for one in self.world.used if one.key != key)
        self.world = replace(self.world, used=(*others, Used(key, first_at, version, case)))
        return answer

    def _replay(self, used: Used, version: int) -> Any:
        if used.version != version:
            return Refusal(422, ("IdempotencyConflict",))
        if used.case < 0:
            return Refusal(422, ("DuplicateReference" if self.world.cases else "MissingPowerOfAttorney",))
        return Created(200, FoundCase(f"case-{used.case}", None))


def canonical(state: State, longest: int) -> tuple[Any, ...]:
    """States that differ in nothing that matters: instants count from now, keys by their generation."""
    record, world = state.record, state.world
    keys = {key: number - record.generation for key, number in GENERATIONS.items()}

    def ago(minutes: int | None) -> int | None:
        return None if minutes is None else max(minutes - world.now, -longest)

    def since(instant: datetime | None) -> int | None:
        return None if instant is None else ago(int((instant - ZERO).total_seconds() // 60))

    sent: tuple[Any, ...] = ()
    if record.state not in WITH_CASE:
        sent = (
            record.was_refused, record.error_types, record.claim_hash, record.body_hash, min(record.attempts, 1),
            min(record.unanswered, 2), since(record.intent_at), since(record.last_attempt_at), since(record.absent_since),
            ago(world.unknown_at), ago(world.absent_at), world.version, world.is_wanted,
        )  # fmt: skip
    return (
        record.state, sent, tuple((one.version, max(one.visible_at - world.now, 0)) for one in world.cases),
        tuple(sorted((keys[one.key], ago(one.first_at), one.version, one.case) for one in world.used)),
        tuple(sorted((keys[one.key], one.version, ago(one.sent_at), ago(one.at)) for one in world.late)),
        tuple((keys[key], ago(first)) for key, first in world.firsts), world.is_refusing, world.changes,
    )  # fmt: skip


def events(world: World, changes: int) -> Iterator[World]:
    """What may happen between two runs. At most `changes` of source and client."""
    yield replace(world, now=world.now + SETTLED)
    if world.changes < changes:
        changed = replace(world, changes=world.changes + 1)
        yield replace(changed, version=1 - world.version)
        yield replace(changed, is_wanted=not world.is_wanted)
        yield replace(changed, is_refusing=not world.is_refusing)


def explore(model: Model, beginnings: Iterable[World], *, changes: int = 0) -> tuple[list[State], int]:
    """Every state that runs, crashes and events lead to, and the number of runs. Raises Broken."""
    todo = [State(Record("tenant", IDENTITY.reference), world) for world in beginnings]
    seen = {canonical(state, model.keys): state for state in todo}
    came_from: dict[int, State] = {}
    runs = 0
    while todo:
        state = todo.pop(0)
        successors = _successors(model, state, changes)
        while True:
            try:
                following = next(successors, None)
            except Broken as broken:
                raise Broken(f"{broken}; after {_way_to(state, came_from)}") from None
            if following is None:
                break
            runs += 1
            name = canonical(following, model.keys)
            if name not in seen and following.record.generation < MAX_GENERATIONS:
                seen[name] = following
                came_from[id(following)] = state
                todo.append(following)
    return list(seen.values()), runs


def ends_well(model: Model, state: State) -> bool:
    """Whether the claim comes to a case, or says what else it is, once requests are answered and time passes."""
    state = State(state.record, replace(state.world, is_refusing=False))
    for _ in range(2 * model.keys // SETTLED + 6):
        state = model.run(state, Choices([]), is_fair=True)
        state = State(state.record, replace(state.world, now=state.world.now + SETTLED))
    record = state.record
    if record.state in WITH_CASE:
        return bool(state.world.cases)
    if record.state == SENT:
        return (record.message or "").startswith(HUMAN)
    return record.state == CONFLICT or not state.world.is_wanted


def _way_to(state: State | None, came_from: dict[int, State]) -> str:
    """The states on the way, in short."""
    way: list[str] = []
    while state is not None:
        record, world = state.record, state.world
        way.append(f"[{world.now} min: {record.state}, generation {record.generation}, {world}]")
        state = came_from.get(id(state))
    return "\n".join(reversed(way))


def _successors(model: Model, state: State, changes: int) -> Iterator[State]:
    for world in events(state.world, changes):
        yield State(state.record, world)
    script: list[int] | None = []
    while script is not None:
        choices = Choices(script)
        yield model.run(state, choices)
        script = choices.following()
