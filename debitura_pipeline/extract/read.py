"""Reads slices of a listing and verifies each: every page of one version, as many distinct keys as the API counts.

Belongs here: reading, splitting, trying again, landing. Does not: choosing what to read (`plan.py`), proving the listing
as a whole (`prove.py`). Used by `sync/`. Nothing here trusts the order of rows, page numbers or the end of a list.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from debitura_pipeline.api.client import ApiClient, Page
from debitura_pipeline.api.listings import Listing, Query, path_to
from debitura_pipeline.errors import DebituraError, UnprovenError
from debitura_pipeline.extract.evidence import Totals, VerifiedWindow
from debitura_pipeline.extract.windows import BY_ID, DAWN, Filters, Slice, Window
from debitura_pipeline.landing.outline import outline
from debitura_pipeline.landing.shape import Shaped, Shaper
from debitura_pipeline.landing.store import SyncFolder

PAGE_ROWS = 100  # the API's largest page
MAX_WINDOW_ROWS = 5_000  # 50 pages, some 5 MB: cheap to read again when the list moved, and a month of most partners
EVENNESS = 0.8  # parts are cut as if rows were spread evenly, with this much of the room used
BY_ID_ROWS = 200  # rows asked for one by one that make up one landed file
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ATTEMPTS = 5  # readings of one window that keeps moving before it is split, or given up


@dataclass(frozen=True)
class Progress:
    """How far a sync is: pages read of those known to be needed so far, rows landed."""

    resource: str
    pages: int
    pages_known: int
    rows: int
    windows: int


@dataclass
class Reader:
    """Reads one listing into one sync folder. `shaping` is one thread: the shaper owns one DuckDB connection."""

    client: ApiClient
    shaper: Shaper
    shaping: ThreadPoolExecutor
    folder: SyncFolder
    listing: Listing
    upper: datetime
    concurrency: int
    progress: Callable[[Progress], None] | None = None
    landed: dict[Slice, VerifiedWindow] = field(default_factory=dict)
    earliest: datetime | None = None
    _pages: int = 0
    _pages_known: int = 0
    _rows: int = 0
    _next_seq: int = 1

    def __post_init__(self) -> None:
        """Take up what an interrupted sync has landed already, file by file checked."""
        for line in self.folder.of("window"):
            self._next_seq = max(self._next_seq, line["seq"] + 1)
            if line["file"] is None or self.folder.file_intact(line):
                verified = VerifiedWindow.from_line(line)
                self.landed[verified.slice] = verified

    async def read(self, slices: Sequence[Slice], *, again: bool = False) -> list[VerifiedWindow]:
        """Verified windows that cover `slices`, several read side by side; `again` reads even what is landed.

        Raises UnprovenError naming the window that would not hold still, or the ApiError that ended the reading.
        """
        open_windows = asyncio.Semaphore(self.concurrency)
        results: list[VerifiedWindow] = []

        async def one(slice_: Slice) -> None:
            async with open_windows:
                verified, parts = await self._read_or_split(slice_, again)
            results.extend(verified)
            for part in parts:
                group.create_task(one(part))

        try:
            async with asyncio.TaskGroup() as group:
                for slice_ in slices:
                    group.create_task(one(slice_))
        except BaseExceptionGroup as problems:
            raise _first(problems) from None
        return sorted(results, key=lambda verified: verified.seq)

    async def totals(self, slice_: Slice) -> Totals:
        """What the API states of a window now; one request."""
        return Totals.of((await self._page(slice_, 1)).envelope)

    async def exact_totals(self, start: datetime | None, end: datetime | None, filters: Filters) -> Totals:
        """What the API states between two instants, both included, without overlap; one request."""
        page = await self.client.page(Query(self.listing, start, end, filters), 1)
        return Totals.of(page.envelope)

    async def read_whole(self, slice_: Slice) -> VerifiedWindow | None:
        """The window read as one list however long it is, or None where it would not hold still."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            first = await self._page(slice_, 1)
            shaped, _ = await self._whole(slice_, first)
            if shaped is not None:
                return await self._land(slice_, Totals.of(first.envelope), shaped, attempt)
        return None

    async def read_by_id(self, path: str, keys: Sequence[str]) -> tuple[list[VerifiedWindow], set[str]]:
        """Rows asked for one by one below `path`: landed in windows of their own, and the keys that the API knows not."""
        landed: list[VerifiedWindow] = []
        unknown: set[str] = set()
        for start in range(0, len(keys), BY_ID_ROWS):
            chunk = keys[start : start + BY_ID_ROWS]
            what = f"Reading one of the {self.listing.resource} by its id"
            bodies = await asyncio.gather(*(self.client.body(path + path_to(key), what=what) for key in chunk))
            unknown |= {key for key, body in zip(chunk, bodies, strict=True) if body is None}
            found = [body for body in bodies if body is not None]
            if found:
                landed.append(await self._land_rows(found))
        return landed, unknown

    async def _land_rows(self, rows: list[bytes]) -> VerifiedWindow:
        """Rows that came alone, as one page of a listing; the slow road takes them, whatever their spelling."""
        page = b'{"%s":[%s]}' % (self.listing.rows_key.encode(), b",".join(rows))
        shaped = await self._shape([page], is_canonical=False)
        totals = Totals(shaped.distinct_keys, {})
        slice_ = Slice(Window(None, None), ((BY_ID, str(self._next_seq)),))
        return await self._land(slice_, totals, shaped, 1)

    async def _read_or_split(self, slice_: Slice, again: bool) -> tuple[list[VerifiedWindow], tuple[Slice, ...]]:
        if slice_ in self.landed and not again:
            return [self.landed[slice_]], ()
        fault = ""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            first = await self._page(slice_, 1)
            self._note_earliest(slice_, first)
            if first.envelope.total_results > MAX_WINDOW_ROWS:
                wanted = math.ceil(first.envelope.total_results / (MAX_WINDOW_ROWS * EVENNESS))
                parts = slice_.split(self.earliest or self.upper, self.upper, wanted)
                if parts:
                    return [], parts
            shaped, fault = await self._whole(slice_, first)
            if shaped is not None:
                return [await self._land(slice_, Totals.of(first.envelope), shaped, attempt)], ()
        parts = slice_.split(self.earliest or self.upper, self.upper)
        if parts:  # smaller windows have a better chance to hold still
            return [], parts
        raise UnprovenError(
            f"Reading {self.listing.resource} of {slice_.name} failed: {fault} in each of {MAX_ATTEMPTS} readings. "
            "Nothing of this sync reached the warehouse; run it again when the API is quieter.",
            resource=self.listing.resource,
            window=slice_.name,
        )

    async def _whole(self, slice_: Slice, first: Page) -> tuple[Shaped | None, str]:
        """All pages as one shaped window, or None and what does not agree."""
        count = -(-first.envelope.total_results // PAGE_ROWS)
        self._pages_known += max(count - 1, 0)
        pages = [first, *await asyncio.gather(*(self._page(slice_, number) for number in range(2, count + 1)))]
        version = Totals.of(first.envelope).version
        if any(Totals.of(page.envelope).version != version for page in pages):
            return None, "its pages state different totals"
        canonical = all(page.envelope.is_canonical for page in pages)
        shaped = await self._shape([page.body for page in pages], is_canonical=canonical)
        if shaped.distinct_keys != first.envelope.total_results:
            return None, f"{shaped.distinct_keys} distinct keys for {first.envelope.total_results} rows announced"
        return shaped, ""

    async def _shape(self, pages: list[bytes], *, is_canonical: bool) -> Shaped:
        shape = partial(self.shaper.shape, self.listing.resource, pages, canonical=is_canonical)
        return await asyncio.get_running_loop().run_in_executor(self.shaping, shape)

    async def _land(self, slice_: Slice, totals: Totals, shaped: Shaped, attempt: int) -> VerifiedWindow:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        file = f"{seq:06d}.parquet" if shaped.good else None
        sha256 = None
        if file is not None:
            path = self.folder.path / file
            sha256 = await asyncio.get_running_loop().run_in_executor(self.shaping, lambda: shaped.write(path, seq))
        verified = VerifiedWindow(
            slice_,
            seq,
            totals,
            shaped.rows,
            shaped.distinct_keys,
            attempt,
            file,
            sha256,
            shaped.bad,
            shaped.drift,
        )
        self.folder.append("window", **verified.as_line())
        self.landed[slice_] = verified
        self._rows += shaped.rows
        self._tell()
        return verified

    async def _page(self, slice_: Slice, number: int) -> Page:
        if number == 1:
            self._pages_known += 1
        page = await self.client.page(slice_.query(self.listing), number)
        self._pages += 1
        self._tell()
        return page

    def _note_earliest(self, slice_: Slice, first: Page) -> None:
        """The first row's instant, where a window without lower bound has to be parted."""
        if slice_.window.start is None and first.envelope.total_results > 0:
            self.earliest = earliest_in(first.body, self.listing) or self.earliest

    def _tell(self) -> None:
        if self.progress is not None:
            state = Progress(self.listing.resource, self._pages, self._pages_known, self._rows, len(self.landed))
            self.progress(state)


def earliest_in(body: bytes, listing: Listing) -> datetime | None:
    """Earliest believable instant among a page's rows by the listing's own dates, aware UTC; None without one."""
    micros = [at for mark in outline(body, listing) for at in mark.dates if at is not None]
    instants = (EPOCH + timedelta(microseconds=at) for at in micros)
    return min((instant for instant in instants if instant > DAWN), default=None)


def _first(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to show of several that happened at once: one raised on purpose before any other."""
    flat: list[BaseException] = []
    stack: list[BaseException] = [problems]
    while stack:
        problem = stack.pop()
        if isinstance(problem, BaseExceptionGroup):
            stack.extend(problem.exceptions)
        else:
            flat.append(problem)
    return next((problem for problem in flat if isinstance(problem, DebituraError)), flat[0])
