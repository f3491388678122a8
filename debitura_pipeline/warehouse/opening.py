"""Open the warehouse that the settings name, and wait while another process holds it.

DuckDB allows one process to open a file for writing, so nobody keeps it open longer than one step. Postgres is in
`postgres/opening.py`, which is imported only if the settings name a Postgres database.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import duckdb

from debitura_pipeline.errors import WarehouseDamaged, WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.busy_file import busy, is_held, keeps_it_open, run_with_file
from debitura_pipeline.warehouse.duckdb_engine import REBUILD_ADVICE, DuckDbWarehouse
from debitura_pipeline.warehouse.engine import SqlWarehouse

# A full merge holds the file for some tens of seconds.
WAIT_S = 60.0
MIN_PAUSE_S = 0.05
MAX_PAUSE_S = 1.0
SPILL_PREFIX = "duckdb-"
MAGIC, MAGIC_AT = b"DUCK", 8  # in every DuckDB file, after a checksum

_own_spills: set[Path] = set()
_prepared: dict[Path, tuple[int, ...]] = {}  # files as this process left them, complete
_umask_lock = threading.Lock()
_umask_users = 0
_umask_before = 0


@contextmanager
def open_warehouse(
    settings: Settings,
    *,
    read_only: bool = False,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[SqlWarehouse]:
    """The warehouse, prepared unless read-only; closed at the end of the block.

    Raises WarehouseBusy if another process holds the file, or the server is unavailable, for longer than `wait_s`, at once if
    a run has the file that keeps it open to its end; WarehouseError if it is missing (read-only) or cannot be opened.
    """
    opened: AbstractContextManager[SqlWarehouse]
    if settings.warehouse.dsn is not None:
        from debitura_pipeline.warehouse.postgres.opening import open_database  # noqa: PLC0415 - a tenth of a second

        opened = open_database(settings.warehouse, read_only, wait_s, sleep, clock)
    else:
        opened = open_file(settings, read_only=read_only, wait_s=wait_s, sleep=sleep, clock=clock)
    with opened as warehouse:
        yield warehouse


def warehouse_exists(settings: Settings, *, wait_s: float = WAIT_S) -> bool:
    """Whether a run has created the warehouse. Raises WarehouseError if the server does not answer within `wait_s`."""
    if settings.warehouse.path is not None:
        return settings.warehouse.path.exists()
    from debitura_pipeline.warehouse.postgres.opening import is_prepared  # noqa: PLC0415 - see above

    return is_prepared(settings.warehouse, wait_s)


def existing_tables(settings: Settings) -> set[str]:
    """All tables and views at the warehouse's place, whoever made them, as `raw.cases`; on Postgres, those of the pipeline's
    schemas. Empty if there is nothing. Raises WarehouseError if it cannot be read."""
    if settings.warehouse.path is not None:
        if not settings.warehouse.path.exists():
            return set()
        with open_file(settings, read_only=True) as warehouse:
            return warehouse.tables()
    from debitura_pipeline.warehouse.postgres.opening import tables_of  # noqa: PLC0415 - see above

    return tables_of(settings.warehouse)


def describe_warehouse(settings: Settings) -> str:
    """The file, or the server and database without user and password."""
    if settings.warehouse.dsn is None:
        return str(settings.warehouse.path)
    from debitura_pipeline.warehouse.postgres.opening import describe_database  # noqa: PLC0415 - see above

    return describe_database(settings.warehouse)


def check_foreign_objects(settings: Settings, *, wait_s: float = WAIT_S) -> None:
    """Raises WarehouseError if a Postgres database has other people's objects in the pipeline's schemas."""
    if settings.warehouse.dsn is not None:
        from debitura_pipeline.warehouse.postgres import opening  # noqa: PLC0415 - see above

        opening.check_schemas(settings.warehouse, wait_s)


@contextmanager
def open_file(
    settings: Settings,
    *,
    read_only: bool = False,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[DuckDbWarehouse]:
    """The DuckDB warehouse, for what only a file can do; use `open_warehouse` otherwise. Raises WarehouseBusy,
    WarehouseDamaged, and WarehouseError if the warehouse is a Postgres database or missing (read-only)."""
    path = settings.warehouse.path
    if path is None:
        raise WarehouseError("The warehouse is a Postgres database, and this needs a DuckDB file.")
    if read_only and not path.exists():
        raise WarehouseError(f"There is no warehouse at {path} yet. Run `debitura nightly` or `debitura sync` first.")
    with private_umask():
        temporary = settings.data_dir / "tmp"
        if not read_only:
            for folder in (path.parent, temporary):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                set_orphan_aside(path)
                _create(path)
        connection = _connect(path, read_only, wait_s, sleep, clock)
        spill = _spill(temporary, read_only)
        _own_spills.add(spill)
        warehouse = DuckDbWarehouse(connection, spill)
        try:
            if not read_only:
                path.chmod(0o600)
                _remove_stale_spill_folders(spill.parent)
                warehouse.is_complete = _state(path) == _prepared.pop(path, ())
                if not warehouse.is_complete:
                    warehouse.prepare()
            yield warehouse
        finally:
            warehouse.close()
            _own_spills.discard(spill)
            if warehouse.is_complete:
                _prepared[path] = _state(path)


def _state(path: Path) -> tuple[int, ...]:
    """What changes when anybody writes to the file: another version, or another program, may have been there meanwhile."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if not path.with_name(path.name + ".wal").exists():
            return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return (secrets.randbits(64),)


