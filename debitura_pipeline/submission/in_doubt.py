"""The claims in doubt of one run, and which claims wait for them: those with another spelling of their reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from debitura_pipeline.landing.business_key import is_pseudonym
from debitura_pipeline.submission.evidence import CaseFinder
from debitura_pipeline.submission.states import Record

WAITS = "waits until it is known what became of"


class ClaimsInDoubt:
    """References in doubt, by creditor. `finder` knows which spellings are of one reference, and which references rows have."""

    def __init__(self, finder: CaseFinder) -> None:
        self._finder = finder
        self._by_spelling: dict[tuple[str | None, str], list[Record]] = defaultdict(list)
        self._hidden: dict[str | None, list[Record]] = defaultdict(list)  # those whose references are pseudonyms

    def replace(self, records: Iterable[Record]) -> None:
        """Start again with those of `records` that are in doubt, once the rows have told which pseudonyms are spellings."""
        self._by_spelling.clear()
        self._hidden.clear()
        for one in records:
            self.note(one)

    def note(self, record: Record) -> None:
        """Remember a claim if it is in doubt."""
        if not record.is_in_doubt:
            return
        self._by_spelling[record.creditor_id, self._finder.fold(record.creditor_reference)].append(record)
        if is_pseudonym(record.creditor_reference):
            self._hidden[record.creditor_id].append(record)

    def why_waits(self, record: Record) -> str | None:
        """Why a claim waits that may be the same as one in doubt, under another spelling of its reference. None if it does not."""
        reference, creditor = record.creditor_reference, record.creditor_id
        for other in self._by_spelling.get((creditor, self._finder.fold(reference)), ()):
            if other.creditor_reference != reference:
                return f"{WAITS} {other.creditor_reference}, another spelling of its reference"
        if not is_pseudonym(reference):
            return None
        # Not every spelling of a pseudonym's reference can be tried, so one that no row has any more may be this one.
        with_row = self._finder.of_rows[creditor or ""]
        for other in self._hidden.get(creditor, ()):
            if other.creditor_reference not in with_row:
                return f"{WAITS} {other.creditor_reference}, whose row is gone: it may be another spelling of its reference"
        return None
