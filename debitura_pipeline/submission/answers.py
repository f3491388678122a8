"""How a claim's record changes when a request is about to be sent, and when its answer is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from debitura_pipeline.submission.decision import FoundCase, Wanted, refused
from debitura_pipeline.submission.states import (
    DUPLICATE_TYPES,
    FINAL_STATUSES,
    KEY_CONFLICT_TYPES,
    PLANNED,
    SENT,
    SUBMITTED,
    WAITING,
    Record,
    normalised,
)

UNAUTHORIZED = "the client's token was refused (HTTP 401)"


@dataclass(frozen=True, slots=True)
class Created:
    """The API created the case, or replayed that answer."""

    status: int
    case: FoundCase


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API refused the request. `types`: error types, and names of fields."""

    status: int
    types: tuple[str, ...] = ()

    @property
    def names_a_case(self) -> bool:
        """Whether it says that there is a case, or that the key was used."""
        return any(normalised(one) in DUPLICATE_TYPES | KEY_CONFLICT_TYPES for one in self.types)


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing that can be understood came back, so the effect is unknown. `status`: HTTP status, if there was one.

    `has_case_id`: it is a 2xx with the id of a case that it does not say to be the claim's; the lookups decide.
    """

    status: int | None = None
    has_case_id: bool = False


@dataclass(frozen=True, slots=True)
class NoEffect:
    """The request was not processed. `wait_s`: how long the API asks to wait."""

    why: Literal["rate_limited", "unauthorized", "not_sent"]
    wait_s: float | None = None


Answer: TypeAlias = Created | Refusal | NoAnswer | NoEffect


def intent(record: Record, wanted: Wanted, generation: int, now: datetime) -> Record:
    """The record to store before a request is sent. Until its answer is stored, the claim is in doubt."""
    is_repeat = record.is_in_doubt and generation == record.generation
    return record.having(
        state=SENT,
        creditor_id=wanted.identity.creditor_id,
        claim_hash=wanted.claim_hash,
        body_hash=wanted.body_hash,
        generation=generation,
        idempotency_key=(record.idempotency_key if is_repeat else None) or wanted.identity.key(generation),
        attempts=record.attempts + 1,
        unanswered=record.unanswered + 1 if is_repeat else 1,
        intent_at=record.intent_at if is_repeat else now,
        last_attempt_at=now,
        absent_since=None,
        outcome_at=None,
        http_status=None,
        error_types=None,
        case_id=None,
        reference=None,
        message=None,
    )


def answered(record: Record, answer: Answer, now: datetime) -> Record:
    """The record once the answer to the request that `intent` announced is known."""
    match answer:
        case Created(status, case):
            return _created(record, status, case, now)
        case NoAnswer(status):  # a 400 that is not the API's is no refusal, neither now nor later
            return record.having(http_status=None if status in FINAL_STATUSES else status)
        case NoEffect(why):
            left = record.unanswered - 1
            state = WAITING if why == "unauthorized" else PLANNED
            status = {"rate_limited": 429, "unauthorized": 401}.get(why)
            known = record.having(unanswered=left, state=SENT if left else state, http_status=status)
            return known.having(message=UNAUTHORIZED) if known.state == WAITING else known
        case Refusal(status, types):
            known = record.having(
                unanswered=record.unanswered - 1, http_status=status, error_types=",".join(types) or None
            )
            return known if answer.names_a_case or known.unanswered else refused(known, now)


def _created(record: Record, status: int, case: FoundCase, now: datetime) -> Record:
    settled = record.having(
        http_status=status, unanswered=0, outcome_at=now, case_id=case.case_id, reference=case.reference
    )
    if case.differences:
        fault = f"needs a human: the case {case.case_id} was created and differs in {', '.join(case.differences)}"
        return settled.having(state="conflict", message=fault)
    return settled.having(state=SUBMITTED)
