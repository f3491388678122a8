"""Collect what a plan of claims needs: the source, `ops.submissions`, the listing, lookups and previews. Sends no
write requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import ApiError
from debitura_pipeline.landing.business_key import BusinessKeys, is_pseudonym
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.outbound.plan_document import PlanDocument
from debitura_pipeline.outbound.privacy_mode import check_privacy_mode
from debitura_pipeline.registration.listed import ListedClient, read_listed
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead, SourceRow
from debitura_pipeline.source.table import RowFault
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.body import case_body
from debitura_pipeline.submission.decision import SETTLE, LookUp, Send, Settle, Stop, Wanted, next_step
from debitura_pipeline.submission.evidence import CaseFinder
from debitura_pipeline.submission.known import Known
from debitura_pipeline.submission.look_alikes import LOOK_ALIKE_DAYS, with_look_alikes
from debitura_pipeline.submission.lookup_failures import LookupFailures
from debitura_pipeline.submission.lookups import Expected, TooManyCases, fold_spelling, spellings
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.previews import ask_preview
from debitura_pipeline.submission.sessions import Account, CustomerApi
from debitura_pipeline.submission.states import (
    CONFLICT,
    DECISIVE,
    HUMAN,
    INELIGIBLE,
    NO_ROW,
    PLANNED,
    SENT,
    WAITING,
    WITH_CASE,
    ClaimIdentity,
    Record,
)
from debitura_pipeline.warehouse.identity import api_name

KIND = "cases"
AMBIGUOUS = "the API lists more than one client with this tenant id"
OF_FORMER_CLIENT = f"{HUMAN}a request for this reference is unanswered under the tenant's former client; {SETTLE}"


@dataclass(frozen=True)
class ClaimsPlan:
    """The plan: every wanted claim, and every claim in doubt that is no longer wanted. `unwanted`: the other records whose row is
    gone, as they are to be stored. `stopped`: why not every claim was looked up, None if they all were."""

    source: SourceRead[Claim]
    claims: tuple[PlannedClaim, ...]
    document: PlanDocument
    unwanted: tuple[Record, ...] = ()
    stopped: str | None = None


@dataclass
class Gatherer:
    """Makes plans, and looks claims up for an apply."""

    settings: Settings
    runtime: Runtime
    partner: ApiClient
    customer: CustomerApi
    known: Known
    keys_honoured: bool = False
    is_applied: bool = False  # then requests are kept for sending what is planned

    def __post_init__(self) -> None:
        self._due = 0
        self._failures = LookupFailures(self.customer, is_applied=self.is_applied)
        self.finder = CaseFinder(self.partner, self.customer, self.known, self.runtime)
        self._looked_up: dict[tuple[str, str], PlannedClaim] = {}  # claims in doubt whose rows break a rule
        self.pseudonyms = Pseudonyms(self.settings.obtain_privacy_key())
        self.keys = BusinessKeys(self.pseudonyms, self.settings.privacy)
        records = [one if one.is_wanted else one.having(message=None) for one in self.known.records]  # it may be back
        self._by_creditor = {
            (one.creditor_id, one.creditor_reference): one for one in records if one.creditor_id is not None
        }
        check_privacy_mode(
            self.settings, "submissions", ((one.external_tenant_id, one.creditor_reference) for one in records)
        )
        self._by_tenant: dict[tuple[str, str], list[Record]] = defaultdict(list)
        self._doubtful: dict[tuple[str | None, str], list[Record]] = defaultdict(list)
        self._hidden: dict[str | None, list[Record]] = defaultdict(list)  # those whose references are pseudonyms
        for one in records:
            self._by_tenant[one.external_tenant_id, one.creditor_reference].append(one)
            if one.is_in_doubt:
                self.note_doubt(one)

    async def make_plan(self, source: SourceRead[Claim]) -> ClaimsPlan:
        """The plan as of now. Raises ApiError, UnprovenError."""
        listed = await read_listed(self.partner)
        rows = sorted(source.rows, key=lambda row: (self._urgency(row), row.key[0], row.number))  # one token at a time
        self._note_references(source, listed)
        repeated = under_two_tenants(source, listed)
        found: list[PlannedClaim] = []
        for row in rows:
            found.append(await self._row(repeated.get(row.number, row), listed.get(row.key[0])))
            self._due += found[-1].is_due
            self.finder.note_case(found[-1].record)
        wanted = {(one.record.creditor_id, one.record.creditor_reference) for one in found}
        real = {self.keys.stored(tenant): one for tenant, one in listed.items()}
        found += [
            await self._without_row(record, real.get(record.external_tenant_id))
            for record in self.known.records
            if record.state == SENT and (record.creditor_id, record.creditor_reference) not in wanted
        ]
        found.sort(key=lambda one: (one.row is None, one.row.number if one.row else 0))
        since = self.runtime.now() - LOOK_ALIKE_DAYS
        claims = tuple(with_look_alikes(found, self.known.look_alikes, self.known.records, since))
        document = document_of(self.settings, source.label, claims, self.runtime.now())
        rows_of = {row.stored_key for row in source.rows}
        return ClaimsPlan(source, claims, document, tuple(self._unwanted(wanted, rows_of)), self._failures.stopped)

    def _note_references(self, source: SourceRead[Claim], listed: Mapping[str, ListedClient]) -> None:
        for row in source.rows:
            tenant, reference = row.key[:2]
            if reference != row.stored_key[1]:
                self.finder.folded |= {
                    self.keys.stored(each): fold_spelling(reference) for each in spellings(reference)
                }
            if tenant in listed:
                self.finder.note_row(listed[tenant].creditor_id, row.stored_key[1], reference)
        self._doubtful.clear()  # their pseudonyms may be known as spellings now
        self._hidden.clear()
        for one in self.known.records:
            self.finder.note_record(one)
            if one.is_in_doubt:
                self.note_doubt(one)

    def _urgency(self, row: SourceRow[Claim]) -> int:
        """Claims in doubt first. Those that could not be sent the last time come last, so that the others have their turn where
        there are not requests enough for all."""
        tenant, reference = row.stored_key
        states = {one.state for one in self._by_tenant.get((tenant, reference), ())}
        return 0 if SENT in states else 2 if states & {WAITING, INELIGIBLE} else 1

    def _unwanted(self, wanted: Set[tuple[str | None, str]], rows_of: Set[tuple[str, ...]]) -> Iterator[Record]:
        """Records without a row that nothing has to be settled of. One that was refused is kept: its key is used up. One of a
        tenant that was not linked is of the tenant's row, whatever client it is linked to by now."""
        for one in self.known.records:
            if one.creditor_id is None:
                has_row = (one.external_tenant_id, one.creditor_reference) in rows_of
            else:
                has_row = (one.creditor_id, one.creditor_reference) in wanted
            if not has_row and _is_held(one):
                yield one.having(state=PLANNED, message=NO_ROW)
            elif not has_row and (one.state not in WITH_CASE | {SENT, CONFLICT} or _is_unsent_conflict(one)):
                yield one.having(message=NO_ROW)

    async def _row(self, row: SourceRow[Claim], client: ListedClient | None) -> PlannedClaim:
        tenant, reference = row.stored_key
        if client is None:
            return await self._of_unknown_client(row)
        known = self._by_creditor.get((client.creditor_id, reference))
        orphans = [one for one in self._by_tenant[tenant, reference] if one.creditor_id is None]
        record = known or (orphans[0] if orphans else Record(tenant, reference))
        record = record.having(creditor_id=client.creditor_id, external_tenant_id=tenant)
        if row.row is None:
            return await self._invalid(record, row, client)
        if record.state in WITH_CASE:
            changed = plan.changed_after(record, row.row_hash)
            return PlannedClaim(changed, row, reasons=tuple(filter(None, [changed.message])))
        if self._is_in_doubt_elsewhere(record):
            if record.state in DECISIVE and not _is_held(record):
                return plan.waiting(record, row, OF_FORMER_CLIENT)
            held = plan.with_row(record, row).having(state=CONFLICT, message=OF_FORMER_CLIENT)
            return PlannedClaim(held, row, reasons=(OF_FORMER_CLIENT,))
        if _is_held(record):
            record = record.having(state=PLANNED, message=None)
        if client.is_ambiguous and not record.is_in_doubt:
            return plan.waiting(record, row, AMBIGUOUS)
        if not client.is_signed and not record.is_in_doubt:
            return plan.waiting(record, row, "the client has not signed everything")
        planned = await self._ready(record, row, Account(client.tenant, client.creditor_id))
        return self._with_former_case(planned, row.row_hash)

    async def _of_unknown_client(self, row: SourceRow[Claim]) -> PlannedClaim:
        """A row of a tenant that is not linked. A claim that was sent for the client it once was keeps its record."""
        tenant, reference = row.stored_key
        known = sorted(self._by_tenant[tenant, reference], key=plan.weight)
        record = known[0] if known else Record(tenant, reference)
        if record.state in WITH_CASE:
            return PlannedClaim(record, row)
        if record.is_in_doubt:
            return await self._of_lost_client(record, row, "the client is no longer linked")
        if row.row is None:
            return plan.invalid(record, row)
        return plan.waiting(record, row, "the client is not registered")

    def _with_former_case(self, claim: PlannedClaim, row_hash: str) -> PlannedClaim:
        """Warn of a claim that would be sent again since its tenant id stands for another client now."""
        others = self._by_tenant[claim.record.external_tenant_id, claim.record.creditor_reference]
        former = next(
            (one for one in others if one.state in WITH_CASE and one.creditor_id != claim.record.creditor_id), None
        )
        if claim.state != PLANNED or former is None:
            return claim
        same = "this very row" if former.claim_hash == row_hash else "this reference"
        what = f"{same} was submitted for the tenant's former client, as case {former.reference or former.case_id}"
        return replace(claim, warnings=(*claim.warnings, what))

    def _is_in_doubt_elsewhere(self, record: Record) -> bool:
        others = self._by_tenant[record.external_tenant_id, record.creditor_reference]
        return any(one.state == SENT and one.creditor_id not in (None, record.creditor_id) for one in others)

    async def _invalid(self, record: Record, row: SourceRow[Claim], client: ListedClient) -> PlannedClaim:
        """A row that breaks a rule. A claim in doubt is looked up all the same, once, however many rows have its reference."""
        key = client.creditor_id, record.creditor_reference
        if record.state != SENT:
            return plan.invalid(record, row)
        if key in self._looked_up:
            return PlannedClaim(self._looked_up[key].record, row, reasons=row.located_reasons())
        found = self._looked_up[key] = await self._without_row(record, client, row)
        return replace(found, reasons=tuple(dict.fromkeys([*found.reasons, *row.located_reasons()])))

    async def _without_row(
        self, record: Record, client: ListedClient | None, row: SourceRow[Claim] | None = None
    ) -> PlannedClaim:
        """A claim in doubt without a row, or with one that breaks a rule: it can only be looked up."""
        is_same = client is not None and client.creditor_id == record.creditor_id
        if not is_same or client is None or is_pseudonym(record.creditor_reference):
            lost = "its row is gone" if is_same else "neither its row nor its client is there any more"
            lost = lost if row is None else "its reference is no longer known"
            return await self._of_lost_client(record, row, lost)
        account = Account(client.tenant, client.creditor_id)
        expected = Expected(record.creditor_reference, record.amount, record.currency)
        try:
            self._failures.ensure_requests(None)
            evidence = await self.finder.look_up(record, account, expected)
        except ApiError as error:
            return self._failures.after_lookup(record, row, error)
        self._failures.was_looked_up()
        planned = PlannedClaim(record, row, account, evidence=evidence)
        return _decided(planned, self.runtime.now(), self.keys_honoured)

    async def _of_lost_client(self, record: Record, row: SourceRow[Claim] | None, lost: str) -> PlannedClaim:
        """A claim in doubt of a client that has no token any more, or whose reference cannot be asked for. Its case may be in the
        warehouse or in the partner's listing; that there is none, only a person can find out."""
        try:
            self._failures.ensure_requests(None)
            evidence = await self.finder.without_token(record)
        except TooManyCases:
            evidence = None
        except ApiError as error:
            return self._failures.after_lookup(record, row, error)
        self._failures.was_looked_up()
        if evidence is not None and evidence.cases:
            return _decided(PlannedClaim(record, row, evidence=evidence), evidence.at, keys_honoured=False)
        why = f"{HUMAN}a request is unanswered, and {lost}; {SETTLE}"
        record = record.waiting_because(why)
        return PlannedClaim(record, row, reasons=plan.reasons_of(record))

    async def _ready(self, record: Record, row: SourceRow[Claim], account: Account) -> PlannedClaim:
        """A valid claim of a client that is ready: looked up, and previewed if it would be sent for the first time."""
        claim = row.row
        assert claim is not None
        body = case_body(claim)
        identity = ClaimIdentity(self.settings.environment, account.creditor_id, claim.reference)
        wanted = Wanted(identity, row.row_hash, self.pseudonyms.digest(b"case:" + body))
        before = record
        if record.state != SENT:
            record = plan.with_row(record, row)
        planned = PlannedClaim(record, row, account, wanted, body)
        if isinstance(next_step(record, wanted, None, self.runtime.now()), Stop):
            return replace(planned, wanted=None, reasons=plan.reasons_of(record))
        if record.state != SENT and (why := self.similar_in_doubt(record)):
            return plan.postponed(before, row, why)
        if record.state != SENT and self._failures.is_given_up(account):
            return plan.postponed(before, row, f"{plan.UNANSWERED}: other lookups or previews of this client failed")
        try:
            self._failures.ensure_requests(None if record.state == SENT else self._due)
            evidence = await self.finder.look_up(record, account, plan.expected_case(claim))
        except ApiError as error:
            return self._failures.after_lookup(before, row, error)
        self._failures.was_looked_up()
        planned = _decided(replace(planned, evidence=evidence), self.runtime.now(), self.keys_honoured)
        if planned.state != PLANNED:
            return planned
        try:
            preview = await self.customer.read(account, lambda client: ask_preview(client, claim))
        except ApiError as error:
            return self._failures.after_preview(before, row, account, error)
        self._failures.was_previewed(account)
        return plan.previewed(planned, preview, before)

    def note_doubt(self, record: Record) -> None:
        """Remember a claim that has become doubtful."""
        self._doubtful[record.creditor_id, self.finder.fold(record.creditor_reference)].append(record)
        if is_pseudonym(record.creditor_reference):
            self._hidden[record.creditor_id].append(record)

    def similar_in_doubt(self, record: Record) -> str | None:
        """Why a claim waits whose reference is another spelling of one that is in doubt, and may be the same claim."""
        for other in self._doubtful.get((record.creditor_id, self.finder.fold(record.creditor_reference)), ()):
            if other.creditor_reference != record.creditor_reference:
                return f"waits until it is known what became of {other.creditor_reference}, another spelling of its reference"
        if not is_pseudonym(record.creditor_reference):
            return None
        # Not every spelling of a pseudonym's reference can be tried, so one that no row has any more may be this one.
        with_row = self.finder.of_rows[record.creditor_id or ""]
        for other in self._hidden.get(record.creditor_id, ()):
            if other.creditor_reference not in with_row:
                return (
                    f"waits until it is known what became of {other.creditor_reference}, whose row is gone: it may be another "
                    "spelling of its reference"
                )
        return None


