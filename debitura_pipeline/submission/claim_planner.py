"""Plan one claim of a client that is linked, or was: look its case up, decide, and preview what would be sent for the first
time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import ApiError
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.registration.listed import ListedClient
from debitura_pipeline.source import Claim, SourceRow
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.body import case_body
from debitura_pipeline.submission.decision import SETTLE, LookUp, Send, Settle, Stop, Wanted, next_step
from debitura_pipeline.submission.evidence import CaseFinder
from debitura_pipeline.submission.in_doubt import ClaimsInDoubt
from debitura_pipeline.submission.lookup_failures import LookupFailures
from debitura_pipeline.submission.lookups import Expected, TooManyCases
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.previews import ask_preview
from debitura_pipeline.submission.sessions import Account, CustomerApi
from debitura_pipeline.submission.states import HUMAN, PLANNED, SENT, ClaimIdentity, Record


class ClaimPlanner:
    """Plans claims one at a time. `due`: how many claims of the plan are to be sent so far, which requests are kept for."""

    def __init__(
        self,
        environment: str,
        runtime: Runtime,
        customer: CustomerApi,
        finder: CaseFinder,
        doubts: ClaimsInDoubt,
        failures: LookupFailures,
        pseudonyms: Pseudonyms,
        *,
        keys_honoured: bool,
    ) -> None:
        self._environment, self._runtime, self._customer = environment, runtime, customer
        self._finder, self._doubts, self._failures = finder, doubts, failures
        self._pseudonyms, self._keys_honoured = pseudonyms, keys_honoured
        self.due = 0

    async def ready(self, record: Record, row: SourceRow[Claim], account: Account) -> PlannedClaim:
        """A valid claim of a client that is ready: looked up, and previewed if it would be sent for the first time. Raises
        ApiError."""
        claim = row.row
        assert claim is not None
        body = case_body(claim)
        identity = ClaimIdentity(self._environment, account.creditor_id, claim.reference)
        wanted = Wanted(identity, row.row_hash, self._pseudonyms.digest(b"case:" + body))
        before = record
        if record.state != SENT:
            record = plan.with_row(record, row)
        planned = PlannedClaim(record, row, account, wanted, body)
        if isinstance(next_step(record, wanted, None, self._runtime.now()), Stop):
            return replace(planned, wanted=None, reasons=plan.reasons_of(record))
        if record.state != SENT and (why := self._why_postponed(record, account)):
            return plan.postponed(before, row, why)
        try:
            self._failures.ensure_requests(None if record.state == SENT else self.due)
            evidence = await self._finder.look_up(record, account, plan.expected_case(claim))
        except ApiError as error:
            return self._failures.after_lookup(before, row, error)
        self._failures.was_looked_up()
        planned = self._decided(replace(planned, evidence=evidence))
        return planned if planned.state != PLANNED else await self._previewed(planned, row, claim, account, before)

    def _why_postponed(self, record: Record, account: Account) -> str | None:
        if why := self._doubts.why_waits(record):
            return why
        if self._failures.is_given_up(account):
            return f"{plan.UNANSWERED}: other lookups or previews of this client failed"
        return None

    async def _previewed(
        self, planned: PlannedClaim, row: SourceRow[Claim], claim: Claim, account: Account, before: Record
    ) -> PlannedClaim:
        try:
            preview = await self._customer.read(account, lambda client: ask_preview(client, claim))
        except ApiError as error:
            return self._failures.after_preview(before, row, account, error)
        self._failures.was_previewed(account)
        return plan.previewed(planned, preview, before)

    async def without_row(
        self, record: Record, client: ListedClient | None, row: SourceRow[Claim] | None = None
    ) -> PlannedClaim:
        """A claim in doubt without a row, or with one that breaks a rule: it can only be looked up. Raises ApiError."""
        is_same = client is not None and client.creditor_id == record.creditor_id
        if not is_same or client is None or is_pseudonym(record.creditor_reference):
            lost = "its row is gone" if is_same else "neither its row nor its client is there any more"
            lost = lost if row is None else "its reference is no longer known"
            return await self.of_lost_client(record, row, lost)
        account = Account(client.tenant, client.creditor_id)
        expected = Expected(record.creditor_reference, record.amount, record.currency)
        try:
            self._failures.ensure_requests(None)
            evidence = await self._finder.look_up(record, account, expected)
        except ApiError as error:
            return self._failures.after_lookup(record, row, error)
        self._failures.was_looked_up()
        return self._decided(PlannedClaim(record, row, account, evidence=evidence))

    async def of_lost_client(self, record: Record, row: SourceRow[Claim] | None, lost: str) -> PlannedClaim:
        """A claim in doubt of a client that has no token any more, or whose reference cannot be asked for. Its case may be in the
        warehouse or in the partner's listing; that there is none, only a person can find out. Raises ApiError."""
        try:
            self._failures.ensure_requests(None)
            evidence = await self._finder.without_token(record)
        except TooManyCases:
            evidence = None
        except ApiError as error:
            return self._failures.after_lookup(record, row, error)
        self._failures.was_looked_up()
        if evidence is not None and evidence.cases:
            return decided(PlannedClaim(record, row, evidence=evidence), evidence.at, keys_honoured=False)
        record = record.waiting_because(f"{HUMAN}a request is unanswered, and {lost}; {SETTLE}")
        return PlannedClaim(record, row, reasons=plan.reasons_of(record))

    def _decided(self, planned: PlannedClaim) -> PlannedClaim:
        return decided(planned, self._runtime.now(), keys_honoured=self._keys_honoured)


def decided(planned: PlannedClaim, now: datetime, *, keys_honoured: bool) -> PlannedClaim:
    """The claim with what its lookups make of it."""
    record = planned.record
    step = next_step(record, planned.wanted, planned.evidence, now, keys_honoured=keys_honoured)
    match step:
        case Settle(settled):
            if settled.state == SENT:  # an absence worth noting: the apply looks again
                return replace(planned, reasons=plan.reasons_of(settled))
            return replace(planned, record=settled, wanted=None, reasons=plan.reasons_of(settled))
        case Stop(why):
            record = record.waiting_because(why)
            return replace(planned, record=record, reasons=tuple(filter(None, [record.message])))
        case Send(generation) if record.state == SENT:
            how = "the same request would be repeated" if generation == record.generation else "a new key would be used"
            return replace(planned, reasons=(f"in doubt, and no case is shown: {how}",))
        case Send():
            assert planned.row is not None
            return replace(planned, record=plan.with_row(record, planned.row).having(state=PLANNED, message=None))
        case LookUp():  # the lookups took longer than they are good for
            return replace(planned, reasons=("the lookups took too long",))
