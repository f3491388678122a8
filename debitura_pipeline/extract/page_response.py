"""One answer of a listing as keyset reading sees it: the keys and dates of its rows, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from debitura_pipeline.api.page import Page
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.extract.verified_window import Totals
from debitura_pipeline.extract.windows import EPOCH
from debitura_pipeline.landing.outline import DATES, Outline, RowMark, outline


@dataclass(frozen=True)
class PageResponse:
    """A page, and the keys and dates of its rows."""

    page: Page
    outline: Outline

    @classmethod
    def of(cls, page: Page, listing: Listing) -> PageResponse:
        return cls(page.without_marks(), outline(page.body, listing, page.envelope.marks))

    @property
    def rows(self) -> int:
        return len(self.outline)

    @property
    def total(self) -> int:
        """Rows that match, as the API states."""
        return self.page.envelope.total_results

    @property
    def totals(self) -> Totals:
        return Totals.of(self.page.envelope)

    @property
    def keys(self) -> set[str]:
        return self.outline.keys

    def first(self, which: int) -> int | None:
        """The first date of one kind (microseconds since 1970, UTC), None where no row has one."""
        return next((at for row in range(self.rows) if (at := self.outline.date(row, which)) is not None), None)

    def last(self, which: int) -> int | None:
        """The date of the last row that has a key and a date of that kind."""
        return next((at for row in self._usable(which) if (at := self.outline.date(row, which)) is not None), None)

    def tail(self, which: int, count: int) -> list[RowMark]:
        """The last `count` rows that have a key and a date of that kind, in their order."""
        return [self.outline.mark(row) for row in islice(self._usable(which), count)][::-1]

    def since(self, which: int, at: int) -> int:
        """Rows at the end of the page whose date is not before `at`, those without a date among them."""
        rows = reversed(range(self.rows))
        before = next((row for row in rows if (date := self.outline.date(row, which)) is not None and date < at), -1)
        return self.rows - 1 - before

    def _usable(self, which: int) -> Iterator[int]:
        """Rows that have a key and a date of one kind, the last first."""
        rows = reversed(range(self.rows))
        return (row for row in rows if self.outline.key(row) is not None and self.outline.date(row, which) is not None)


def earliest_date(page: Page, listing: Listing) -> datetime | None:
    """The earliest date among a page's rows, of whatever kind; None without one."""
    found = outline(page.body, listing, page.envelope.marks)
    dates = [at for which in range(len(DATES[listing.resource])) for at in found.dates(which)]
    return EPOCH + timedelta(microseconds=min(dates)) if dates else None
