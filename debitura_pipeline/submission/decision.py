"""What to do next for one claim, decided from its record, what lookups showed, and the clock. Pure.

The argument that no claim is sent twice is in docs/submitting.md; `tests/submission/test_model.py` explores it exhaustively.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from debitura_pipeline.submission.states import (
    ALREADY_THERE,
    CLIENT_TYPES,
    CONFLICT,
    DUPLICATE_TYPES,
    HUMAN,
    KEY_CONFLICT_TYPES,
    REFUSED,
    SUBMITTED,
    WAITING,
    WITH_CASE,
    ClaimIdentity,
    Record,
)

QUIET = timedelta(minutes=15)  # after a request: its effect, if it had one, shows in the lookups
KEY_LIFETIME = timedelta(hours=12)
RESEND_WITHIN = KEY_LIFETIME - timedelta(minutes=5)  # a request may be on its way for a while
FRESH = timedelta(seconds=60)  # lookups older than this do not justify a request
MAX_GENERATION = 20  # refused that often, something else is wrong
# Previews that see nothing missing while requests are refused for it: a few new keys at once, then fewer and fewer.
PROMPT_GENERATIONS = 2
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=15), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the source says about a claim now. `body_hash`: keyed hash of the bytes that a request would carry."""

    identity: ClaimIdentity
    claim_hash: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class FoundCase:
    """A case that a lookup showed under the claim's reference. `differences`: fields in which it differs from the claim.
    `is_of_other`: it is recorded as the case of another row."""

    case_id: str
    reference: str | None
    differences: tuple[str, ...] = ()
    is_of_other: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all lookups together showed. `at`: before the first of them began. `swept_at`: when the newest complete reading of
    all cases began, None if there was none. `of_others`: ids of cases whose references are spelled alike and are other rows'."""

    at: datetime
    cases: tuple[FoundCase, ...] = ()
    swept_at: datetime | None = None
    of_others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask before anything else."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the claim with the key of `generation`."""

    generation: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Store this record; send nothing."""

    record: Record


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing to do now. `why`: for the record's message, None if there is nothing to say."""

    why: str | None = None


Step: TypeAlias = LookUp | Send | Settle | Stop

IN_DOUBT = "a request is unanswered and no case is shown; a later run goes on"
WAITS_FOR_SWEEP = (
    "a request is unanswered and no case is shown; waits for a proven reading of all cases, `debitura nightly`, or for "
    "`debitura cases settle`"
)
SETTLE = (
    "find out at Debitura whether it has a case, then run `debitura cases settle TENANT REFERENCE` with `--case ID` or "
    "`--no-case`"
)
CHANGED = f"{HUMAN}the row changed while a request is unanswered; restore the row, or {SETTLE}"
GONE = f"{HUMAN}the source has no valid row for this claim while a request is unanswered; restore the row, or {SETTLE}"
INVISIBLE = f"{HUMAN}the API says that the reference is taken, and no lookup shows the case; {SETTLE}"
TAKEN_BY_OTHER = (
    f"{HUMAN}the API says that the reference is taken, and does not seem to tell it from another row's, whose case is {{case_id}}; "
    "give this row another reference, and run `debitura cases settle TENANT REFERENCE --no-case` for the old one"
)
KEY_TAKEN = f"{HUMAN}the API knows the idempotency key with other content; {SETTLE}"
REFUSED_OFTEN = HUMAN + f"refused {MAX_GENERATION} times; remove the cause"
REFUSED_DESPITE_PREVIEW = (
    "refused for what the client has to provide, which the preview does not name; tried again later"
)
CLOCK_BEHIND = HUMAN + "this machine's clock is behind the time of the last request; set it right"
UNSEEN = (
    f"{HUMAN}the case that was created for this claim differs from it and is not shown; if the case is right, correct the row, and "
    "it is adopted once it is shown; if it was deleted, run `debitura cases settle TENANT REFERENCE --no-case`"
)
VANISHED = HUMAN + "the case that differed is no longer shown; correct the row, or file the case by hand"


