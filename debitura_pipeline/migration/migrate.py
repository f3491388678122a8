"""`debitura migrate`: copy, compare, and only then put in place.

The source is read only. A DuckDB file is built beside its place and renamed; Postgres is filled in one transaction. If it is
killed, nothing of the copy is visible, and the same command starts over; if it was complete by then, the same command finds it
equal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.migration.fingerprint import Side
from debitura_pipeline.migration.sides import Sides
from debitura_pipeline.migration.transfer import (
    Report,
    copied_tables,
    copy_tables,
    has_rows,
    not_copied,
    not_ours,
    require_copyable,
    require_equal,
    rows_in,
    unequal_tables,
)
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse.engine import SqlWarehouse
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.merge_sql import quoted
from debitura_pipeline.warehouse.opening import (
    describe_warehouse,
    existing_tables,
    open_file,
    open_warehouse,
    private_umask,
    set_orphan_aside,
)
from debitura_pipeline.warehouse.run_lock import exclusive_run, without_dev

WORK = "migrate-"  # folders of the data directory's `tmp`
DRAFT = ".migrating"


@dataclass(frozen=True)
class Migrated:
    """Number of rows. `was_there`: an earlier run of the command had copied them, and both are equal. `left_out`: objects of the
    source that are not the pipeline's and were not copied."""

    rows: int
    was_there: bool
    left_out: tuple[str, ...]


def migrate_warehouse(sides: Sides, report: Report = lambda _: None) -> Migrated:
    """Copy the source's warehouse to the target, compare, and put it in place. `report`: called with a line per step.

    Raises WarehouseBusy if a run holds either side or `debitura dev` is running, IdentityRefused if the source is not what the
    settings say, NotEqual if the copy differs (it is discarded), WarehouseError if there is no source or the target holds anything
    else.
    """
    # The daemon of `debitura dev` would start runs into the old warehouse after it was copied.
    with (
        without_dev(sides.source, "migrate"),
        exclusive_run(sides.source, "migrate"),
        exclusive_run(sides.target, "migrate"),
        private_umask(),
    ):
        check_identity(sides.source)
        with open_warehouse(sides.source, read_only=True) as warehouse, _snapshot(warehouse):
            require_copyable(warehouse)
            source = _source(sides, warehouse)
            left_out = tuple(not_copied(warehouse))
            if _is_occupied(sides.target):
                _require_same(source, sides.target)
                return Migrated(rows_in(warehouse), was_there=True, left_out=left_out)
            with _work_folder(sides.source) as work:
                copy = _copy_to_file if sides.target.warehouse.path is not None else _copy_to_server
                return Migrated(copy(source, sides.target, work, report), was_there=False, left_out=left_out)


def _snapshot(warehouse: SqlWarehouse) -> AbstractContextManager[None]:
    """All statements see the same data; nobody else can write to a DuckDB file that is open."""
    snapshot: AbstractContextManager[None] = getattr(warehouse, "snapshot", nullcontext)()
    return snapshot


def _source(sides: Sides, warehouse: SqlWarehouse) -> Side:
    engine = sides.source.warehouse.engine
    return Side(warehouse, engine, has_nul=engine == "duckdb" and sides.target.warehouse.engine == "postgresql")


def _is_occupied(target: Settings) -> bool:
    """Whether the target holds rows. Raises WarehouseError if it holds anything else but empty tables of the pipeline."""
    path = target.warehouse.path
    if (
        path is not None and path.is_file() and path.stat().st_size == 0
    ):  # made by `mktemp` or `touch`; DuckDB opens none
        return False
    there = existing_tables(target)
    strangers = sorted(not_ours(there))
    if len(strangers) < len(there):
        with open_warehouse(target, read_only=True) as warehouse:
            if has_rows(warehouse):
                return True
    if strangers:
        raise _refused(target, f"holds {strangers[0]}")
    return False


def _require_same(source: Side, target: Settings) -> None:
    """Raises WarehouseError if the rows that the target holds are not the source's."""
    with open_warehouse(target, read_only=True) as warehouse:
        for found in unequal_tables(source, Side(warehouse, target.warehouse.engine)):
            raise _refused(target, f"holds a warehouse that is not equal ({found})")


def _refused(target: Settings, why: str) -> WarehouseError:
    cure = (
        "Move that file away or choose another one."
        if target.warehouse.path is not None
        else "Choose an empty database or another --to-schema-prefix, or have an administrator drop what is there."
    )
    return WarehouseError(
        f"The target {describe_warehouse(target)} is not empty: it {why}. Nothing was changed.", cure=cure
    )


@contextmanager
def _work_folder(settings: Settings) -> Iterator[Path]:
    """A folder for one table at a time; those of killed migrations are removed."""
    parent = settings.data_dir / "tmp"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in parent.glob(f"{WORK}*"):  # the run lock is held, so nobody uses it
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=WORK, dir=parent) as folder:
        yield Path(folder)


def _copy_to_server(source: Side, target: Settings, work: Path, report: Report) -> int:
    """All in one transaction, the comparison included."""
    with open_warehouse(target) as warehouse:
        with warehouse.transaction(is_durable=True):
            rows = copy_tables(source.warehouse, warehouse, work, report)
            report("comparing every row and column")
            require_equal(source, Side(warehouse, target.warehouse.engine))
        for schema, name, _ in copied_tables():  # what reads next would come before autovacuum
            warehouse.run(f"ANALYZE {schema}.{quoted(name)}")
    return rows


def _copy_to_file(source: Side, target: Settings, work: Path, report: Report) -> int:
    """Into a file beside the target, which takes its name once it is complete and on the disk."""
    path = target.warehouse.path
    assert path is not None
    draft = path.with_name(f".{path.name}{DRAFT}")
    _remove(draft)
    try:
        with open_file(replace(target, warehouse=replace(target.warehouse, path=draft))) as warehouse:
            rows = copy_tables(source.warehouse, warehouse, work, report)
            warehouse.execute_autocommit("CHECKPOINT")
            report("comparing every row and column")
            require_equal(source, Side(warehouse, target.warehouse.engine))
        set_orphan_aside(path)
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    finally:
        _remove(draft)
    return rows


def _remove(draft: Path) -> None:
    for path in (draft, draft.with_name(f"{draft.name}.wal")):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
