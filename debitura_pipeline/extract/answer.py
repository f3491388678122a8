"""One answer of a listing as keyset reading sees it: the keys and dates of its rows, in the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from debitura_pipeline.api.client import Page
from debitura_pipeline.api.listings import Listing
from debitura_pipeline.extract.evidence import Totals
from debitura_pipeline.landing.outline import RowMark, outline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """`marks`: key and dates (microseconds since 1970, UTC) of each row; `total`: rows that match, as the API states."""

    page: Page
    marks: list[RowMark]

    @classmethod
    def of(cls, page: Page, listing: Listing) -> Answer:
        return cls(page, outline(page.body, listing))

    @property
    def rows(self) -> int:
        return len(self.marks)

    @property
    def total(self) -> int:
        return self.page.envelope.total_results

    @property
    def totals(self) -> Totals:
        return Totals.of(self.page.envelope)

    @property
    def keys(self) -> set[str]:
        return {mark.key for mark in self.marks if mark.key is not None}

    def dates(self, which: int) -> list[int]:
        """The rows' dates of one kind, in the rows' order; rows without one are left out."""
        return [at for mark in self.marks if (at := mark.dates[which]) is not None]

    def tail(self, which: int, count: int) -> list[RowMark]:
        """The last `count` rows that have a key and a date of that kind, in their order."""
        usable = [mark for mark in self.marks if mark.key is not None and mark.dates[which] is not None]
        return usable[-count:]


def earliest_in(page: Page, listing: Listing) -> datetime | None:
    """The earliest date among a page's rows, of whatever kind; None without one."""
    found = [at for mark in outline(page.body, listing) for at in mark.dates if at is not None]
    return EPOCH + timedelta(microseconds=min(found)) if found else None
