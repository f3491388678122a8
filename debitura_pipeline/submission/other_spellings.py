"""Find cases that were submitted under another spelling of a claim's reference: another letter case, or other encoding of accents.

The Customer API looks up the exact reference only, so such a claim would be sent, and there would be two cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.submission.decision import FRESH, FoundCase
from debitura_pipeline.submission.lookups import (
    Expected,
    TooManyCases,
    fold_spelling,
    read_listing,
    text_or_none,
    those_of_claim,
)
from debitura_pipeline.submission.sessions import Account

Document = dict[str, Any]  # a case as listed, its fields in lower case
Documents = dict[str, list[Document]]  # by folded references
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

    `since_of`: all cases of a creditor that were created before are in the warehouse, None if that is not so. `now`: this
    machine's clock.
    """

    partner: ApiClient
    since_of: Callable[[str], datetime | None]
    now: Callable[[], datetime]
    _listed: dict[str, _Listing] = field(default_factory=dict)

    async def of(
        self, account: Account, expected: Expected, references: Set[str], of_rows: Set[str], *, is_sure: bool = True
    ) -> tuple[list[FoundCase], list[FoundCase]]:
        """Listed cases of a claim that was never sent, and those of other rows that are spelled alike. `references`: of all claims
        of the client; `of_rows`: those that rows have. `is_sure`: that no case has the very reference; if not, the listing tells.

        Raises ApiError, TooManyCases.
        """
        reference = expected.reference
        if is_sure and reference.isascii() and reference.lower() == reference.upper():
            return [], []
        documents = await self._documents(account, references)
        alike = (
            await self._search(account, reference) if documents is None else documents.get(fold_spelling(reference), [])
        )
        own: list[Document] = []
        others: list[Document] = []
        for document in alike:
            listed = text_or_none(document.get("creditorreference"))
            (others if listed != reference and listed in of_rows else own).append(document)
        found, of_others = (
            those_of_claim(part, account.creditor_id, expected, frozenset(), is_of_tenant=True)
            for part in (own, others)
        )
        return found, of_others

    async def _search(self, account: Account, reference: str) -> list[Document]:
        listed = await read_listing(self.partner, account.tenant, self.since_of(account.creditor_id), reference)
        if listed is None:
            raise TooManyCases(
                "Looking up a claim failed: too many cases match its reference. Run `debitura nightly`, then again."
            )
        return listed

    async def _documents(self, account: Account, references: Set[str]) -> Documents | None:
        """The client's cases under any spelling of these references; None if it has so many cases that searching for each
        reference takes fewer requests."""
        before, now = self._listed.get(account.creditor_id), self.now()
        if before is not None and (before.documents is None or timedelta(0) <= now - before.at <= FRESH):
            return before.documents
        since = self.since_of(account.creditor_id) if before is None else before.stated_at - OVERLAP
        listed = await read_listing(self.partner, account.tenant, since, max_pages=len(references))
        documents = None if listed is None else _by_spelling(listed, references)
        if before is not None and before.documents is not None and documents is not None:
            for spelling, known in before.documents.items():
                documents.setdefault(spelling, []).extend(known)
        self._listed[account.creditor_id] = _Listing(documents, now, self.partner.server_time or now)
        return documents


def _by_spelling(listed: Iterable[Document], references: Set[str]) -> Documents:
    """The cases whose references are spellings of these. Others are not kept: a client may have many."""
    spellings = {fold_spelling(each) for each in references}
    found: Documents = {}
    for document in listed:
        folded = fold_spelling(text_or_none(document.get("creditorreference")) or "")
        if folded in spellings:
            found.setdefault(folded, []).append(document)
    return found
