"""Which Dagster runs are being executed by a living process, whatever its host is called.

Belongs here: a lock per run, held by the process that executes it and gone with it. Does not: what becomes of a run whose
process is gone (`instance.py`). Beside SQLite storage it is a file in Dagster's home; in Postgres, which machines may share,
it is an advisory lock.
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

# A server that restarts forgets its locks; their holders take them again within this time.
RETAKE_S = 1.0
SECOND_LOOK_S = 5.0
_UNUSED = 0.2  # pause between attempts of a holder that meets somebody who only looks


class Lives(Protocol):
    """How the processes of one instance's runs are told from dead ones."""

    def hold(self, run_id: str) -> None:
        """This process executes the run, until it ends or lets go."""

    def let_go(self, run_id: str) -> None: ...

    def dead(self, run_ids: set[str]) -> set[str]:
        """Those of the runs that no living process executes."""

    def tidy(self, on: set[str]) -> None:
        """Remove what runs have left that are no longer on."""


def lives_of(instance: dg.DagsterInstance) -> Lives:
    """By where the instance keeps its runs; the same object each time, since it holds what this process holds."""
    url = getattr(instance.run_storage, "postgres_url", None) or getattr(
        getattr(instance.run_storage, "_storage", None), "postgres_url", None
    )
    key = url or instance.root_directory
    with _making:
        if key not in _known:
            _known[key] = _InDatabase(Secret(url)) if url else _InFolder(Path(instance.root_directory) / EXECUTING)
        return _known[key]


def not_executed(home: Path, dsn: Secret | None, run_ids: set[str]) -> set[str]:
    """Those of the runs that no living process seems to execute; for words, since it is looked at once only."""
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
                time.sleep(_UNUSED)
            self._locks[run_id] = lock

    def let_go(self, run_id: str) -> None:
        lock = self._locks.pop(run_id, None)
        if lock is not None:
            lock.path.unlink(missing_ok=True)
            lock.release()

    def dead(self, run_ids: set[str]) -> set[str]:
        return {run_id for run_id in run_ids - self._locks.keys() if self._lock(run_id).holder() is None}

    def tidy(self, on: set[str]) -> None:
        for run_id in self._locks.keys() - on:
            self.let_go(run_id)
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
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="run locks", daemon=True)
                self._keeper.start()

    def let_go(self, run_id: str) -> None:
        with self._alone:
            self._runs.discard(run_id)
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (lock_number(run_id),))

    def dead(self, run_ids: set[str]) -> set[str]:
        """Looked at twice: a holder may be about to take its lock again after the server was restarted."""
        first = self._not_held(run_ids - self._runs)
        if not first:
            return first
        time.sleep(SECOND_LOOK_S)
        return first & self._not_held(first)

    def tidy(self, on: set[str]) -> None:
        """A lock of the server's leaves nothing behind; those of this process that are over are let go."""
        for run_id in self._runs - on:
            self.let_go(run_id)

    def _not_held(self, run_ids: set[str]) -> set[str]:
        if not run_ids:
            return set()
        with connect(self._dsn, "look for dead runs", read_only=True) as connection:
            rows = connection.execute(HELD).fetchall()
        held = {row[0] for row in rows}
        return {run_id for run_id in run_ids if lock_number(run_id) not in held}

    def _keep(self) -> None:
        while True:
            time.sleep(RETAKE_S)
            with self._alone, suppress(Exception):  # tried again soon; a server that stays away fails the run by itself
                self._ensure(retake=set())

    def _ensure(self, retake: set[str]) -> None:
        """Hold the locks of all our runs: those of `retake`, and all of them where the connection was lost."""
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
_known: dict[str, Lives] = {}
