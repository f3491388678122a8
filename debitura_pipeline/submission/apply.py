"""Send what a plan says: each claim's steps, with every intent and outcome committed before the next step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.api.write_budget import WriteBudget
from debitura_pipeline.api.writes import WriteResponse
from debitura_pipeline.errors import ApiError, RateLimited, RateLimitExhausted, TransientApiError
from debitura_pipeline.outbound.brake import Brake, Braked
from debitura_pipeline.submission.answers import Answer, Created, NoAnswer, NoEffect, Refusal
from debitura_pipeline.submission.decision import FRESH, Evidence, LookUp
from debitura_pipeline.submission.gather import Gatherer
from debitura_pipeline.submission.lookups import Expected, found_case, names_reference
from debitura_pipeline.submission.plan import PlannedClaim, expected_case
from debitura_pipeline.submission.record import Records
from debitura_pipeline.submission.sessions import CustomerApi, TokenRefused
from debitura_pipeline.submission.states import FINAL_STATUSES, PLANNED, Record
from debitura_pipeline.submission.steps import NewToken, Pause, Post, Store, Turn, submit

PATH, WHAT = "/cases", "Submitting a claim"
SILENT_429_WAIT_S = 60.0
MOST_LIMITED = 4  # answers HTTP 429 in a row, each waited out, of whatever claims: then the apply ends
RATE_LIMITED = 429

OnOutcome = Callable[[PlannedClaim], None]


class NotSent(Exception):
    """A request waited so long after its intent that it is dropped."""


@dataclass
class AppliedSubmissions:
    """The claims as they are after the apply. `stopped`: why not all were tried, None if they were."""

    claims: list[PlannedClaim] = field(default_factory=list)
    sent: int = 0
    stopped: str | None = None


class Submitter:
    """Sends claims, one at a time; those in doubt first. `on_outcome` is called after each."""

    def __init__(
        self,
        gatherer: Gatherer,
        customer: CustomerApi,
        budget: WriteBudget,
        records: Records,
        runtime: Runtime,
        brake: Brake | None = None,
    ) -> None:
        self._gatherer, self._customer, self._budget = gatherer, customer, budget
        self._records, self._runtime = records, runtime
        self._brake = brake or Brake("claims")
        self._sent, self._limited = 0, 0
        self._unnoted: Answer | None = None

    async def apply_all(
        self, claims: Sequence[PlannedClaim], on_outcome: OnOutcome | None = None
    ) -> AppliedSubmissions:
        """Bring the claims that are due as far as they get. Raises WarehouseError."""
        done: dict[int, PlannedClaim] = {}
        stopped = None
        order = sorted(
            (place for place, one in enumerate(claims) if one.is_due), key=lambda place: _turn(claims[place])
        )
        for place in order:
            try:
                done[place] = await self._apply(claims[place])
            except (RateLimitExhausted, Braked) as error:
                stopped = str(error)
                break
            if on_outcome is not None:
                on_outcome(done[place])
        after = [done.get(place) or (self._latest(one) if one.is_due else one) for place, one in enumerate(claims)]
        return AppliedSubmissions(after, self._sent, stopped)

    def _latest(self, claim: PlannedClaim) -> PlannedClaim:
        """The claim with what was stored of it before the apply stopped."""
        stored = self._records.latest.get((claim.record.creditor_id, claim.record.creditor_reference))
        return claim if stored is None or stored == claim.record else _after(claim, stored)

    async def _apply(self, claim: PlannedClaim) -> PlannedClaim:
        """One claim's steps. Raises RateLimitExhausted and Braked, between two requests; WarehouseError."""
        if claim.account is None:
            return claim
        if not claim.record.is_in_doubt and (why := self._gatherer.doubts.why_waits(claim.record)):
            return replace(claim, reasons=(why,))
        steps = submit(
            claim.record,
            claim.wanted,
            self._runtime.now,
            evidence=_usable(claim),
            keys_honoured=self._gatherer.keys_honoured,
        )
        reply: Any = None
        record = claim.record
        try:
            while True:
                action = steps.send(reply)
                if isinstance(action, Store):
                    record = action.record
                reply = await self._act(action, claim, record)
        except StopIteration as ended:
            record = ended.value
            self._gatherer.finder.note_case(record)
            self._gatherer.doubts.note(record)
        finally:
            steps.close()
        return _after(claim, record)

    async def _act(self, action: Any, claim: PlannedClaim, record: Record) -> Evidence | Answer | None:
        assert claim.account is not None
        match action:
            case LookUp():
                return await self._gatherer.finder.try_look_up(record, claim.account, _expected(claim))
            case Turn():
                await self._budget.acquire()
            case Store(stored):
                self._records.store([stored])
                self._note()
            case Post():
                answer = await self._post(action, claim)
                self._unnoted = answer
                if not (isinstance(answer, NoEffect) and answer.why == "rate_limited"):
                    self._limited = 0
                return answer
            case NewToken():
                await self._customer.forget(claim.account)
            case Pause(wait_s):
                self._limited += 1
                if self._limited == MOST_LIMITED:
                    raise RateLimitExhausted(
                        f"The API answered HTTP 429 to {MOST_LIMITED} requests in a row, each sent after the wait that it asked "
                        "for. What was sent is recorded: run again later."
                    )
                self._budget.pause(SILENT_429_WAIT_S if wait_s is None else wait_s)
        return None

    async def _post(self, post: Post, claim: PlannedClaim) -> Answer:
        """One request, and what its answer means. Whatever is not understood leaves the claim in doubt."""
        assert claim.account is not None
        assert claim.body is not None

        def drop_if_late() -> None:
            if not FRESH * 0 <= self._runtime.now() - post.stored_at <= FRESH:
                raise NotSent

        try:
            response = await self._customer.write(
                claim.account, "POST", PATH, claim.body, key=post.key, what=WHAT, on_turn=drop_if_late
            )
        except NotSent:
            return NoEffect("not_sent")
        except TokenRefused:
            return NoEffect("unauthorized")
        except RateLimited as error:
            return NoEffect("rate_limited", error.wait_s)
        except TransientApiError as error:
            return NoAnswer(error.facts.get("status"))
        except ApiError:
            return NoAnswer()
        return understood(response, _expected(claim))

    def _note(self) -> None:
        """Count an answer for the brake, once it is stored. Raises Braked."""
        answer, self._unnoted = self._unnoted, None
        if answer is None or isinstance(answer, NoEffect):
            return
        self._sent += 1
        if not (isinstance(answer, Refusal) and answer.names_a_case):
            is_unknown = isinstance(answer, NoAnswer) and not answer.has_case_id
            self._brake.note(is_bad=isinstance(answer, Refusal) or is_unknown)