def next_step(
    record: Record, wanted: Wanted | None, evidence: Evidence | None, now: datetime, *, keys_honoured: bool = False
) -> Step:
    """The next step for a claim. `wanted` is None where the source has no valid row for it, or none that may be sent now.

    `keys_honoured`: measured on the test host (`submission/facts.py`); it only shortens the wait before a repeat.
    """
    if record.state in WITH_CASE or not (record.is_in_doubt or _may_be_sent(record, wanted)):
        return Stop()
    if evidence is None or not timedelta(0) <= now - evidence.at <= FRESH:
        return LookUp()
    if evidence.cases:
        return _found(record, wanted, evidence, now)
    if record.is_in_doubt:
        return _in_doubt(record, wanted, evidence, now, keys_honoured)
    assert wanted is not None
    return _absent(record, wanted, evidence, now)


def _may_be_sent(record: Record, wanted: Wanted | None) -> bool:
    """Whether a claim that is not in doubt may be sent, as far as this can be told without lookups."""
    if wanted is None:
        return False
    return not record.was_refused or has_cause_changed(record, wanted)


def has_cause_changed(record: Record, wanted: Wanted) -> bool:
    """Whether the cause of a refusal is gone: the row changed, or it was the client's to remove and the preview, asked anew,
    no longer names it, without which the claim would not be wanted."""
    return record.claim_hash != wanted.claim_hash or record.state != REFUSED or bool(record.types & CLIENT_TYPES)


def _absent(record: Record, wanted: Wanted, evidence: Evidence, now: datetime) -> Step:
    """Not in doubt, and no case is there: the first request, or one after a refusal whose cause is gone."""
    if record.state == CONFLICT and record.has_created:
        return Stop(UNSEEN)
    if record.state == CONFLICT and (record.unanswered or _is_as_it_was(record, wanted, evidence)):
        return Stop(VANISHED)
    if record.was_refused:
        if record.generation >= MAX_GENERATION and not record.types & CLIENT_TYPES:  # which may wait for weeks
            return Stop(REFUSED_OFTEN)
        if record.claim_hash == wanted.claim_hash and _is_paused(record, now):
            return Stop(REFUSED_DESPITE_PREVIEW)
        return _next_generation(record, evidence) if record.unanswered else Send(record.generation + 1)
    is_unused = record.body_hash in (None, wanted.body_hash) and not record.has_created
    return Send(record.generation if is_unused else record.generation + 1)


def _is_as_it_was(record: Record, wanted: Wanted, evidence: Evidence) -> bool:
    """Whether neither the row of a claim in conflict changed nor its case turned out to be another row's."""
    return record.claim_hash == wanted.claim_hash and record.case_id not in evidence.of_others


def _is_paused(record: Record, now: datetime) -> bool:
    """Whether a claim that is refused for the client's papers, although its preview names none, waits before the next key."""
    repeats = record.generation - PROMPT_GENERATIONS
    if repeats < 0 or record.last_attempt_at is None:
        return False
    pause = min(FIRST_PAUSE * int(2 ** min(repeats, MAX_GENERATION)), LONGEST_PAUSE)
    return timedelta(0) <= now - record.last_attempt_at < pause


def _in_doubt(record: Record, wanted: Wanted | None, evidence: Evidence, now: datetime, keys_honoured: bool) -> Step:
    """Requests are unanswered, or answered in a way that says that there is a case; and none is shown."""
    intent_at, quiet = _since_intent(record), _quiet(record, evidence)
    if quiet < timedelta(0):
        return Stop(CLOCK_BEHIND)
    if record.types & (KEY_CONFLICT_TYPES | DUPLICATE_TYPES):
        why = KEY_TAKEN if record.types & KEY_CONFLICT_TYPES else _invisible(evidence)
        return Stop(IN_DOUBT if quiet < QUIET else why)
    if wanted is None or not _is_same_request(record, wanted):
        return Stop(GONE if wanted is None else CHANGED)
    if record.was_refused:  # it counts once it is known that the unanswered request before it created no case
        return Stop(IN_DOUBT) if quiet < KEY_LIFETIME else Settle(refused(record, now))
    if now - intent_at < RESEND_WITHIN:
        # What a repeat meets while the first request is still being processed is not known, so only a request that was answered,
        # if only by a 5xx, is repeated before that.
        is_over = quiet >= QUIET or (keys_honoured and record.http_status is not None)
        return Send(record.generation) if is_over else Stop(IN_DOUBT)
    return _next_generation(record, evidence)


