"""Find run locks that a process still holds although Dagster's run that it executed has ended.

The process was stopped or hangs: the watchdog has failed its run, but only the end of the process frees its locks, and until
then every other run waits. Reads Dagster's storage as `runs.py` does, and does not import Dagster.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from debitura_pipeline.errors import DebituraError
from debitura_pipeline.orchestration.runs import PROCESS_TAG, Rows, dagster_places, instant_of, opened_storage
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.process_lock import Holder
from debitura_pipeline.warehouse.run_lock import current_run, file_run

ENDS_WITHIN = timedelta(minutes=1)  # a process whose run has ended frees its locks within seconds
UPLOADS_WITHIN = timedelta(minutes=30)  # with a shared store, it uploads what the run has added first
MAX_RUNS = 10  # of one process: a command that runs several, and retries, which have a copy of its tag
HOW = {"FAILURE": "was given up", "CANCELED": "was canceled", "SUCCESS": "ended"}
NO_WAIT_S = 0.0

_NAMED = re.compile(r"\(Dagster run ([0-9a-f]{8})\)")


@dataclass(frozen=True)
class HeldLock:
    """A run that ended at `ended_at` (aware UTC), and the process of it that still holds a run lock. `status`: Dagster's."""

    run_id: str
    job: str
    status: str
    ended_at: datetime
    pid: int
    host: str

    @property
    def fault(self) -> str:
        """What is wrong, in one sentence without a full stop."""
        where = "" if self._is_here else f" on host {self.host}"
        return (
            f"Dagster run {self.run_id[:8]} ({self.job}) {HOW[self.status]} at {self.ended_at:%Y-%m-%d %H:%M} UTC, but its process "
            f"{self.pid}{where} still holds the run lock"
        )

    @property
    def cure(self) -> str:
        """How to free the lock."""
        where = "" if self._is_here else f" on host {self.host}"
        return f"End it: `kill -9 {self.pid}`{where}. What it has not committed is undone, and the runs that wait can start."

    @property
    def _is_here(self) -> bool:
        return self.host == platform.node()


def find_held_locks(
    settings: Settings, now: datetime, holders: Iterable[Holder | None] | None = None
) -> list[HeldLock]:
    """The run locks that the processes of ended runs hold, one per run. `holders`: of the locks, if they are known already.

    A process that has just ended its run is given time to free them. Raises DebituraError if Dagster's storage cannot be read.
    """
    patience = ENDS_WITHIN if settings.shared_store is None else UPLOADS_WITHIN
    found: dict[str, HeldLock] = {}
    for holder in (current_run(settings), warehouse_holder(settings)) if holders is None else holders:
        lock = _of_ended_run(settings, holder) if holder is not None else None
        if lock is not None and now - lock.ended_at >= patience:
            found.setdefault(lock.run_id, lock)
    return list(found.values())


def warehouse_holder(settings: Settings) -> Holder | None:
    """Who holds the warehouse's own lock, for messages; possibly a run with another data directory."""
    path, dsn = settings.warehouse.path, settings.warehouse.dsn
    if path is not None:
        return file_run(path)
    if dsn is None:
        return None
    import psycopg  # noqa: PLC0415 - Postgres alone

    from debitura_pipeline.warehouse.postgres.connection import connect  # noqa: PLC0415
    from debitura_pipeline.warehouse.postgres.run_lock import holder_of  # noqa: PLC0415

    with (
        suppress(DebituraError, psycopg.Error),
        connect(dsn, "look at the run lock", read_only=True, wait_s=NO_WAIT_S) as connection,
    ):
        return holder_of(connection, settings.warehouse)
    return None


def _of_ended_run(settings: Settings, holder: Holder) -> HeldLock | None:
    """The run of the lock's holder if Dagster has it as ended. The lock must be older than that end: a process may go on after a
    run, and take the lock again for something else."""
    for place in dagster_places(settings):
        with opened_storage(place) as storage:
            rows = _ended(storage[0], holder) if storage is not None else ()
        for run_id, job, status, ended, updated, mark in rows:
            ended_at = instant_of(updated) if ended is None else datetime.fromtimestamp(ended, UTC)
            if _since(holder) <= ended_at:
                pid, host = _process(mark) or (holder.pid, holder.host)
                return HeldLock(run_id, job or "a job", status, ended_at, pid, host)
    return None


def _ended(rows: Rows, holder: Holder) -> list[Any]:
    """The ended runs of the lock's holder, oldest first: the run that it names, or else all runs of its process.

    The host's name may be any text of another program, so it is compared here and never becomes a part of the statement.
    """
    named = _NAMED.search(holder.what)
    if named is not None:
        return list(reversed(rows(_ENDED.format(which=f"r.run_id LIKE '{named[1]}%'"))))
    of_process = f"SELECT run_id FROM run_tags WHERE key = '{PROCESS_TAG}' AND value LIKE '%:{int(holder.pid)}:%'"
    found = rows(_ENDED.format(which=f"r.run_id IN ({of_process})"))
    return [row for row in reversed(found) if _process(row[-1]) == (holder.pid, holder.host)]


def _since(holder: Holder) -> datetime:
    """Since when it holds the lock; forever where it does not say."""
    try:
        return instant_of(holder.since)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def _process(mark: str | None) -> tuple[int, str] | None:
    """Process id and host of a process tag (`home.py`)."""
    host, _, rest = (mark or "").partition(":")
    pid = rest.partition(":")[0]
    return (int(pid), host) if pid.isdecimal() else None


_ENDED = f"""
    SELECT r.run_id, r.pipeline_name, r.status, r.end_time, r.update_timestamp, (SELECT max(t.value) FROM run_tags AS t
        WHERE t.run_id = r.run_id AND t.key = '{PROCESS_TAG}')
    FROM runs AS r WHERE r.status IN ('{"', '".join(HOW)}') AND {{which}} ORDER BY r.id DESC LIMIT {MAX_RUNS}"""
