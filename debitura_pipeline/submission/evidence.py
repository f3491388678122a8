"""Look up a claim wherever its case may be shown: in both APIs and in the warehouse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.connect import Runtime
from debitura_pipeline.errors import ApiError, RateLimitExhausted
from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.submission.decision import KEY_LIFETIME, Evidence, FoundCase
from debitura_pipeline.submission.known import Known
from debitura_pipeline.submission.lookups import (
    OTHER_REFERENCE,
    Expected,
    by_id,
    by_reference,
    fold_spelling,
    in_listing,
    names_reference,
    stored_case,
    those_of_claim,
)
from debitura_pipeline.submission.other_spellings import OtherSpellings
from debitura_pipeline.submission.sessions import Account, CustomerApi
from debitura_pipeline.submission.states import WITH_CASE, Record

DAY = timedelta(days=1)


@dataclass
class CaseFinder:
    """Looks claims up for a plan or an apply.

    By creditor: `references` that a row or a record has, `of_rows` that a row has, and the records with a case by their folded
    references; `hidden_with_case` those whose references are pseudonyms. `holders`: the record of each case, by the case's id.
    `folded`: of references that are stored as pseudonyms, as far as rows tell.
    """

    partner: ApiClient
    customer: CustomerApi
    known: Known
    runtime: Runtime
    references: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    of_rows: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    folded: dict[str, str] = field(default_factory=dict)
    with_case: dict[tuple[str, str], list[Record]] = field(default_factory=lambda: defaultdict(list))
    hidden_with_case: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    holders: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._other_spellings = OtherSpellings(self.partner, self._swept_before, self.runtime.now)

    def _swept_before(self, creditor_id: str) -> datetime | None:
        """The day before the newest complete reading, if the client was linked then: listings show linked clients' cases."""
        swept = self.known.swept_at
        return swept - DAY if swept is not None and creditor_id in self.known.swept_creditors else None

    def fold(self, reference: str) -> str:
        """What all spellings of a stored reference have in common."""
        return self.folded.get(reference) or fold_spelling(reference)

    def note_row(self, creditor_id: str, *references: str) -> None:
        """Add the reference of a row, as stored and as in the source."""
        self.references[creditor_id].update(references)
        self.of_rows[creditor_id].update(references)

    def note_record(self, record: Record) -> None:
        """Add the reference of a record, and its case."""
        if record.creditor_id is None:
            return
        self.references[record.creditor_id].add(record.creditor_reference)
        if record.state in WITH_CASE:
            self.with_case[record.creditor_id, self.fold(record.creditor_reference)].append(record)
            if is_pseudonym(record.creditor_reference):
                self.hidden_with_case[record.creditor_id].append(record)
            self.note_case(record)

    def note_case(self, record: Record) -> None:
        """Remember whose case it is. That a person named it, and no reading showed it, is not enough."""
        if record.state in WITH_CASE and record.case_id is not None and not record.has_unseen_case:
            self.holders.setdefault(record.case_id, record)

    async def look_up(self, record: Record, account: Account, expected: Expected) -> Evidence:
        """All lookups of a claim. Raises ApiError if one is not answered."""
        at, creditor = self.runtime.now(), account.creditor_id
        cases, is_sure = await self.customer.read(account, lambda client: by_reference(client, expected))
        cases = await self._stored_now(record, account, expected, cases) + cases
        of_others = self._stored(record, creditor, expected, of_others=True)
        of_others += self._recorded(record, creditor, of_others=True)
        if record.is_in_doubt:
            cases += await self._listed(record, account.tenant, creditor, expected, at)
        else:
            cases += self._recorded(record, creditor)
        if not cases and not record.is_in_doubt:
            known, of_rows = self.references[creditor], self.of_rows[creditor]
            cases, listed = await self._other_spellings.of(account, expected, known, of_rows, is_sure=is_sure)
            of_others += listed
        cases = [replace(case, is_of_other=self._is_of_other(case, record)) for case in cases]
        return Evidence(
            at, _exact_or_all(cases), self._swept_at(at), of_others=frozenset(case.case_id for case in of_others)
        )

    async def try_look_up(self, record: Record, account: Account, expected: Expected) -> Evidence | None:
        """`look_up`, None if a lookup was not answered. Raises RateLimitExhausted."""
        try:
            return await self.look_up(record, account, expected)
        except RateLimitExhausted:
            raise
        except ApiError:
            return None

    async def without_token(self, record: Record) -> Evidence:
        """What the warehouse and the partner's listing show of a claim whose client no longer has a token. Raises ApiError."""
        at, creditor = self.runtime.now(), record.creditor_id or ""
        expected = Expected(record.creditor_reference, record.amount, record.currency)
        cases = self._stored(record, creditor, expected)
        if not cases and not is_pseudonym(record.creditor_reference):
            cases = await self._listed(record, None, creditor, expected, at)
        return Evidence(at, _exact_or_all(cases))

    async def _stored_now(
        self, record: Record, account: Account, expected: Expected, shown: list[FoundCase]
    ) -> list[FoundCase]:
        """The warehouse's cases that are not among those `shown`, as they are now: they may have been deleted or changed since they
        were read. What may be the case of an unanswered request counts all the same."""
        creditor, known = account.creditor_id, {case.case_id for case in shown}
        stored = [case for case in self._stored(record, creditor, expected) if case.case_id not in known]
        if record.is_in_doubt:
            return stored
        others, found = self._others(record, creditor) - {expected.reference}, []
        for case in stored:
            document = await by_id(self.partner, case.case_id)
            if document is not None and not names_reference(document):
                found.append(case)
            elif document is not None:
                found += those_of_claim([document], creditor, expected, others, is_of_tenant=True)
        return found

    def _is_of_other(self, case: FoundCase, record: Record) -> bool:
        """Whether a case is that of another row."""
        holder = self.holders.get(case.case_id)
        if holder is None or holder.creditor_id is None:
            return False
        is_same = (holder.creditor_id, holder.creditor_reference) == (record.creditor_id, record.creditor_reference)
        return not is_same and holder.creditor_reference in self.of_rows[holder.creditor_id]

    def _stored(
        self, record: Record, creditor_id: str, expected: Expected, *, of_others: bool = False
    ) -> list[FoundCase]:
        """Cases in the warehouse, under any spelling of the reference that is not another claim's; or those `of_others`."""
        reference, others = record.creditor_reference, self._others(record, creditor_id)
        rows = self.known.cases.get((creditor_id, fold_spelling(reference)), ())
        stored = replace(expected, reference=reference)
        return [stored_case(row, stored) for row in rows if (row[0] != reference and row[0] in others) is of_others]

    def _recorded(self, record: Record, creditor_id: str, *, of_others: bool = False) -> list[FoundCase]:
        """Cases that were created for another spelling of the reference, which no row has any more; or those `of_others`, which
        other rows have."""
        reference, others = record.creditor_reference, self.of_rows[creditor_id]
        alike = self.with_case.get((creditor_id, self.fold(reference)), [])
        if is_pseudonym(reference) and not of_others:
            hidden, now = self.hidden_with_case[creditor_id], self.runtime.now()
            alike = alike + [one for one in hidden if one not in alike and _may_be_respelled(one, record, now)]
        return [
            FoundCase(one.case_id, one.reference, (OTHER_REFERENCE,))
            for one in alike
            if one.creditor_reference != reference
            and (one.creditor_reference in others) is of_others
            and one.case_id is not None
        ]

    def _others(self, record: Record, creditor_id: str) -> Set[str]:
        """References that no other spelling of this claim's stands for. A request that was sent for another claim created that
        claim's case. Before the first request, a claim that has no row any more may be this one: its row was respelled."""
        return self.references[creditor_id] if record.is_in_doubt else self.of_rows[creditor_id]

    async def _listed(
        self, record: Record, tenant: str | None, creditor_id: str, expected: Expected, at: datetime
    ) -> list[FoundCase]:
        others = self._others(record, creditor_id) - {expected.reference}
        return await in_listing(
            self.partner, tenant, creditor_id, expected, self._created_since(record, at), others=others
        )

    def _swept_at(self, now: datetime) -> datetime | None:
        """When the newest complete reading began, by this machine's clock: syncs keep the API's."""
        swept, stated = self.known.swept_at, self.partner.server_time
        return swept if swept is None or stated is None else swept - (stated - now)

    def _created_since(self, record: Record, now: datetime) -> datetime | None:
        """The day before the generation's first request, by the API's clock."""
        if record.intent_at is None:
            return None
        return (self.partner.server_time or now) - max(now - record.intent_at, timedelta(0)) - DAY


def _may_be_respelled(one: Record, other: Record, now: datetime) -> bool:
    """Whether two pseudonyms may be spellings of one reference, for as long as the first one's case may not be listed yet.

    Not every spelling can be tried, so amount and currency tell. Later, the listing shows the references themselves.
    """
    is_recent = one.last_attempt_at is not None and now - one.last_attempt_at < KEY_LIFETIME
    return is_recent and (one.amount, one.currency) == (other.amount, other.currency)


def _exact_or_all(cases: Sequence[FoundCase]) -> tuple[FoundCase, ...]:
    """The cases under the very reference; if there is none, those under other spellings."""
    exact = tuple(case for case in cases if OTHER_REFERENCE not in case.differences)
    return exact or tuple(cases)
