"""Claims whose lookup or preview failed, and when a plan gives up: an outage, a refused key, or no requests left."""

from __future__ import annotations

from debitura_pipeline.errors import ApiError, RateLimitExhausted, RefusedError
from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.sessions import CustomerApi, TokenRefused
from debitura_pipeline.submission.states import DECISIVE, PLANNED, Record

NOT_ALLOWED = (401, 403)
NOT_REACHED = f"{plan.UNANSWERED}: the limit of requests is used up"
MAX_FAILURES = 3  # claims in a row that could not be looked up or previewed: then it is the API
REQUESTS_TO_SEND, HOUR_RESERVE = 2, 100  # a claim's second lookup and its request; and what goes on beside them


class LookupFailures:
    """For one plan. `in_a_row`: claims without an answer since the last one that had all its answers. `stopped`: why the remaining
    claims are not looked up, None if they are. `is_applied`: then requests are kept for sending what is planned."""

    def __init__(self, customer: CustomerApi, *, is_applied: bool) -> None:
        self._customer, self._is_applied = customer, is_applied
        self.in_a_row = 0
        self.stopped: str | None = None

    def ensure_requests(self, due: int | None) -> None:
        """Raises RateLimitExhausted once no claim can be looked up any more. `due`: claims that are to be sent so far; None for
        one in doubt, which is looked up as long as there are requests at all."""
        if due is not None and self.stopped is not None:
            raise RateLimitExhausted(self.stopped)
        left = self._customer.check_reserve()
        if due is not None and self._is_applied and left.hour <= REQUESTS_TO_SEND * (due + 1) + HOUR_RESERVE:
            raise RateLimitExhausted(
                f"The rest of the hour's requests is kept for submitting the {due:,} claims that were looked up. Run again in "
                "an hour for the others."
            )

    def claim_after(self, record: Record, row: SourceRow[Claim] | None, error: ApiError) -> PlannedClaim:
        """The claim as it stays after `error`; the others go on. Raises the error if the partner's key is refused, or if this
        happens time and again."""
        if record.state not in DECISIVE:  # what it was before says nothing about a row that is valid now
            record = record.having(state=PLANNED, message=None)
        if isinstance(error, RateLimitExhausted):
            self.stopped = self.stopped or str(error)
            return PlannedClaim(record, row, reasons=(NOT_REACHED,))
        if isinstance(error, TokenRefused):
            return plan.waiting(record, row, str(error))
        status = error.status if isinstance(error, RefusedError) else None
        if status in NOT_ALLOWED:
            raise error
        if status is None:  # a refusal concerns this claim alone; an outage would meet every other one
            self.in_a_row += 1
            if self.in_a_row == MAX_FAILURES:
                raise error
        return PlannedClaim(record, row, reasons=(f"{plan.UNANSWERED}: {error}",))
