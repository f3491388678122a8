"""Store events in groups: those that arrive while the disk is busy share the next write.

Deliveries are answered 200 only after their group is on the disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from debitura_pipeline.webhooks.inbox import Inbox, InboxReplaced
from debitura_pipeline.webhooks.segments import Entry, Received, Repeated

MAX_QUEUED = 2_000  # events that wait for the disk; a delivery beyond that is answered 503 and comes again
CHECK_S = 1.0  # between looks at the inbox while nothing is written
REPEATS_FLUSHED_AT = 500  # repeated deliveries that are counted in memory before they are written


class GroupCommit:
    """Stores events through one writing thread. `now`: the clock. Start `run` as a task; call `close` after the last event.

    `fault`: why nothing is stored any more, until the process ends; None while all is well.
    """

    def __init__(self, inbox: Inbox, now: Callable[[], datetime], max_queued: int = MAX_QUEUED) -> None:
        self._inbox, self._now, self._max_queued = inbox, now, max_queued
        self._queue: list[Received] = []
        self._pending: dict[str, asyncio.Future[bool]] = {}  # by event id, oldest first
        self._received_at: dict[str, datetime] = {}
        self._repeats: Counter[str] = Counter()
        self._wake = asyncio.Event()
        self._is_over = False
        self._thread = ThreadPoolExecutor(1, "inbox")
        self.commits = 0
        self.last_commit_at: datetime | None = None
        self.last_error: str | None = None
        self.failed_at: datetime | None = None
        self.fault: InboxReplaced | None = None

    @property
    def queued(self) -> int:
        """Events that are not on the disk yet."""
        return len(self._pending)

    @property
    def oldest_queued_at(self) -> datetime | None:
        """When the event that waits longest was received; None if none waits."""
        return next(iter(self._received_at.values()), None)

    def is_known(self, event_id: str) -> bool:
        """Whether the event is stored. False if the inbox is gone, and the event with it."""
        return self.fault is None and event_id in self._inbox.known

    def count_repeat(self, event_id: str) -> None:
        """Note another delivery of a stored event; it is written with the next group."""
        self._repeats[event_id] += 1
        if len(self._repeats) >= REPEATS_FLUSHED_AT:
            self._wake.set()

    async def store(self, event: Received) -> bool:
        """Wait until the event is on the disk. False if the queue is full, the disk refused it or the inbox is gone."""
        waiting = self._pending.get(event.id)
        if waiting is not None:  # delivered twice at the same time
            is_stored = await asyncio.shield(waiting)
            if is_stored:
                self.count_repeat(event.id)
            return is_stored
        if len(self._pending) >= self._max_queued or self._is_over or self.fault is not None:
            return False
        self._pending[event.id] = waiting = asyncio.get_running_loop().create_future()
        self._received_at[event.id] = event.received_at
        self._queue.append(event)
        self._wake.set()
        return await asyncio.shield(waiting)

    async def run(self) -> None:
        """Write groups until `close`, and what is left then. Between them, notice an inbox that is gone."""
        while not self._is_over:
            try:
                async with asyncio.timeout(CHECK_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._check()
                continue
            self._wake.clear()
            await self._commit()
        await self._commit()

    async def close(self, running: asyncio.Task[None]) -> None:
        """Write what waits, end the task of `run` and close the inbox."""
        self._is_over = True
        self._wake.set()
        await running
        self._thread.shutdown()
        self._inbox.close()

    async def _commit(self) -> None:
        events, self._queue = self._queue, []
        repeats, self._repeats = self._repeats, Counter()
        entries: list[Entry] = [*events, *(Repeated(one, times) for one, times in repeats.items())]
        if not entries:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._inbox.append, entries, self._now())
        except (OSError, InboxReplaced) as error:
            self._note(error)
            self._repeats.update(repeats)
            self._settle(events, is_stored=False)
            return
        self.commits += 1
        self.last_commit_at, self.last_error = self._now(), None
        self._inbox.known.update((event.id, event.received_at) for event in events)
        self._settle(events, is_stored=True)

    async def _check(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._inbox.check_in_place)
        except (OSError, InboxReplaced) as error:
            self._note(error)

    def _note(self, error: OSError | InboxReplaced) -> None:
        self.failed_at = self._now()
        if isinstance(error, InboxReplaced):
            self.fault, self.last_error = error, "the inbox was moved, deleted, replaced or cut"
        else:
            self.last_error = error.strerror or type(error).__name__

    def _settle(self, events: list[Received], *, is_stored: bool) -> None:
        for event in events:
            del self._received_at[event.id]
            waiting = self._pending.pop(event.id)
            if not waiting.done():
                waiting.set_result(is_stored)
