"""Read the parts of a first load together with workers: the side of the run that loads.

The run keeps as many parts on the queue as others may read at once, and reads parts itself meanwhile, the last ones first. It takes
over what a worker has read, reads what a worker has lost or given up, and waits for nothing but a worker that is heard of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from debitura_pipeline.errors import DebituraError, SharedStoreError
from debitura_pipeline.extract.reader import Reader
from debitura_pipeline.extract.window_record import VerifiedWindow
from debitura_pipeline.first_load.part_store import BEAT, FAILED, WHOLE, Attempts, PartStore
from debitura_pipeline.first_load.plan import LoadPart, LoadPlan, PartResult, chained
from debitura_pipeline.first_load.progress import PartProgress
from debitura_pipeline.landing.journal_lines import WindowLine
from debitura_pipeline.work_queue.broker import BrokerError
from debitura_pipeline.work_queue.parts import PartQueue

LOOK_S = 1.0
WINDOWS_A_PART = 12  # that are read at the same time, at least, of a part of 50,000 rows
QUIET_S = 30.0  # a broker that cannot be used is not asked again within this time

log = logging.getLogger(__name__)


@dataclass
class ReadTogether:
    """Reads the parts of `plan`. `requests`, `retries`: of the workers whose parts were taken over; `notes`: theirs."""

    reader: Reader
    plan: LoadPlan
    store: PartStore
    queue: PartQueue
    clock: Callable[[], float] = time.monotonic
    requests: int = 0
    retries: int = 0
    notes: list[str] = field(default_factory=list)
    _broker_after: float = 0.0

    def __post_init__(self) -> None:
        """Take over the parts that an interrupted run has in its journal."""
        self.reader.number_from(self.plan.own_number)
        self._parts = {part.number: PartProgress(part) for part in self.plan.parts}
        for progress in self._parts.values():
            progress.windows = chained(self.reader.landed.values(), progress.part)

    async def read(self) -> list[VerifiedWindow]:
        """Windows that cover the listing, sorted by number. Raises ApiError, UnprovenError and LandingError of the run's own
        reading; what workers cannot read, it reads itself."""
        own: set[asyncio.Task[None]] = set()
        await self._forget_own_claims()
        try:
            while True:
                await self._look()
                for task in [task for task in own if task.done()]:
                    own.remove(task)
                    await task  # raises its error
                if not own and all(progress.is_done for progress in self._parts.values()):
                    break
                await self._send()
                while (progress := self._next(len(own))) is not None:
                    progress.is_own = True
                    own.add(asyncio.create_task(self._read(progress)))
                waiting = own or {asyncio.create_task(asyncio.sleep(LOOK_S))}
                await asyncio.wait(waiting, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            await self._take_back()
        found = [window for progress in self._parts.values() for window in progress.windows or ()]
        return sorted(found, key=lambda window: window.seq)

    def _next(self, reading: int) -> PartProgress | None:
        """What the run reads next: what a worker has lost, then the last part that no worker has begun.

        `reading`: parts that it reads now; more than one only where answers are slow, so that as many requests are in flight as
        may be.
        """
        if reading * WINDOWS_A_PART >= self.reader.client.concurrency_limit:
            return None
        open_ = [progress for progress in self._parts.values() if not progress.is_done and not progress.is_own]
        lost = [progress for progress in open_ if progress.is_lost]
        unsent = [progress for progress in open_ if progress.sent_at is None]
        unbegun = [progress for progress in open_ if progress.sent_at is not None and not progress.is_begun]
        return next((group[-1] for group in (lost, unsent, [] if reading else unbegun) if group), None)

    async def _read(self, progress: PartProgress) -> None:
        with suppress(SharedStoreError):  # a worker may then read it, too
            await asyncio.to_thread(self.store.claim, progress.part.number)
        progress.windows = await self.reader.read(progress.part.slices)

    async def _look(self) -> None:
        """Take over what is whole, and notice what is lost. A store that cannot be used leaves all parts to the run."""
        now = self.clock()
        try:
            found = await asyncio.to_thread(self.store.attempts)
        except SharedStoreError as error:
            log.warning("What workers have read cannot be seen: %s", error)
            found = {}
        for progress in self._parts.values():
            if progress.is_done or progress.is_own or progress.is_lost:
                continue
            there = found.get(progress.part.number, Attempts())
            if whole := there.having(WHOLE):
                await self._take_over(progress, whole)
            else:
                await self._notice(progress, there, now)

    async def _take_over(self, progress: PartProgress, attempts: list[str]) -> None:
        """Take the windows of the first attempt that holds what it says. If none does, the part is lost."""
        part = progress.part
        for attempt in attempts:
            try:
                result = await asyncio.to_thread(self._fetch, part, attempt)
            except SharedStoreError as error:
                log.warning("Part %d of %s is not taken over: %s", part.number, self.plan.load_id, error)
                continue
            progress.windows = [self.reader.adopt(line) for line in result.windows]
            self.requests, self.retries = self.requests + result.requests, self.retries + result.retries
            self.notes += [note for note in result.notes if note not in self.notes]
            log.info("part %d of %s: %d windows of a worker", part.number, self.plan.load_id, len(result.windows))
            return
        progress.is_lost = True

    def _fetch(self, part: LoadPart, attempt: str) -> PartResult:
        """Download a part's files; in a thread. Raises SharedStoreError if it is not what a worker writes."""
        result = self.store.result(part.number, attempt)
        try:
            windows = [VerifiedWindow.from_line(line) for line in result.windows]
        except ArithmeticError:
            windows = []
        chain = chained(windows, part)
        known = {line.seq: line for line in self.reader.folder.windows}
        if (
            chain is None
            or len(chain) != len(windows)
            or not all(_may_add(line, part, known) for line in result.windows)
        ):
            raise SharedStoreError(f"attempt {attempt} does not cover the part.")
        for line in result.windows:
            if line.file is not None:
                self.store.download(part.number, attempt, self.reader.folder.path / line.file, str(line.sha256))
        return result

    async def _notice(self, progress: PartProgress, there: Attempts, now: float) -> None:
        """Whether a part that is on the queue or with a worker is lost."""
        number = progress.part.number
        failed = set(there.having(FAILED))
        for attempt in failed - progress.failed:
            progress.given_up(attempt)
            with suppress(SharedStoreError):
                reason = await asyncio.to_thread(self.store.reason, number, attempt)
                log.warning("A worker gave up part %d of %s: %s", number, self.plan.load_id, reason)
        for attempt in there.having(BEAT):
            with suppress(SharedStoreError, msgspec.DecodeError):
                beat = await asyncio.to_thread(self.store.last_beat, number, attempt)
                if attempt not in failed and beat is not None:
                    progress.heard(attempt, beat, now)
        if progress.is_to_be_asked_for(now):
            try:
                is_waiting = await asyncio.to_thread(self.queue.is_waiting, number)
            except BrokerError:
                is_waiting = False
            progress.asked_for(now, is_waiting=is_waiting)
        progress.is_lost = progress.is_lost_at(now)

    async def _send(self) -> None:
        """Keep as many parts with workers as may read beside this process, in the order of the calendar."""
        busy = sum(1 for each in self._parts.values() if each.sent_at is not None and not each.is_over)
        for progress in self._parts.values():
            if busy >= self.plan.readers - 1 or self.clock() < self._broker_after:
                return
            if progress.sent_at is None and not progress.is_over:
                try:
                    await asyncio.to_thread(self.queue.put, progress.part.number)
                except BrokerError as error:
                    log.warning("No worker can be asked to read a part: %s", error)
                    self._broker_after = self.clock() + QUIET_S
                    return
                progress.sent_at, busy = self.clock(), busy + 1

    async def _forget_own_claims(self) -> None:
        """What an interrupted run was about to read may be read by a worker."""
        with suppress(SharedStoreError):
            for number, there in (await asyncio.to_thread(self.store.attempts)).items():
                if there.is_own:
                    await asyncio.to_thread(self.store.unclaim, number)

    async def _take_back(self) -> None:
        """Leave no message that no worker has taken."""
        sent = [number for number, progress in self._parts.items() if progress.sent_at is not None]
        with suppress(DebituraError):
            if sent:
                await asyncio.to_thread(self.queue.take_back, sent)


def _may_add(line: WindowLine, part: LoadPart, known: dict[int, WindowLine]) -> bool:
    """Whether a worker's window has a number of its part, that no other window of the journal has."""
    return part.has_number(line.seq) and known.get(line.seq, line) == line
