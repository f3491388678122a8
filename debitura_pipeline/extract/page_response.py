"""One page of a listing with the keys and dates of its rows, as keyset reading needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.contract.listings import Listing
from debitura_pipeline.extract.window_record import Totals
from debitura_pipeline.extract.windows import EPOCH
from debitura_pipeline.landing.outline import DATES, Outline, RowKeys, outline


@dataclass(frozen=True)
class PageResponse:
    """A page and the outline of its rows. Dates are microseconds since 1970, UTC; `which` is an index in `outline.DATES`."""

    page: Page
    outline: Outline

    @classmethod
    def of(cls, page: Page, listing: Listing) -> PageResponse:
        """Read the outline of a page."""
        return cls(page.without_row_keys(), outline(page.body, listing, page.metadata.row_keys))

    @property
    def rows(self) -> int:
        """Number of rows on the page."""
        return len(self.outline)

    @property
    def total(self) -> int:
        """Number of rows that match the query, as stated by the API."""
        return self.page.metadata.total_results

    @property
    def totals(self) -> Totals:
        """Count and summary, as stated by the API."""
        return Totals.of(self.page.metadata)

    @property
    def keys(self) -> set[str]:
        """Keys of the rows; rows without a key are omitted."""
        return self.outline.keys

    @property
    def unkeyed(self) -> int:
        """Number of rows without a key. A row that is shown twice has one."""
        return self.outline.unkeyed

    def first(self, which: int) -> int | None:
        """The date of the first row that has one; None if no row has."""
        return next((at for row in range(self.rows) if (at := self.outline.date(row, which)) is not None), None)

    def last(self, which: int) -> int | None:
        """The date of the last row that has both a key and this date; None if no row has."""
        return next((at for row in self._usable(which) if (at := self.outline.date(row, which)) is not None), None)

    def tail(self, which: int, count: int) -> list[RowKeys]:
        """The last `count` rows that have both a key and this date, in page order."""
        return [self.outline.mark(row) for row in islice(self._usable(which), count)][::-1]

    def since(self, which: int, at: int) -> int:
        """Number of rows at the end of the page dated `at` or later, including rows without a date."""
        rows = reversed(range(self.rows))
        before = next((row for row in rows if (date := self.outline.date(row, which)) is not None and date < at), -1)
        return self.rows - 1 - before

    def _usable(self, which: int) -> Iterator[int]:
        """Positions of rows that have a key and this date, last row first."""
        rows = reversed(range(self.rows))
        return (row for row in rows if self.outline.key(row) is not None and self.outline.date(row, which) is not None)


def earliest_date(page: Page, listing: Listing) -> datetime | None:
    """Return the earliest date of any kind on a page, aware UTC; None if no row has a date."""
    found = outline(page.body, listing, page.metadata.row_keys)
    dates = [at for which in range(len(DATES[listing.resource])) for at in found.dates(which)]
    return EPOCH + timedelta(microseconds=min(dates)) if dates else None
