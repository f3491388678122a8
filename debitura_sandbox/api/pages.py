"""Assemble pages as bytes from blocks of prerendered rows, paging block and summary.

Blocks are cached up to a limit of bytes; the least recently used are evicted first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from debitura_sandbox.api.bulk_json import RenderedBlock, render
from debitura_sandbox.api.listing import Listings
from debitura_sandbox.api.query import ListQuery
from debitura_sandbox.world.columns import Array
from debitura_sandbox.world.world import World

BLOCK_ROWS = 2_000
ROWS_KEY = {"clients": "clients", "cases": "cases", "transactions": "data"}


@dataclass(frozen=True)
class Page:
    """The parts of one page: its rows as text, their number, paging block and summary."""

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
        self._blocks: OrderedDict[tuple[str, int], RenderedBlock] = OrderedDict()
        self._versions: dict[str, int] = {}

    def page(self, query: ListQuery, now_us: int, request_number: int) -> Page:
        """The requested page; pages past the end have no rows."""
        selection = self.listings.select(query, now_us)
        shown = self.listings.arrange(selection, query, request_number)
        total = len(shown.rows)
        first = min((query.page - 1) * query.page_size, total)
        last = min(first + query.page_size, total)
        if shown.start is not None and not query.is_descending:
            text = self._run(query.resource, shown.start + first, shown.start + last)
        else:
            rows = shown.rows[total - last : total - first][::-1] if query.is_descending else shown.rows[first:last]
            text = self._scattered(query.resource, rows)
        paging = b'{"totalResults":%d,"pageSize":%d,"currentPage":%d,"responseCount":%d,"totalPages":%d}' % (
            total, query.page_size, query.page, last - first, -(-total // query.page_size),
        )  # fmt: skip
        return Page(query.resource, text, last - first, paging, selection.summary)

    def prerender(self, resource: str) -> None:
        """Render all rows now, up to the cache's limit."""
        count = len(self.listings.index(resource).rows)
        for number in range(-(-count // BLOCK_ROWS)):
            if self._used >= self._limit:
                return
            self._block(resource, number)

    def _scattered(self, resource: str, rows: Array) -> bytes:
        return render(self._world, resource, rows).cut(0, len(rows)) if len(rows) else b""

    def _run(self, resource: str, first: int, last: int) -> bytes:
        parts = []
        while first < last:
            number, offset = divmod(first, BLOCK_ROWS)
            stop = min(last - number * BLOCK_ROWS, BLOCK_ROWS)
            parts.append(self._block(resource, number).cut(offset, stop))
            first = number * BLOCK_ROWS + stop
        return parts[0] if len(parts) == 1 else b",".join(parts)

    def _block(self, resource: str, number: int) -> RenderedBlock:
        version = self._world.versions[resource]
        if self._versions.get(resource) != version:
            self._versions[resource] = version
            for key in [key for key in self._blocks if key[0] == resource]:
                self._used -= len(self._blocks.pop(key).text)
        key = (resource, number)
        block = self._blocks.get(key)
        if block is None:
            rows = self.listings.index(resource).rows[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS]
            block = self._blocks[key] = render(self._world, resource, rows)
            self._used += len(block.text)
            while self._used > self._limit and len(self._blocks) > 1:
                self._used -= len(self._blocks.popitem(last=False)[1].text)
        else:
            self._blocks.move_to_end(key)
        return block
