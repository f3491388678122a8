"""Allow one run at a time per data directory, DuckDB file and Postgres database: `exclusive_run`.

The locks themselves are in `process_lock.py` and `postgres/run_lock.py`. Code that runs inside `exclusive_run` takes no lock
again. Imports little, so that a second run is refused at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from debitura_pipeline.errors import WarehouseBusy, WarehouseError
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.warehouse.process_lock import Holder, ProcessLock

if TYPE_CHECKING:
    from debitura_pipeline.warehouse.postgres.run_lock import PostgresRunLock

Lock: TypeAlias = "ProcessLock | PostgresRunLock"

RUN_FILE, DEV_FILE, HOME_FILE = "run.lock", "dev.lock", "daemon.lock"
# Purposes of runs that others ask about.
CASES_APPLY, CASES_SETTLE, CLIENTS_APPLY, CLIENTS_LINKS = (
    "cases apply",
    "cases settle",
    "clients apply",
    "clients links",
)
RETRY_EVERY_S = 0.5
REPORT_AFTER_S, REPORT_EVERY_S = 3.0, 60.0


@dataclass(frozen=True)
class LockWait:
    """How many seconds to wait for another run, and who is notified: soon, then once a minute."""

    wait_s: float
    report: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


# By what is locked: a file's path, or a database.
_held: ContextVar[Mapping[Path | WarehouseUrl, Lock] | None] = ContextVar("debitura_run_locks", default=None)


@contextmanager
def exclusive_run(
    settings: Settings,
    purpose: str = "run",
    lock_wait: LockWait | None = None,
    *,
    is_restore: bool = False,
    uses_store: bool = True,
) -> Iterator[None]:
    """Hold the run locks of the data directory and of the warehouse, which other data directories may share.

    Where there is a shared store, the data directory is brought up to date with it first, and it with the directory at the end;
    not for a restore, and not with `uses_store` False.

    Raises WarehouseBusy, naming the holder, at once or after `lock_wait`, with nothing changed; WarehouseError if a Postgres
    database has other people's objects in the pipeline's schemas, or if a restore was interrupted and this is not one
    (`is_restore`); SharedStoreError if the store cannot be used.
    """
    is_first = not _is_held(settings.data_dir.resolve() / RUN_FILE)
    with _holding(_locks_of(settings), purpose, lock_wait):
        if not is_restore and restore_marker(settings).exists():
            raise WarehouseError(
                f"A restore into the data directory {settings.data_dir} was interrupted. Run `debitura restore FILE` again; "
                "nothing was touched."
            )
        if settings.shared_store is None or is_restore or not uses_store or not is_first:
            yield
            return
        from debitura_pipeline.shared_store.working_copy import working_copy  # noqa: PLC0415 - most have no store

        with working_copy(settings, before_push=lambda: ensure_run_lock(settings.warehouse)):
            yield


def restore_marker(settings: Settings) -> Path:
    """A file that exists while a restore puts things in place, and remains if it is killed."""
    return settings.data_dir / ".restore" / "switching"


@contextmanager
def exclusive_dev(settings: Settings) -> Iterator[None]:
    """Be the only `debitura dev` of the data directory and of DAGSTER_HOME. Runs are not affected. Raises WarehouseBusy."""
    wanted = (settings.data_dir.resolve() / DEV_FILE, settings.dagster_home.resolve() / HOME_FILE)
    with _holding(wanted, "dev", None):
        yield


@contextmanager
def without_dev(settings: Settings, purpose: str) -> Iterator[None]:
    """Keep `debitura dev` away, that of these settings and the one that serves all partners: both would start runs. Raises
    WarehouseBusy."""
    homes = {settings.dagster_home.resolve(), *_common_home(settings)}
    with _holding(
        (settings.data_dir.resolve() / DEV_FILE, *(home / HOME_FILE for home in sorted(homes))), purpose, None
    ):
        yield


def _common_home(settings: Settings) -> Iterator[Path]:
    if settings.common is not None and settings.common.home.is_dir():  # there is none before its first start
        yield settings.common.home.resolve()


@contextmanager
def _holding(wanted: Iterable[Path | WarehouseUrl], purpose: str, lock_wait: LockWait | None) -> Iterator[None]:
    with ExitStack() as taken:
        held = dict(_held.get() or {})
        for what in wanted:
            if what not in held or not held[what].is_held:
                held[what] = lock = _acquire_waiting(partial(_acquire, what, purpose), lock_wait)
                taken.callback(lock.release)
        token = _held.set(held)
        try:
            yield
        finally:
            with suppress(
                ValueError
            ):  # closed in another context: the locks there are no longer held, and not believed
                _held.reset(token)


def _is_held(file: Path) -> bool:
    lock = (_held.get() or {}).get(file)
    return lock is not None and lock.is_held


def current_run(settings: Settings) -> Holder | None:
    """The holder of the data directory's run lock, for messages; None if there is none."""
    return ProcessLock(settings.data_dir.resolve() / RUN_FILE).holder()


