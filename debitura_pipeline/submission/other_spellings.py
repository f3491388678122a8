"""Find cases that were submitted under another spelling of a claim's reference: another letter case, or other encoding of accents.

The Customer API looks up the exact reference only, so such a claim would be sent, and there would be two cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.submission.decision import FRESH, FoundCase
from debitura_pipeline.submission.lookups import (
    Expected,
    TooManyCases,
    fold_spelling,
    in_listing,
    read_listing,
    text_or_none,
    those_of_claim,
)
from debitura_pipeline.submission.sessions import Account

Documents = Sequence[Mapping[str, Any]]
OVERLAP = timedelta(minutes=10)  # between two listings of a client: a case may be listed a little late


@dataclass
class _Listing:
    """What was listed of a client. `documents`: None if it has too many cases. `at`: by this machine's clock; `stated_at`: by the
    API's."""

    documents: Documents | None
    at: datetime
    stated_at: datetime


@dataclass
class OtherSpellings:
    """Lists each client's new cases at its first claim, and what came since if a minute has passed.

    `since`: all cases created before are in the warehouse, None if that is not so. `now`: this machine's clock.
    """

    partner: ApiClient
    since: datetime | None
    now: Callable[[], datetime]
    _listed: dict[str, _Listing] = field(default_factory=dict)

    async def of(self, account: Account, expected: Expected, references: Set[str], others: Set[str]) -> list[FoundCase]:
        """Listed cases of a claim that was never sent. `references`: of all claims of the client; `others`: those that no other
        spelling stands for.

        Raises ApiError, TooManyCases.
        """
        if not any(character.isalpha() for character in expected.reference):
            return []
        spellings = {fold_spelling(each) for each in references}
        documents = await self._documents(account, spellings)
        if documents is not None:
            return those_of_claim(documents, account.creditor_id, expected, others, is_of_tenant=True)
        try:
            return await in_listing(
                self.partner, account.tenant, account.creditor_id, expected, self.since, others=others
            )
        except TooManyCases as error:
            raise TooManyCases(f"{error} Run `debitura nightly`, then again.") from None

    async def _documents(self, account: Account, spellings: Set[str]) -> Documents | None:
        """The client's cases whose references are a spelling of these; None if it has so many cases that searching for each
        reference takes fewer requests."""
        before, now = self._listed.get(account.creditor_id), self.now()
        if before is not None and timedelta(0) <= now - before.at <= FRESH:
            return before.documents
        if before is not None and before.documents is None:
            return None
        since = self.since if before is None else before.stated_at - OVERLAP
        listed = await read_listing(self.partner, account.tenant, since, max_pages=len(spellings))
        documents = None
        if listed is not None:
            new = [
                one for one in listed if fold_spelling(text_or_none(one.get("creditorreference")) or "") in spellings
            ]
            documents = [*new, *((before.documents or ()) if before is not None else ())]
        self._listed[account.creditor_id] = _Listing(documents, now, self.partner.server_time or now)
        return documents
