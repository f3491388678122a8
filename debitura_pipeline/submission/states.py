"""A claim's record as kept in `ops.submissions`, and the states that it may have."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Self
from uuid import UUID, uuid5

INVALID = "invalid"  # the row breaks a rule
WAITING = "waiting_for_client"  # not registered or signed, KYC missing, token refused
INELIGIBLE = "ineligible"
PLANNED = "planned"
SENT = "sent"  # in doubt: a request may have had an effect that is not known
SUBMITTED = "submitted"
ALREADY_THERE = "already_there"
CONFLICT = "conflict"
REFUSED = "refused"
CHANGED_AFTER = "changed_after"

NO_ROW = "the source no longer has a row for it"  # of a claim that nobody wants any more, unless it is in doubt or has a case
BY_HAND = "settled by a person"
UNLISTED = f"{BY_HAND}; the case is not among those that are listed"
HUMAN = "needs a human: "  # how a message begins that no later run can settle
WRONG_CASE = f"{HUMAN}a person named a case that is not the claim's."  # how the message of such a claim begins

STATES = (
    INVALID, WAITING, INELIGIBLE, PLANNED, SENT, SUBMITTED, ALREADY_THERE, CONFLICT, REFUSED, CHANGED_AFTER
)  # fmt: skip
WITH_CASE = frozenset({SUBMITTED, ALREADY_THERE, CHANGED_AFTER})
# What the next decision rests on: none of these is replaced because a client is not ready.
DECISIVE = (SENT, SUBMITTED, ALREADY_THERE, CHANGED_AFTER, CONFLICT, REFUSED)
FINAL_STATUSES = frozenset({400, 422})  # refusals of the API itself; another status may be an intermediary's

NAMESPACE = UUID("6f1d9f0a-3f5f-5c0e-9d4a-8a6f8f6f2b7c")
DUPLICATE_TYPES = frozenset({"duplicatereference", "duplicatecreditorreference", "idempotencyviolation"})
KEY_CONFLICT_TYPES = frozenset({"idempotencyconflict"})
CLIENT_TYPES = frozenset(
    {"missingpowerofattorney", "missingkycverification", "missingdebtcollectioncontract", "creditorblocked"}
)


@dataclass(frozen=True, slots=True)
class ClaimIdentity:
    """What makes a claim one claim. A tenant id alone does not: it can be given to another client later."""

    environment: str
    creditor_id: str
    reference: str

    def key(self, generation: int) -> str:
        """The idempotency key of a generation. The same identity always gives the same key, so a lost record does not give
        the claim a new one."""
        name = json.dumps([self.environment, self.creditor_id, self.reference, generation], ensure_ascii=True)
        return str(uuid5(NAMESPACE, name))


@dataclass(frozen=True, slots=True)
class Record:
    """One row of `ops.submissions`. Keys are as stored, so they may be pseudonyms; instants are aware UTC.

    `unanswered`: requests whose effect is unknown. `http_status` and `error_types` are of the last answer to the current
    generation's key.
    """

    external_tenant_id: str
    creditor_reference: str
    creditor_id: str | None = None
    claim_hash: str | None = None
    body_hash: str | None = None
    generation: int = 0
    idempotency_key: str | None = None
    state: str = PLANNED
    http_status: int | None = None
    error_types: str | None = None
    attempts: int = 0
    unanswered: int = 0
    intent_at: datetime | None = None
    last_attempt_at: datetime | None = None
    absent_since: datetime | None = None
    outcome_at: datetime | None = None
    case_id: str | None = None
    reference: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    is_eligible: bool | None = None
    success_fee_pct: Decimal | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"{self.state!r} is none of {', '.join(STATES)}")
        if self.unanswered and self.last_attempt_at is None:
            raise ValueError("requests without an answer, and none was sent")

    def having(self, **changes: object) -> Self:
        """The record with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def waiting_because(self, why: str | None) -> Self:
        """The record with why nothing is done now, after what was wrong with the case that a person named for it, if one did."""
        before = self.message or ""
        if why is None or not before.startswith(WRONG_CASE):
            return self.having(message=why)
        return self.having(message=f"{before.partition('; ')[0].rstrip('.')}; {why.removeprefix(HUMAN)}")

    @property
    def is_in_doubt(self) -> bool:
        return self.state == SENT

    @property
    def has_unseen_case(self) -> bool:
        """Whether a person named a case that no reading had shown: the id may have been mistyped."""
        return self.state in WITH_CASE and self.message == UNLISTED

    @property
    def needs_human(self) -> bool:
        """Whether no later run can settle it without a person."""
        return (self.message or "").startswith(HUMAN)

    @property
    def is_wanted(self) -> bool:
        """Whether the source had a row for it when it was looked at last, or what was sent still has to be settled."""
        return self.message != NO_ROW

    @property
    def was_refused(self) -> bool:
        """Whether the API has refused the current generation's key, for which that answer is final."""
        return self.http_status in FINAL_STATUSES

    @property
    def has_created(self) -> bool:
        """Whether the API has answered the current generation's key with a case. While a person has to decide about that case, or
        says that it is gone, the key is used up."""
        return self.http_status is not None and 200 <= self.http_status < 300

    @property
    def types(self) -> frozenset[str]:
        """Error types of the last answer, in lower case and without underscores, since spellings vary."""
        return frozenset(normalised(name) for name in (self.error_types or "").split(",") if name)


def normalised(error_type: str) -> str:
    """An error type for comparison."""
    return error_type.replace("_", "").replace("-", "").lower()