def _spill(temporary: Path, read_only: bool) -> Path:
    """A folder of this process. For a reader, DuckDB creates it on demand, so reading leaves no trace."""
    if not read_only:
        return Path(tempfile.mkdtemp(prefix=SPILL_PREFIX, dir=temporary))
    return (temporary if temporary.exists() else temporary.parent) / f"{SPILL_PREFIX}{secrets.token_hex(4)}"


@contextmanager
def private_umask() -> Iterator[None]:
    """Files created inside the block are readable by their owner only (DuckDB creates its log at any time). The umask belongs
    to the process, so the first user sets it and the last one restores it."""
    global _umask_users, _umask_before  # noqa: PLW0603
    with _umask_lock:
        _umask_users += 1
        if _umask_users == 1:
            _umask_before = os.umask(0o077)
    try:
        yield
    finally:
        with _umask_lock:
            _umask_users -= 1
            if _umask_users == 0:
                os.umask(_umask_before)


def _create(path: Path) -> None:
    """Create an empty warehouse under another name first: a half-created one could never be opened."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        duckdb.connect(draft).close()
        with contextlib.suppress(FileExistsError):  # another process was first; keep its file
            os.link(draft, path)


def _remove_stale_spill_folders(folder: Path) -> None:
    """Remove spill folders of killed processes. A writer has the file to itself, so all but its own are stale."""
    for spill in set(folder.glob(SPILL_PREFIX + "*")) - _own_spills:
        shutil.rmtree(spill, ignore_errors=True)


def _connect(
    path: Path, read_only: bool, wait_s: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> duckdb.DuckDBPyConnection:
    give_up_at, pause = clock() + wait_s, MIN_PAUSE_S
    while True:
        try:
            return duckdb.connect(path, read_only=read_only)
        except duckdb.Error as error:
            if not is_held(error):
                raise _unusable(path, error) from error
            if clock() >= give_up_at:
                raise busy(path, error, wait_s) from error
            if keeps_it_open(run_with_file(path, error)):
                raise busy(path, error, 0.0) from error
        sleep(pause)
        pause = min(pause * 2, MAX_PAUSE_S)


def _unusable(path: Path, error: Exception) -> WarehouseError:
    """The error for a file that cannot be opened, with advice."""
    if path.is_dir():
        return WarehouseError(
            f"{path} cannot be opened: it is a folder.",
            cure="Set DEBITURA_WAREHOUSE to a file in a folder that is there.",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        cure = "Give this user the right to read and write it."
        return WarehouseError(f"{path} cannot be opened: {_first_line(error)}", cure=cure)
    if path.is_file() and path.stat().st_size > 0 and not _is_duckdb_file(path):
        return WarehouseDamaged(
            f"{path} cannot be opened: it is not a DuckDB file.",
            cure=f"If it is something else's, set DEBITURA_WAREHOUSE to another file. {REBUILD_ADVICE}",
        )
    return WarehouseDamaged(f"{path} cannot be opened: {_first_line(error)}", cure=REBUILD_ADVICE)


def _is_duckdb_file(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC


def set_orphan_aside(path: Path) -> None:
    """Rename the log of a warehouse whose file was moved away; DuckDB would apply it to the new file."""
    log = path.with_name(path.name + ".wal")
    if log.exists():
        log.replace(path.with_name(path.name + ".wal.orphaned"))


def _first_line(error: Exception) -> str:
    """DuckDB's message, which starts with the kind of error."""
    return str(error).splitlines()[0][:300].rstrip(".") + "."