def understood(response: WriteResponse, expected: Expected) -> Answer:
    """What an answer to `POST /cases` means. A status that is not documented may be a proxy's, in front of or behind which the
    request had its effect; 409 may say that another request with the key is under way."""
    status = response.status
    if 200 <= status < 300:
        try:
            case = found_case(response.document, expected)
        except ApiError:
            return NoAnswer(status)
        return Created(status, case) if names_reference(response.document) else NoAnswer(status, has_case_id=True)
    if status == 401 and not response.is_unreadable:
        return NoEffect("unauthorized")
    if status in FINAL_STATUSES and response.is_api_error:
        types = tuple(dict.fromkeys([*response.codes, *response.fields])) or (f"http_{status}",)
        return Refusal(status, types)
    return NoAnswer(status)


def _turn(claim: PlannedClaim) -> tuple[bool, str]:
    """Claims in doubt first, and one client after the other."""
    return not claim.record.is_in_doubt, claim.record.external_tenant_id


def _usable(claim: PlannedClaim) -> Evidence | None:
    """The plan's lookups, as long as they are fresh; `next_step` checks that."""
    return None if claim.record.is_in_doubt else claim.evidence


def _expected(claim: PlannedClaim) -> Expected:
    if claim.row is not None and claim.row.row is not None:
        return expected_case(claim.row.row)
    record = claim.record
    return Expected(record.creditor_reference, record.amount, record.currency)


def _after(claim: PlannedClaim, record: Record) -> PlannedClaim:
    types = (record.error_types or "").replace(",", ", ")
    reasons = filter(None, (record.message, types if record.case_id is None else None, _unfinished(record)))
    return replace(claim, record=record, reasons=tuple(reasons))


def _unfinished(record: Record) -> str | None:
    """Why a claim is not where it was to go."""
    if record.is_in_doubt and record.http_status is not None:
        return f"the last answer was HTTP {record.http_status}"
    if record.state != PLANNED:
        return None
    if record.http_status == RATE_LIMITED:
        return "not sent: the API asks to wait (HTTP 429)"
    return "not sent: a lookup was not answered, or the request waited too long for its turn"