def under_two_tenants(source: SourceRead[Claim], listed: Mapping[str, ListedClient]) -> dict[int, SourceRow[Claim]]:
    """Rows that name one client by different tenant ids, with the same reference: as faulty as rows that are repeated."""
    rows: dict[tuple[str, str], list[SourceRow[Claim]]] = defaultdict(list)
    for row in source.rows:
        if row.key[0] in listed:
            rows[listed[row.key[0]].creditor_id, row.key[1]].append(row)
    fault = RowFault("creditor_reference", "is also that of a row with another tenant id of the same client")
    return {
        row.number: replace(row, row=None, faults=(*row.faults, fault))
        for same in rows.values()
        if len({row.key[0] for row in same}) > 1
        for row in same
    }


def _is_held(record: Record) -> bool:
    """Whether nothing was sent for a claim because of its tenant's former client."""
    return record.state == CONFLICT and (record.message or "").startswith(OF_FORMER_CLIENT)


def _is_unsent_conflict(record: Record) -> bool:
    """Whether a claim is in conflict for which nothing was sent: without its row there is nothing to decide."""
    return record.state == CONFLICT and not record.attempts


def _decided(planned: PlannedClaim, now: datetime, keys_honoured: bool) -> PlannedClaim:
    """The claim with what the lookups make of it."""
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
        case Send() if record.state == SENT:
            return replace(planned, reasons=("in doubt, and no case is shown: the same request would be repeated",))
        case Send():
            assert planned.row is not None
            return replace(planned, record=plan.with_row(record, planned.row).having(state=PLANNED, message=None))
        case LookUp():  # the lookups took longer than they are good for
            return replace(planned, reasons=("the lookups took too long",))


def document_of(settings: Settings, label: str, claims: Sequence[PlannedClaim], now: datetime) -> PlanDocument:
    """The plan as a document."""
    rows = tuple(one.as_plan_row() for one in claims)
    return PlanDocument(KIND, settings.environment, _apis(settings), label, now, rows, plan.sums(claims))


def _apis(settings: Settings) -> str:
    """Both APIs that a claim depends on: its client is looked up at one, its case created at the other."""
    customer = settings.customer_api_url
    return api_name(settings) if customer is None else f"{api_name(settings)}, {urlsplit(customer).netloc}"