def _invisible(evidence: Evidence) -> str:
    """Why a case that the API speaks of is not shown: it may be that of another spelling."""
    other = min(evidence.of_others, default=None)
    return INVISIBLE if other is None else TAKEN_BY_OTHER.format(case_id=other)


def _is_same_request(record: Record, wanted: Wanted) -> bool:
    """Whether the row still gives the bytes that were sent."""
    if record.body_hash is None:
        return record.claim_hash == wanted.claim_hash
    return record.body_hash == wanted.body_hash


def _next_generation(record: Record, evidence: Evidence) -> Step:
    """A new key despite unanswered requests: only when lookups, twice, and a reading of all cases agree that there is no case,
    long after the last request."""
    quiet = _quiet(record, evidence)
    if quiet < KEY_LIFETIME:
        return Stop(IN_DOUBT)
    if record.absent_since is None or record.absent_since > evidence.at:
        return Settle(record.having(absent_since=evidence.at, message=IN_DOUBT))
    if evidence.at - record.absent_since < QUIET:
        return Stop(IN_DOUBT)
    if evidence.swept_at is None or evidence.swept_at - (evidence.at - quiet) < QUIET:
        return Stop(WAITS_FOR_SWEEP)
    return Send(record.generation + 1)


def _quiet(record: Record, evidence: Evidence) -> timedelta:
    """From the last request to the lookups."""
    if record.last_attempt_at is None:
        raise ValueError("a claim in doubt without a request")
    return evidence.at - record.last_attempt_at


def _since_intent(record: Record) -> datetime:
    if record.intent_at is None:
        raise ValueError("a claim in doubt without an intent")
    return record.intent_at


def _found(record: Record, wanted: Wanted | None, evidence: Evidence, now: datetime) -> Step:
    """A case is there. It is adopted if it is the only one and agrees with the claim."""
    cases = {case.case_id: case for case in evidence.cases}
    differences = sorted({name for case in evidence.cases for name in case.differences})
    case = next(iter(cases.values()))
    if wanted is not None and not record.is_in_doubt:  # the row that is compared; that of a request otherwise
        record = record.having(claim_hash=wanted.claim_hash)
    if len(cases) == 1 and not differences and not case.is_of_other:
        return Settle(adopted(record, case, now))
    if len(cases) > 1:
        return Settle(_conflict(record, f"{len(cases)} cases have this reference", now))
    what = "is recorded as that of another row" if case.is_of_other else f"differs in {', '.join(differences)}"
    fault = f"the case {case.case_id} {what}"
    return Settle(_conflict(record, fault, now).having(case_id=case.case_id, reference=case.reference))


def _conflict(record: Record, fault: str, now: datetime) -> Record:
    return record.having(state=CONFLICT, outcome_at=now, absent_since=None, message=HUMAN + fault)


def adopted(record: Record, case: FoundCase, now: datetime) -> Record:
    """The record of a claim whose case was found: `submitted` where an unanswered request of ours may have created it."""
    is_ours = bool(record.unanswered or record.has_created or record.types & KEY_CONFLICT_TYPES)
    return record.having(
        state=SUBMITTED if is_ours else ALREADY_THERE,
        case_id=case.case_id,
        reference=case.reference,
        outcome_at=now,
        absent_since=None,
        unanswered=0,
        message=None,
    )


def refused(record: Record, now: datetime) -> Record:
    """The record of a claim that the API refused; `waiting_for_client` if only the client can remove the cause."""
    is_clients = bool(record.types) and record.types <= CLIENT_TYPES
    state = WAITING if is_clients else REFUSED
    return record.having(state=state, outcome_at=now, absent_since=None, message=None)
