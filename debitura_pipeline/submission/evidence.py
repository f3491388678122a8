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
from debitura_pipeline.submission.decision import Evidence, FoundCase
from debitura_pipeline.submission.known import Known
from debitura_pipeline.submission.lookups import (
    OTHER_REFERENCE,
    Expected,
    by_reference,
    fold_spelling,
    in_listing,
    stored_case,
)
from debitura_pipeline.submission.other_spellings import OtherSpellings
from debitura_pipeline.submission.sessions import Account, CustomerApi
from debitura_pipeline.submission.states import Record

DAY = timedelta(days=1)


@dataclass
class CaseFinder:
    """Looks claims up for a plan or an apply.

    `references`: by tenant, every reference that a row or a record has; `of_rows`: that a row has.
    """

    partner: ApiClient
    customer: CustomerApi
    known: Known
    runtime: Runtime
    references: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    of_rows: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        swept = self.known.swept_at
        self._other_spellings = OtherSpellings(self.partner, swept and swept - DAY, self.runtime.now)

    def note(self, tenant: str, *references: str, has_row: bool) -> None:
        """Add a claim's reference, as stored and as in the source."""
        self.references[tenant].update(references)
        if has_row:
            self.of_rows[tenant].update(references)

    async def look_up(self, record: Record, account: Account, expected: Expected) -> Evidence:
        """All lookups of a claim. Raises ApiError if one is not answered."""
        at = self.runtime.now()
        cases = self._stored(record, account.creditor_id, expected)
        cases += await self.customer.read(account, lambda client: by_reference(client, expected))
        if record.is_in_doubt:
            cases += await self._listed(record, account.tenant, account.creditor_id, expected, at)
        elif not cases:
            known, others = self.references[record.external_tenant_id], self._others(record)
            cases += await self._other_spellings.of(account, expected, known, others - {expected.reference})
        return Evidence(at, _exact_or_all(cases), self._swept_at(at))

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

    def _stored(self, record: Record, creditor_id: str, expected: Expected) -> list[FoundCase]:
        """Cases in the warehouse, under any spelling of the reference that is not another claim's."""
        reference, others = record.creditor_reference, self._others(record)
        rows = self.known.cases.get((creditor_id, fold_spelling(reference)), ())
        stored = replace(expected, reference=reference)
        return [stored_case(row, stored) for row in rows if row[0] == reference or row[0] not in others]

    def _others(self, record: Record) -> Set[str]:
        """References that no other spelling of this claim's stands for. A request that was sent for another claim created that
        claim's case. Before the first request, a claim that has no row any more may be this one: its row was respelled."""
        tenant = record.external_tenant_id
        return self.references[tenant] if record.is_in_doubt else self.of_rows[tenant]

    async def _listed(
        self, record: Record, tenant: str | None, creditor_id: str, expected: Expected, at: datetime
    ) -> list[FoundCase]:
        others = self._others(record) - {expected.reference}
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


def _exact_or_all(cases: Sequence[FoundCase]) -> tuple[FoundCase, ...]:
    """The cases under the very reference; if there is none, those under other spellings."""
    exact = tuple(case for case in cases if OTHER_REFERENCE not in case.differences)
    return exact or tuple(cases)
