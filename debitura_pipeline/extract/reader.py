"""Read slices of a listing concurrently, by keyset, and land each of them as one file in the folder of the sync."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from debitura_pipeline.api.client import ApiClient
from debitura_pipeline.api.page_metadata import Page
from debitura_pipeline.contract.listings import Listing, Query, path_to
from debitura_pipeline.errors import RefusedError, UnprovenError
from debitura_pipeline.extract.behaviour import Behaviour, IgnoredParameterError, from_micros, to_micros
from debitura_pipeline.extract.calendar_parts import CalendarSplitter, Part
from debitura_pipeline.extract.filter_checks import FILTERS, check_filters
from debitura_pipeline.extract.landed_rows import DATE_COLUMNS, LandedRows
from debitura_pipeline.extract.listing_client import PAGE_ROWS, ListingClient, RequestLimitError
from debitura_pipeline.extract.page_response import PageResponse
from debitura_pipeline.extract.union import UnionReader
from debitura_pipeline.extract.window_record import Stretch, Totals, VerifiedWindow
from debitura_pipeline.extract.window_verification import Keyset
from debitura_pipeline.extract.windows import BY_ID, EVERYTHING, TICK, Filters, Slice
from debitura_pipeline.landing.journal_lines import WindowLine
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.landing.transform import PageTransformer, TransformedPages

log = logging.getLogger(__name__)

BY_ID_ROWS = 200  # rows requested by id that make up one landed file
MAX_PAGED_REQUESTS = 280  # limit for a list that can only be read by page numbers


@dataclass(frozen=True)
class ReadProgress:
    """Progress of a sync. `pages_known`: pages needed as far as known; `rows`, `windows`: landed so far."""

    resource: str
    pages: int
    pages_known: int
    rows: int
    windows: int


@dataclass
class FileNumbers:
    """Sequence numbers of landed files."""

    next: int = 1

    def take(self) -> int:
        """Return the next number, counted from 1."""
        self.next += 1
        return self.next - 1


@dataclass
class Reader:
    """Reads one listing into one sync folder.

    `transform_pool` has a single thread, since the transformer is not thread-safe. `upper`: upper bound of the sync.
    `opening_totals`: what the API stated of a slice when reading it began. `shown`: every window landed by this sync, by `seq`,
    those that were read again since included. `whole`: the slice whose totals all rows must add up to, if there is one.
    """

    client: ApiClient
    transformer: PageTransformer
    transform_pool: ThreadPoolExecutor
    folder: SyncFolder
    listing: Listing
    upper: datetime
    progress: Callable[[ReadProgress], None] | None = None
    landed: dict[Slice, VerifiedWindow] = field(default_factory=dict)
    shown: dict[int, VerifiedWindow] = field(default_factory=dict)
    opening_totals: dict[Slice, Totals] = field(default_factory=dict)
    whole: Slice | None = None
    _pages_known: int = 0
    _rows: int = 0
    _file_numbers: FileNumbers = field(default_factory=FileNumbers)

    def __post_init__(self) -> None:
        """Take over windows that an interrupted sync has landed, if their files are intact."""
        listing = self.listing
        self.listing_client = ListingClient(self.client, listing, self._report_progress)
        self.behaviour = Behaviour(listing.resource, listing.from_param, listing.to_param, PAGE_ROWS)
        self.splitter = CalendarSplitter(self.behaviour, self.upper)
        self._attempts: dict[Slice, int] = {}
        for line in self.folder.windows:
            self._file_numbers.next = max(self._file_numbers.next, line.seq + 1)
            if line.file is None or self.folder.is_intact(line.file, line.sha256):
                verified = VerifiedWindow.from_line(line)
                self.landed[verified.slice] = self.shown[line.seq] = verified

    def independent(self) -> Reader:
        """Return a reader into the same folder with a request limit and a `Behaviour` of its own."""
        return replace(self)

    @property
    def requests(self) -> int:
        """Number of requests sent."""
        return self.listing_client.requests

    @property
    def notes(self) -> tuple[str, ...]:
        """Harmless oddities of the API that make the sync slower, one sentence each."""
        if not self.behaviour.has_smaller_pages:
            return ()
        return (f"the API returns {self.behaviour.page_rows} rows a page, {PAGE_ROWS} were requested",)

    async def read(self, slices: Sequence[Slice], *, again: bool = False) -> list[VerifiedWindow]:
        """Read `slices` concurrently and return verified windows that cover them, sorted by `seq`.

        `again`: read slices again that have been landed already. Raises UnprovenError if a slice cannot be proven complete, or the
        ApiError of a request.
        """
        try:
            return await self._read(slices, again)
        except IgnoredParameterError as error:
            is_whole = len(slices) == 1 and slices[0].window == EVERYTHING
            if not is_whole or error.parameter in FILTERS:
                raise
            return [await self.read_by_pages(slices[0], str(error))]

    async def _read(self, slices: Sequence[Slice], again: bool) -> list[VerifiedWindow]:
        """Read as many windows at a time as requests may be in flight, since each holds its pages in memory."""
        waiting = deque(Part(slice_) for slice_ in slices)
        running: list[asyncio.Task[tuple[list[VerifiedWindow], list[Part]]]] = []
        results: list[VerifiedWindow] = []
        try:
            while waiting or running:
                while waiting and len(running) < max(1, self.client.concurrency_limit):
                    running.append(asyncio.create_task(self._read_or_split(waiting.popleft(), again)))
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                done = [task for task in running if task.done()]
                running = [task for task in running if task not in done]
                if failed := [error for task in done if (error := task.exception()) is not None]:
                    raise failed[0]
                for task in done:
                    verified, parts = task.result()
                    results += verified
                    waiting.extendleft(reversed(parts))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return sorted(results, key=lambda verified: verified.seq)

    def number_from(self, seq: int) -> None:
        """Give the next windows numbers from `seq` on; numbers below it belong to other processes."""
        self._file_numbers.next = max(self._file_numbers.next, seq)

    def adopt(self, line: WindowLine) -> VerifiedWindow:
        """Take over a window that another process has read; its file is in the folder. Raises LandingError, ArithmeticError."""
        verified = VerifiedWindow.from_line(line)
        if line not in self.folder.windows:  # else an interrupted run has taken it over
            self.folder.append(line)
        self.landed[verified.slice] = self.shown[line.seq] = verified
        self._rows += line.rows
        self._report_progress()
        return verified

    async def totals(self, slice_: Slice) -> Totals:
        """What the API states of a slice now; one request. Raises UnprovenError or ApiError."""
        return (await self.listing_client.first_page(slice_)).totals

    async def first_page(self, slice_: Slice) -> PageResponse:
        """The first page of a slice as it is now, with its totals; one request. Raises UnprovenError or ApiError."""
        return await self.listing_client.first_page(slice_)

    async def exact_totals(self, start: datetime | None, end: datetime | None, filters: Filters) -> Totals:
        """What the API states between two instants, both included; one request. Raises UnprovenError or ApiError."""
        return await self.listing_client.exact_totals(start, end, filters)

    async def read_by_id(
        self, path: str, keys: Sequence[str], on_refusal: Callable[[str, RefusedError], None] | None = None
    ) -> tuple[list[VerifiedWindow], set[str]]:
        """Request rows one by one below `path`; return the windows they were landed in, and the keys unknown to the API.

        `on_refusal`: called with a key that the API refuses to be asked for, which then counts as unknown; it may raise.
        Raises UnprovenError or ApiError; no further request is sent then.
        """
        landed: list[VerifiedWindow] = []
        unknown: set[str] = set()
        for start in range(0, len(keys), BY_ID_ROWS):
            chunk = keys[start : start + BY_ID_ROWS]
            self.listing_client.count_requests(len(chunk))
            bodies = await self._bodies(path, chunk, on_refusal)
            unknown |= {key for key, body in zip(chunk, bodies, strict=True) if body is None}
            found = [body for body in bodies if body is not None]
            if found:
                landed.append(await self._land_rows(found))
        return landed, unknown

    async def _bodies(
        self, path: str, keys: Sequence[str], on_refusal: Callable[[str, RefusedError], None] | None
    ) -> list[bytes | None]:
        """Request as many at a time as may be in flight. The first error ends it once those in flight are answered."""
        what = f"Reading one of the {self.listing.resource} by its id"
        bodies: list[bytes | None] = [None] * len(keys)
        left = deque(enumerate(keys))

        async def work() -> None:
            while left:
                number, key = left.popleft()
                try:
                    bodies[number] = await self.client.body(path + path_to(key), what=what)
                except RefusedError as error:
                    if on_refusal is None:
                        raise
                    on_refusal(key, error)

        async def work_until_error() -> None:
            try:
                await work()
            except BaseException:
                left.clear()
                raise

        workers = range(min(len(keys), max(1, self.client.concurrency_limit)))
        ended = await asyncio.gather(*(work_until_error() for _ in workers), return_exceptions=True)
        if failed := [error for error in ended if error is not None]:
            raise failed[0]
        return bodies

    async def listed_now(self, window: VerifiedWindow, keys: set[str]) -> set[str]:
        """Return the `keys`, of rows read by id into `window`, that the list also has at their current dates.

        Raises UnprovenError or ApiError.
        """
        table = self.landed_rows([window])
        dates = table.dates(keys, DATE_COLUMNS[self.listing.resource][self.behaviour.date])
        responses = await asyncio.gather(
            *(self.listing_client.fetch(Query(self.listing, at, at + TICK)) for at in sorted(set(dates)))
        )
        return keys & {key for response in responses for key in response.keys}

    def landed_rows(self, windows: Sequence[VerifiedWindow]) -> LandedRows:
        """Return the landed rows of these windows."""
        return LandedRows(self.listing.resource, self.files(windows))

    def files(self, windows: Iterable[VerifiedWindow]) -> list[Path]:
        """Return the files of those of `windows` that have rows."""
        return [self.folder.path / window.file for window in windows if window.file]

    async def _land_rows(self, rows: list[bytes]) -> VerifiedWindow:
        """Land rows that were requested by id, as one page of a listing."""
        page = b'{"%s":[%s]}' % (self.listing.rows_key.encode(), b",".join(rows))
        transformed = await self._transform([page], is_canonical=False)
        totals = Totals(transformed.distinct_keys, {})
        slice_ = Slice(EVERYTHING, ((BY_ID, str(self._file_numbers.next)),))
        return await self._land(slice_, totals, transformed)

    async def _read_or_split(self, part: Part, again: bool) -> tuple[list[VerifiedWindow], list[Part]]:
        slice_ = part.slice
        if slice_ in self.landed and not again:
            return [self.landed[slice_]], []
        if part.source is not None:
            return [await self._land_from_source(slice_, part.source)], []
        keyset = self._keyset(slice_)
        first = await keyset.fetch(keyset.lower, keyset.upper, True)
        self.behaviour.check(first, keyset.lower, keyset.upper)
        check_filters(first, slice_.filters, self.listing)
        self.splitter.check(first, part)
        self.opening_totals[slice_] = first.totals
        self._pages_known = max(self._pages_known, math.ceil(first.total / (PAGE_ROWS - 1)))
        if parts := self.splitter.parts(slice_, first, self.client.concurrency_limit):
            return [], parts
        contradicts_itself = first.total != first.rows and first.rows < self.behaviour.page_rows
        await keyset.read(None if contradicts_itself else first)
        return [await self._land_window(slice_, keyset)], []

    async def _land_from_source(self, slice_: Slice, source: PageResponse) -> VerifiedWindow:
        """Land a window from a wider response. Rows of that response outside the window are landed too; duplicates count once."""
        transformed = await self._transform_pages([source.page])
        stretch = Stretch(slice_.window.start, slice_.window.end, source.rows)
        return await self._land(
            slice_, Totals(transformed.distinct_keys, source.totals.summary), transformed, (stretch,)
        )

    def _keyset(self, slice_: Slice) -> Keyset:
        query = slice_.query(self.listing)

        async def fetch(lower: int | None, upper: int | None, with_totals: bool) -> PageResponse:
            query = Query(self.listing, _from_micros(lower), _from_micros(upper), slice_.filters)
            return await self.listing_client.fetch(query, with_totals=with_totals)

        async def union(lower: int, upper: int) -> tuple[list[PageResponse], bool]:
            async def page(listing: Listing, variant: Filters, number: int) -> PageResponse:
                query = Query(listing, from_micros(lower), from_micros(upper), (*slice_.filters, *variant))
                response = await self.listing_client.fetch(query, number)
                self.behaviour.check_bounds(response, lower, upper)
                return response

            return await UnionReader(self.listing, page, frozenset(name for name, _ in slice_.filters)).read_moving()

        return Keyset(self.behaviour, fetch, union, to_micros(query.from_), to_micros(query.to))

    async def read_by_pages(self, slice_: Slice, reason: str) -> VerifiedWindow:
        """Read a list that cannot be read by date, by page numbers until two passes are equal. `reason`: a sentence.

        Raises UnprovenError if that takes too many requests or no two passes are equal, or the ApiError of a request.
        """
        first = await self.listing_client.fetch(slice_.query(self.listing))
        pages = math.ceil(first.total / max(1, first.rows))
        too_many = UnprovenError(
            f"{reason} Without that {first.total} rows cannot be proven complete within {MAX_PAGED_REQUESTS} requests. "
            "Nothing of this sync reached the warehouse.",
            resource=self.listing.resource,
        )
        if self.requests + 2 * pages > MAX_PAGED_REQUESTS:
            raise too_many from None

        async def page(listing: Listing, variant: Filters, number: int) -> PageResponse:
            return await self.listing_client.fetch(Query(listing, filters=(*slice_.filters, *variant)), number)

        request_limit = self.listing_client.request_limit
        self.listing_client.request_limit = min(MAX_PAGED_REQUESTS, request_limit or MAX_PAGED_REQUESTS)
        try:
            responses = await UnionReader(self.listing, page, frozenset(name for name, _ in slice_.filters)).read()
        except RequestLimitError:
            raise too_many from None
        finally:
            self.listing_client.request_limit = request_limit
        transformed = await self._transform_pages([response.page for response in responses])
        stretch = Stretch(None, None, transformed.rows, "pages")
        return await self._land(slice_, responses[-1].totals, transformed, (stretch,))

    async def _land_window(self, slice_: Slice, keyset: Keyset) -> VerifiedWindow:
        transformed = await self._transform_pages(keyset.pages)
        summary = Totals.of(keyset.pages[0].metadata).summary
        return await self._land(
            slice_, Totals(keyset.counted, summary), transformed, tuple(keyset.stretches), has_moved=keyset.has_moved
        )

    async def _transform_pages(self, pages: Sequence[Page]) -> TransformedPages:
        canonical = all(page.metadata.is_canonical for page in pages)
        return await self._transform([page.body for page in pages], is_canonical=canonical)

    async def _transform(self, pages: list[bytes], *, is_canonical: bool) -> TransformedPages:
        transform = partial(self.transformer.transform, self.listing.resource, pages, canonical=is_canonical)
        return await asyncio.get_running_loop().run_in_executor(self.transform_pool, transform)

    async def _land(
        self,
        slice_: Slice,
        totals: Totals,
        transformed: TransformedPages,
        stretches: tuple[Stretch, ...] = (),
        *,
        has_moved: bool = False,
    ) -> VerifiedWindow:
        seq = self._file_numbers.take()
        file = f"{seq:06d}.parquet" if transformed.good else None
        sha256 = None
        if file is not None:
            path = self.folder.path / file
            sha256 = await asyncio.get_running_loop().run_in_executor(
                self.transform_pool, lambda: transformed.write(path, seq)
            )
        self._attempts[slice_] = attempts = self._attempts.get(slice_, 0) + 1
        verified = VerifiedWindow(
            slice_, seq, totals, transformed.rows, transformed.distinct_keys, attempts, file, sha256,
            transformed.bad, transformed.drift,
            stretches, has_moved, self._opening(),
        )  # fmt: skip
        self.folder.append(verified.as_line())
        self.landed[slice_] = self.shown[seq] = verified
        self._rows += transformed.rows
        log.debug("%s: window %d landed, %d rows, reading %d", self.listing.resource, seq, transformed.rows, attempts)
        self._report_progress()
        return verified

    def _opening(self) -> str | None:
        opening = None if self.whole is None else self.opening_totals.get(self.whole)
        return None if opening is None else opening.digest

    def _report_progress(self) -> None:
        if self.progress is not None:
            known = max(self._pages_known, self.requests)
            self.progress(ReadProgress(self.listing.resource, self.requests, known, self._rows, len(self.landed)))


def _from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