def file_run(path: Path) -> Holder | None:
    """The run that has a DuckDB file, of any data directory, for messages; None if there is none."""
    return ProcessLock(_beside(path)).holder()


def ensure_run_lock(database: WarehouseUrl) -> None:
    """Inside `exclusive_run` on Postgres, make sure that the lock is still held. Raises WarehouseError if another run took
    it."""
    lock = (_held.get() or {}).get(database)
    if lock is not None and not isinstance(lock, ProcessLock) and lock.is_held:
        try:
            lock.ensure()
        except WarehouseBusy as busy:
            raise WarehouseError(f"The connection that kept other runs out was lost, and meanwhile: {busy}") from None


def _locks_of(settings: Settings) -> Iterator[Path | WarehouseUrl]:
    """In the same order everywhere, so that no two runs can wait for each other."""
    yield settings.data_dir.resolve() / RUN_FILE
    path = settings.warehouse.path
    if path is not None:
        yield _beside(path)
    else:
        yield settings.warehouse


def _beside(path: Path) -> Path:
    real = path.resolve()
    return real.with_name(f"{real.name}.lock")


def _acquire(what: Path | WarehouseUrl, purpose: str) -> Lock:
    if isinstance(what, WarehouseUrl):
        from debitura_pipeline.warehouse.postgres.run_lock import PostgresRunLock  # noqa: PLC0415 - takes a while to load

        return PostgresRunLock(what, purpose)
    lock = ProcessLock(what)
    holder = lock.take(purpose)
    if holder is None:
        return lock
    raise WarehouseBusy(
        f"{_conflict(what)}: {holder}. Nothing was touched. Wait for it, or end that process.", pid=holder.pid
    )


def _conflict(file: Path) -> str:
    if file.name == RUN_FILE:
        return f"Another run has the data directory {file.parent}"
    if file.name == DEV_FILE:
        return f"Another `debitura dev` has the data directory {file.parent}"
    if file.name == HOME_FILE:
        return f"Another `debitura dev` has Dagster's home (DAGSTER_HOME) {file.parent}"
    return f"Another run has the warehouse {file.with_suffix('')}"


def _acquire_waiting(take: Callable[[], Lock], lock_wait: LockWait | None) -> Lock:
    if lock_wait is None:
        return take()
    began = lock_wait.clock()
    tell_at = began + REPORT_AFTER_S
    while True:
        try:
            return take()
        except WarehouseBusy as busy:
            now = lock_wait.clock()
            if now - began >= lock_wait.wait_s:
                raise WarehouseBusy(f"Waited {lock_wait.wait_s / 60:.0f} minutes. {busy}", **busy.facts) from None
            if now >= tell_at:
                lock_wait.report(f"Waiting for another run to end, for {now - began:.0f} s so far. {busy}")
                tell_at = now + REPORT_EVERY_S
        lock_wait.sleep(RETRY_EVERY_S)
