"""One claim's steps through the protocol, as a generator: it yields the actions to take and is sent their results.

It does no input or output itself, so that the model in the tests runs this very code, and can stop it between any two actions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from debitura_pipeline.submission.answers import Answer, Created, NoAnswer, NoEffect, Refusal, answered, intent
from debitura_pipeline.submission.decision import Evidence, LookUp, Send, Settle, Stop, Wanted, next_step
from debitura_pipeline.submission.states import Record

MAX_REQUESTS = 4  # per claim and run: one, one with a new token, and two that were rate-limited or unanswered


@dataclass(frozen=True, slots=True)
class Store:
    """Store the record durably before going on."""

    record: Record


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait until a request may be sent."""


@dataclass(frozen=True, slots=True)
class Post:
    """Send the claim with this key; the answer is sent back."""

    key: str
    stored_at: datetime  # a request that waited for its turn for too long after this is dropped


@dataclass(frozen=True, slots=True)
class NewToken:
    """Issue the client's token again."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, as the API asked."""

    wait_s: float | None


Action: TypeAlias = LookUp | Turn | Store | Post | NewToken | Pause
Steps: TypeAlias = Generator[Action, Any, Record]


def submit(
    record: Record,
    wanted: Wanted | None,
    now: Callable[[], datetime],
    *,
    evidence: Evidence | None = None,
    keys_honoured: bool = False,
) -> Steps:
    """Bring one claim as far as it gets now. Returns its record, which is stored.

    Yields LookUp (expects Evidence, or None if a lookup failed), Turn, Store, NewToken and Pause (expect nothing), Post (expects
    an Answer).
    """
    requests, has_turn = 0, False
    while True:
        step = next_step(record, wanted, evidence, now(), keys_honoured=keys_honoured)
        match step:
            case LookUp():
                evidence = yield step
                if evidence is None:
                    return record
            case Settle(settled):
                yield Store(settled)
                return settled
            case Stop(why):
                if why is not None and (waiting := record.waiting_because(why)) != record:
                    record = waiting
                    yield Store(record)
                return record
            case Send() if requests < MAX_REQUESTS and not has_turn:
                yield Turn()
                has_turn = True  # and decide again, since time has passed
            case Send(generation) if wanted is not None and requests < MAX_REQUESTS:
                requests, has_turn = requests + 1, False
                record, answer = yield from _send(record, wanted, generation, now)
                if (yield from _is_final(answer, requests)):
                    return record
                evidence = None
            case _:
                return record


def _send(
    record: Record, wanted: Wanted, generation: int, now: Callable[[], datetime]
) -> Generator[Action, Any, tuple[Record, Answer]]:
    """One request: the intent is stored before, the outcome after it."""
    record = intent(record, wanted, generation, now())
    assert record.idempotency_key is not None
    assert record.last_attempt_at is not None
    yield Store(record)
    answer: Answer = yield Post(record.idempotency_key, record.last_attempt_at)
    record = answered(record, answer, now())
    yield Store(record)
    return record, answer


def _is_final(answer: Answer, requests: int) -> Generator[Action, Any, bool]:
    """Whether this run is done with the claim; if not, what has to precede the next step is done."""
    match answer:
        case Created():
            return True
        case Refusal():
            return not answer.names_a_case
        case NoEffect("rate_limited", wait_s):
            yield Pause(wait_s)
            return False
        case NoEffect("unauthorized") if requests == 1:
            yield NewToken()
            return False
        case NoEffect():
            return True
        case NoAnswer():
            return False
