"""Find cases that were submitted under another spelling of a claim's reference: another letter case, or other encoding of accents.

The Customer API looks up the exact reference only, so such a claim would be sent, and there would be two cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
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

    `since_of`: all cases of a creditor that were created before are in the warehouse, None if that is not so. `now`: this
    machine's clock.
    """

    partner: ApiClient
    since_of: Callable[[str], datetime | None]
    now: Callable[[], datetime]
    _listed: dict[str, _Listing] = field(default_factory=dict)

    async def of(
        self, account: Account, expected: Expected, references: Set[str], others: Set[str]
    ) -> tuple[list[FoundCase], list[FoundCase]]:
        """Listed cases of a claim that was never sent, and those of other claims that are spelled alike. `references`: of all
        claims of the client; `others`: those that no other spelling stands for.

        Raises ApiError, TooManyCases.
        """
        reference = expected.reference
        if reference.isascii() and reference.lower() == reference.upper():
            return [], []
        documents = await self._documents(account, {fold_spelling(each) for each in references})
        if documents is None:
            documents = await self._search(account, expected)
        alike = partial(those_of_claim, creditor_id=account.creditor_id, expected=expected, is_of_tenant=True)
        is_others = [text_or_none(one.get("creditorreference")) in others for one in documents]
        return (
            alike(
                [one for one, is_other in zip(documents, is_others, strict=True) if not is_other], others=frozenset()
            ),
            alike([one for one, is_other in zip(documents, is_others, strict=True) if is_other], others=frozenset()),
        )

    async def _search(self, account: Account, expected: Expected) -> Documents:
        listed = await read_listing(
            self.partner, account.tenant, self.since_of(account.creditor_id), expected.reference
        )
        if listed is None:
            raise TooManyCases(
                "Looking up a claim failed: too many cases match its reference. Run `debitura nightly`, then again."
            )
        return listed

    async def _documents(self, account: Account, spellings: Set[str]) -> Documents | None:
        """The client's cases whose references are a spelling of these; None if it has so many cases that searching for each
        reference takes fewer requests."""
        before, now = self._listed.get(account.creditor_id), self.now()
        if before is not None and timedelta(0) <= now - before.at <= FRESH:
            return before.documents
        if before is not None and before.documents is None:
            return None
        since = self.since_of(account.creditor_id) if before is None else before.stated_at - OVERLAP
        listed = await read_listing(self.partner, account.tenant, since, max_pages=len(spellings))
        documents = None
        if listed is not None:
            new = [
                one for one in listed if fold_spelling(text_or_none(one.get("creditorreference")) or "") in spellings
            ]
            documents = [*new, *((before.documents or ()) if before is not None else ())]
        self._listed[account.creditor_id] = _Listing(documents, now, self.partner.server_time or now)
        return documents
