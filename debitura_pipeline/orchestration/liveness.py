"""Detect whether a live process executes a Dagster run, by a lock per run that the process holds until it ends.

With SQLite storage the lock is a file in DAGSTER_HOME; with Postgres, which machines may share, it is an advisory lock.
`instance.py` ends the runs of dead processes.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psycopg

from debitura_pipeline.orchestration.runs import EXECUTING, HELD, lock_number
from debitura_pipeline.settings import Secret
from debitura_pipeline.warehouse.postgres.connection import connect
from debitura_pipeline.warehouse.process_lock import ProcessLock

if TYPE_CHECKING:
    import dagster as dg

# A restarted server has lost its locks; their holders take them again within this time.
RETAKE_S = 1.0
RECHECK_S = 5.0
RETRY_S = 0.2  # a process that only checks a lock holds it for a moment
CHECKED_FOR_S = 1.0  # a moment, on a busy machine


class RunLocks(Protocol):
    """The locks of one instance's runs."""

    def hold(self, run_id: str) -> None:
        """Take the lock of a run that this process executes; held until released or the process ends."""

    def try_hold(self, run_id: str) -> bool:
        """The same without waiting; False if another process executes the run."""

    def release_run(self, run_id: str) -> None:
        """Release the lock of a run."""

    def dead(self, run_ids: set[str]) -> set[str]:
        """The runs among `run_ids` that no live process executes."""

    def tidy(self, active: set[str]) -> None:
        """Release and remove locks of runs that are not in `active`."""


def run_locks(instance: dg.DagsterInstance) -> RunLocks:
    """The locks of an instance, one object per storage: it holds the locks of this process."""
    address = storage_address(instance)
    key = address.reveal() if address else instance.root_directory
    with _making:
        if key not in _known:
            _known[key] = _InDatabase(address) if address else _InFolder(Path(instance.root_directory) / EXECUTING)
        return _known[key]


def storage_address(instance: dg.DagsterInstance) -> Secret | None:
    """The address of the Postgres database in which an instance keeps its runs; None if it keeps them elsewhere."""
    url = getattr(instance.run_storage, "postgres_url", None) or getattr(
        getattr(instance.run_storage, "_storage", None), "postgres_url", None
    )
    return Secret(url) if url else None


def not_executed(home: Path, dsn: Secret | None, run_ids: set[str]) -> set[str]:
    """The runs that no live process seems to execute. Checked once, so good enough for messages only."""
    if dsn is not None:
        return _InDatabase(dsn)._not_held(run_ids)
    return _InFolder(home / EXECUTING).dead(run_ids)


class _InFolder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, ProcessLock] = {}

    def hold(self, run_id: str) -> None:
        if run_id not in self._locks:
            lock = ProcessLock(self._folder / f"{run_id}.lock")
            while lock.take("run") is not None:
                time.sleep(RETRY_S)
            self._locks[run_id] = lock

    def try_hold(self, run_id: str) -> bool:
        lock, until = ProcessLock(self._folder / f"{run_id}.lock"), time.monotonic() + CHECKED_FOR_S
        while run_id not in self._locks:
            if lock.take("run") is None:
                self._locks[run_id] = lock
            elif time.monotonic() > until:
                return False
            else:
                time.sleep(RETRY_S)
        return True

    def release_run(self, run_id: str) -> None:
        lock = self._locks.pop(run_id, None)
        if lock is not None:
            lock.path.unlink(missing_ok=True)
            lock.release()

    def dead(self, run_ids: set[str]) -> set[str]:
        return {run_id for run_id in run_ids - self._locks.keys() if self._lock(run_id).holder() is None}

    def tidy(self, on: set[str]) -> None:
        for run_id in self._locks.keys() - on:
            self.release_run(run_id)
        for path in self._folder.glob("*.lock"):
            if path.stem not in on and ProcessLock(path).holder() is None:
                path.unlink(missing_ok=True)

    def _lock(self, run_id: str) -> ProcessLock:
        return ProcessLock(self._folder / f"{run_id}.lock")


class _InDatabase:
    def __init__(self, dsn: Secret) -> None:
        self._dsn = dsn
        self._runs: set[str] = set()
        self._alone = threading.Lock()
        self._connection: psycopg.Connection[object] | None = None
        self._keeper: threading.Thread | None = None

    def hold(self, run_id: str) -> None:
        with self._alone:
            self._runs.add(run_id)
            self._ensure(retake={run_id})
            self._start_keeper()

    def try_hold(self, run_id: str) -> bool:
        with self._alone:
            self._ensure(retake=set())
            assert self._connection is not None
            taken = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_number(run_id),)).fetchone()
            if taken != (True,):
                return False
            self._runs.add(run_id)
            self._start_keeper()
        return True

    def release_run(self, run_id: str) -> None:
        with self._alone:
            self._runs.discard(run_id)
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (lock_number(run_id),))

    def dead(self, run_ids: set[str]) -> set[str]:
        """Checked twice: a holder may be about to retake its lock after a restart of the server."""
        first = self._not_held(run_ids - self._runs)
        if not first:
            return first
        time.sleep(RECHECK_S)
        return first & self._not_held(first)

    def tidy(self, on: set[str]) -> None:
        """Release this process's locks; advisory locks leave nothing to remove."""
        for run_id in self._runs - on:
            self.release_run(run_id)

    def _not_held(self, run_ids: set[str]) -> set[str]:
        if not run_ids:
            return set()
        with connect(self._dsn, "look for dead runs", read_only=True) as connection:
            rows = connection.execute(HELD).fetchall()
        held = {row[0] for row in rows}
        return {run_id for run_id in run_ids if lock_number(run_id) not in held}

    def _start_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="run locks", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        while True:
            time.sleep(RETAKE_S)
            with self._alone, suppress(Exception):  # retried soon; if the server stays down, the run fails anyway
                self._ensure(retake=set())

    def _ensure(self, retake: set[str]) -> None:
        """Take the locks of `retake`, or of all runs of this process if the connection was lost."""
        try:
            if self._connection is None:
                raise psycopg.OperationalError("not connected yet")
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            if self._connection is not None:
                self._connection.close()
            self._connection = connect(self._dsn, "run")
            retake = set(self._runs)
        for run_id in retake:
            self._connection.execute("SELECT pg_advisory_lock(%s)", (lock_number(run_id),))


_making = threading.Lock()
_known: dict[str, RunLocks] = {}
