"""Claims whose lookup or preview failed, and when a plan gives up: an outage, a refused key, or no requests left."""

from __future__ import annotations

from collections import Counter

from debitura_pipeline.api.write_budget import DAY_RESERVE
from debitura_pipeline.errors import ApiError, RateLimitExhausted, RefusedError
from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.lookups import TooManyCases
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.sessions import Account, CustomerApi, TokenRefused
from debitura_pipeline.submission.states import Record

NOT_ALLOWED = (401, 403)
NOT_REACHED = f"{plan.UNANSWERED}: the limit of requests is used up"
# Claims in a row without a lookup or preview, which cost many tries each: of one client, its others are left; of whatever clients,
# it is the API.
MAX_OF_CLIENT = 3
MAX_FAILURES = 9
REQUESTS_TO_SEND = 4  # of a claim: its second lookups, or a new token, and its request
RESERVE = 100  # for what goes on beside them


class LookupFailures:
    """For one plan. `stopped`: why the remaining claims are not looked up, None if they are. `is_applied`: then requests are kept
    for sending what is planned."""

    def __init__(self, customer: CustomerApi, *, is_applied: bool) -> None:
        self._customer, self._is_applied = customer, is_applied
        self._lookups, self._previews, self._of_client = 0, 0, Counter[str]()
        self.stopped: str | None = None

    def ensure_requests(self, due: int | None) -> None:
        """Raises RateLimitExhausted once no claim can be looked up any more. `due`: claims that are to be sent so far; None for
        one in doubt, which is looked up as long as there are requests at all."""
        if due is not None and self.stopped is not None:
            raise RateLimitExhausted(self.stopped)
        left = self._customer.check_reserve()
        kept = REQUESTS_TO_SEND * ((due or 0) + 1) + RESERVE
        if due is not None and self._is_applied and min(left.hour, left.day - DAY_RESERVE) <= kept:
            what = "hour" if left.hour <= kept else "day"
            kept_for = f"submitting the {due:,} claims that were looked up" if due else "what goes on beside this run"
            raise RateLimitExhausted(
                f"The rest of the {what}'s requests is kept for {kept_for}. Run again in "
                f"{'an hour' if what == 'hour' else 'a day'} for the others."
            )

    def is_given_up(self, account: Account) -> bool:
        """Whether no more claims of a client are looked up that are not in doubt."""
        return self._of_client[account.creditor_id] >= MAX_OF_CLIENT

    def was_looked_up(self) -> None:
        """A claim had all its lookups."""
        self._lookups = 0

    def was_previewed(self, account: Account) -> None:
        """A claim had its preview."""
        self._previews = 0
        del self._of_client[account.creditor_id]

    def after_lookup(self, record: Record, row: SourceRow[Claim] | None, error: ApiError) -> PlannedClaim:
        """The claim as it stays after a lookup that failed; the others go on. Raises the error if the partner's key is refused, or
        if this happens time and again."""
        if _is_outage(error):
            self._lookups += 1
            self._of_client[record.creditor_id or ""] += 1
            if self._lookups == MAX_FAILURES:
                raise error
        return self._left(record, row, error)

    def after_preview(
        self, record: Record, row: SourceRow[Claim] | None, account: Account, error: ApiError
    ) -> PlannedClaim:
        """The claim as it stays after a preview that failed. Raises the error if the partner's key is refused, or if this
        happens time and again."""
        if _is_outage(error):
            self._previews += 1
            self._of_client[account.creditor_id] += 1
            if self._previews == MAX_FAILURES:
                raise error
        return self._left(record, row, error)

    def _left(self, record: Record, row: SourceRow[Claim] | None, error: ApiError) -> PlannedClaim:
        if isinstance(error, RateLimitExhausted):
            self.stopped = self.stopped or error.fault
            return plan.postponed(record, row, NOT_REACHED)
        if isinstance(error, TokenRefused):
            return plan.waiting(record, row, str(error))
        if isinstance(error, RefusedError) and error.status in NOT_ALLOWED:
            raise error
        return plan.postponed(record, row, f"{plan.UNANSWERED}: {error}")


def _is_outage(error: ApiError) -> bool:
    """A refusal concerns its claim alone; an outage would meet every other one."""
    return not isinstance(error, RateLimitExhausted | TokenRefused | RefusedError | TooManyCases)
