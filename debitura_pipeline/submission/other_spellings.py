"""Find cases that were submitted under another spelling of a claim's reference: another letter case, or other encoding of accents.

The Customer API looks up the exact reference only, so such a claim would be sent, and there would be two cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.submission.decision import FoundCase
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


@dataclass
class OtherSpellings:
    """Lists each client's cases once, at its first claim. `since`: all cases created before are in the warehouse, None if that is
    not so."""

    partner: ApiClient
    since: datetime | None
    _listed: dict[str, Documents | None] = field(default_factory=dict)

    async def of(self, account: Account, expected: Expected, known: Set[str]) -> list[FoundCase]:
        """Listed cases of a claim that was never sent. `known`: every reference of the client's claims.

        Raises ApiError, TooManyCases.
        """
        if not any(character.isalpha() for character in expected.reference):
            return []
        if account.creditor_id not in self._listed:
            self._listed[account.creditor_id] = await self._list(account, {fold_spelling(each) for each in known})
        documents, others = self._listed[account.creditor_id], known - {expected.reference}
        if documents is not None:
            return those_of_claim(documents, account.creditor_id, expected, others, is_of_tenant=True)
        try:
            return await in_listing(
                self.partner, account.tenant, account.creditor_id, expected, self.since, others=others
            )
        except TooManyCases as error:
            raise TooManyCases(f"{error} Run `debitura nightly`, then again.") from None

    async def _list(self, account: Account, spellings: Set[str]) -> Documents | None:
        """The client's cases whose references are a spelling of these; None if there are too many cases to list."""
        listed = await read_listing(self.partner, account.tenant, self.since)
        if listed is None:
            return None
        return [one for one in listed if fold_spelling(text_or_none(one.get("creditorreference")) or "") in spellings]
