"""Pages of listings as bytes: text of rows made ahead in slabs, cut and put between the paging block and the totals.

Belongs here: what is kept in memory, and the order of a page's parts. Does not: choosing rows (`listing.py`) or writing
them (`render.py`). Slabs are kept up to a limit of bytes, the longest unused going first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from debitura_sandbox.api.bulk_json import Slab, render
from debitura_sandbox.api.listing import Listings
from debitura_sandbox.api.query import Ask
from debitura_sandbox.world.columns import Array
from debitura_sandbox.world.world import World

SLAB_ROWS = 2_000
ROWS_KEY = {"clients": "clients", "cases": "cases", "transactions": "data"}


@dataclass(frozen=True)
class Page:
    """One page before it is joined: its rows as text, how many, and the two blocks around them."""

    resource: str
    rows_text: bytes
    row_count: int
    paging: bytes
    summary: bytes

    def body(self) -> bytes:
        """The page as the API sends it."""
        rows = b'"%s":[%s]' % (ROWS_KEY[self.resource].encode(), self.rows_text)
        paging, summary = b'"page":' + self.paging, b'"summary":' + self.summary
        parts = {
            "transactions": (rows, paging, summary), "cases": (paging, rows, summary), "clients": (paging, summary, rows),
        }[self.resource]  # fmt: skip
        return b"{" + b",".join(parts) + b"}"


class Pages:
    """Makes pages of one world."""

    def __init__(self, world: World, cache_bytes: int) -> None:
        self.listings = Listings(world)
        self._world = world
        self._limit, self._used = cache_bytes, 0
        self._slabs: OrderedDict[tuple[str, int], Slab] = OrderedDict()
        self._versions: dict[str, int] = {}

    def page(self, ask: Ask, now_us: int, request_number: int) -> Page:
        """The page that a request asks for; a page past the end has no rows."""
        selection = self.listings.select(ask, now_us)
        shown = self.listings.arrange(selection, ask, request_number)
        total = len(shown.rows)
        first = min((ask.page - 1) * ask.page_size, total)
        last = min(first + ask.page_size, total)
        if shown.start is not None and not ask.is_descending:
            text = self._run(ask.resource, shown.start + first, shown.start + last)
        else:
            rows = shown.rows[total - last : total - first][::-1] if ask.is_descending else shown.rows[first:last]
            text = self._scattered(ask.resource, rows)
        paging = b'{"totalResults":%d,"pageSize":%d,"currentPage":%d,"responseCount":%d,"totalPages":%d}' % (
            total, ask.page_size, ask.page, last - first, -(-total // ask.page_size),
        )  # fmt: skip
        return Page(ask.resource, text, last - first, paging, selection.summary)

    def make_ahead(self, resource: str) -> None:
        """Write the text of all rows now, as far as the memory set aside allows."""
        count = len(self.listings.index(resource).rows)
        for number in range(-(-count // SLAB_ROWS)):
            if self._used >= self._limit:
                return
            self._slab(resource, number)

    def _scattered(self, resource: str, rows: Array) -> bytes:
        return render(self._world, resource, rows).cut(0, len(rows)) if len(rows) else b""

    def _run(self, resource: str, first: int, last: int) -> bytes:
        parts = []
        while first < last:
            number, offset = divmod(first, SLAB_ROWS)
            stop = min(last - number * SLAB_ROWS, SLAB_ROWS)
            parts.append(self._slab(resource, number).cut(offset, stop))
            first = number * SLAB_ROWS + stop
        return parts[0] if len(parts) == 1 else b",".join(parts)

    def _slab(self, resource: str, number: int) -> Slab:
        version = self._world.versions[resource]
        if self._versions.get(resource) != version:
            self._versions[resource] = version
            for key in [key for key in self._slabs if key[0] == resource]:
                self._used -= len(self._slabs.pop(key).text)
        key = (resource, number)
        slab = self._slabs.get(key)
        if slab is None:
            rows = self.listings.index(resource).rows[number * SLAB_ROWS : (number + 1) * SLAB_ROWS]
            slab = self._slabs[key] = render(self._world, resource, rows)
            self._used += len(slab.text)
            while self._used > self._limit and len(self._slabs) > 1:
                self._used -= len(self._slabs.popitem(last=False)[1].text)
        else:
            self._slabs.move_to_end(key)
        return slab
