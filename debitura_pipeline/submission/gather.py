"""Collect what a plan of claims needs: the source, `ops.submissions`, the listing, lookups and previews. Sends no
write requests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.landing.business_key import BusinessKeys
from debitura_pipeline.landing.pseudonyms import Pseudonyms
from debitura_pipeline.outbound.privacy_mode import check_privacy_mode
from debitura_pipeline.registration.listed import ListedClient, read_listed
from debitura_pipeline.settings import Settings
from debitura_pipeline.source import Claim, SourceRead, SourceRow
from debitura_pipeline.source.table import RowFault
from debitura_pipeline.submission import plan
from debitura_pipeline.submission.claim_planner import ClaimPlanner
from debitura_pipeline.submission.claims_plan import ClaimsPlan, document_of
from debitura_pipeline.submission.evidence import CaseFinder
from debitura_pipeline.submission.former_clients import held_back, is_held_back, is_in_doubt_elsewhere, with_former_case
from debitura_pipeline.submission.in_doubt import ClaimsInDoubt
from debitura_pipeline.submission.known import Known
from debitura_pipeline.submission.look_alikes import LOOK_ALIKE_DAYS, with_look_alikes
from debitura_pipeline.submission.lookup_failures import LookupFailures
from debitura_pipeline.submission.lookups import fold_spelling, spellings
from debitura_pipeline.submission.plan import PlannedClaim
from debitura_pipeline.submission.sessions import Account, CustomerApi
from debitura_pipeline.submission.states import (
    CONFLICT,
    INELIGIBLE,
    NO_ROW,
    PLANNED,
    SENT,
    WAITING,
    WITH_CASE,
    Record,
)

AMBIGUOUS = "the API lists more than one client with this tenant id"


@dataclass
class Gatherer:
    """Makes plans. `finder` and `doubts` hold what an apply goes on with."""

    settings: Settings
    runtime: Runtime
    partner: ApiClient
    customer: CustomerApi
    known: Known
    keys_honoured: bool = False
    is_applied: bool = False  # then requests are kept for sending what is planned

    def __post_init__(self) -> None:
        self.finder = CaseFinder(self.partner, self.customer, self.known, self.runtime)
        self.doubts = ClaimsInDoubt(self.finder)
        self._failures = LookupFailures(self.customer, is_applied=self.is_applied)
        self._looked_up: dict[tuple[str, str], PlannedClaim] = {}  # claims in doubt whose rows break a rule
        pseudonyms = Pseudonyms(self.settings.obtain_privacy_key())
        self._keys = BusinessKeys(pseudonyms, self.settings.privacy)
        self._planner = ClaimPlanner(
            self.settings.environment,
            self.runtime,
            self.customer,
            self.finder,
            self.doubts,
            self._failures,
            pseudonyms,
            keys_honoured=self.keys_honoured,
        )
        records = [one if one.is_wanted else one.having(message=None) for one in self.known.records]  # it may be back
        self._by_creditor = {
            (one.creditor_id, one.creditor_reference): one for one in records if one.creditor_id is not None
        }
        check_privacy_mode(
            self.settings, "submissions", ((one.external_tenant_id, one.creditor_reference) for one in records)
        )
        self._by_tenant: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for one in records:
            self._by_tenant[one.external_tenant_id, one.creditor_reference].append(one)

    async def make_plan(self, source: SourceRead[Claim]) -> ClaimsPlan:
        """The plan as of now. Raises ApiError, UnprovenError."""
        listed = await read_listed(self.partner)
        rows = sorted(source.rows, key=lambda row: (self._urgency(row), row.key[0], row.number))  # one token at a time
        self._note_references(source, listed)
        repeated = under_two_tenants(source, listed)
        found: list[PlannedClaim] = []
        for row in rows:
            found.append(await self._row(repeated.get(row.number, row), listed.get(row.key[0])))
            self._planner.due += found[-1].is_due
            self.finder.note_case(found[-1].record)
        wanted = {(one.record.creditor_id, one.record.creditor_reference) for one in found}
        real = {self._keys.stored(tenant): one for tenant, one in listed.items()}
        found += [
            await self._planner.without_row(record, real.get(record.external_tenant_id))
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
                    self._keys.stored(each): fold_spelling(reference) for each in spellings(reference)
                }
            if tenant in listed:
                self.finder.note_row(listed[tenant].creditor_id, row.stored_key[1], reference)
        for one in self.known.records:
            self.finder.note_record(one)
        self.doubts.replace(self.known.records)

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
            if not has_row and is_held_back(one):
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
        of_tenant = self._by_tenant[tenant, reference]
        if is_in_doubt_elsewhere(record, of_tenant):
            return held_back(record, row)
        if is_held_back(record):
            record = record.having(state=PLANNED, message=None)
        if client.is_ambiguous and not record.is_in_doubt:
            return plan.waiting(record, row, AMBIGUOUS)
        if not client.is_signed and not record.is_in_doubt:
            return plan.waiting(record, row, "the client has not signed everything")
        planned = await self._planner.ready(record, row, Account(client.tenant, client.creditor_id))
        return with_former_case(planned, row.row_hash, of_tenant)

    async def _of_unknown_client(self, row: SourceRow[Claim]) -> PlannedClaim:
        """A row of a tenant that is not linked. A claim that was sent for the client it once was keeps its record."""
        tenant, reference = row.stored_key
        known = sorted(self._by_tenant[tenant, reference], key=plan.weight)
        record = known[0] if known else Record(tenant, reference)
        if record.state in WITH_CASE:
            return PlannedClaim(record, row)
        if record.is_in_doubt:
            return await self._planner.of_lost_client(record, row, "the client is no longer linked")
        if row.row is None:
            return plan.invalid(record, row)
        return plan.waiting(record, row, "the client is not registered")

    async def _invalid(self, record: Record, row: SourceRow[Claim], client: ListedClient) -> PlannedClaim:
        """A row that breaks a rule. A claim in doubt is looked up all the same, once, however many rows have its reference."""
        key = client.creditor_id, record.creditor_reference
        if record.state != SENT:
            return plan.invalid(record, row)
        if key in self._looked_up:
            return PlannedClaim(self._looked_up[key].record, row, reasons=row.located_reasons())
        found = self._looked_up[key] = await self._planner.without_row(record, client, row)
        return replace(found, reasons=tuple(dict.fromkeys([*found.reasons, *row.located_reasons()])))


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


def _is_unsent_conflict(record: Record) -> bool:
    """Whether a claim is in conflict for which nothing was sent: without its row there is nothing to decide."""
    return record.state == CONFLICT and not record.attempts
