"""The copy for analysts and BI tools, and a Parquet file of every mart and report, replaced in one rename each.

Belongs here: copying, exporting, tidying up the published folder. Does not: computing anything. Called by the asset
`published/warehouse` after a good run. A reader never waits and never meets half a file: it has the old one or the new.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings, WarehouseUrl
from debitura_pipeline.warehouse.duckdb import DuckDbWarehouse, literal
from debitura_pipeline.warehouse.merge import quoted
from debitura_pipeline.warehouse.open import open_file, private_files
from debitura_pipeline.warehouse.pg_publish import copy_out

FILE_NAME = "warehouse.duckdb"
EXPORTED_SCHEMAS = ("marts", "reports")
DRAFT = ".draft-"
CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Published:
    """The published copy, its size, and the Parquet files beside it."""

    path: Path
    bytes: int
    parquet: list[Path]


def publish(settings: Settings) -> Published:
    """Publish the warehouse as it stands. Waits for DuckDB's file like any writer; of Postgres it takes one moment's state.

    Raises WarehouseBusy when the file stays held, WarehouseError when there is nothing to publish or no room for it.
    """
    folder = settings.published_dir
    source = settings.warehouse.path
    if source is not None and not source.exists():
        raise WarehouseError(f"There is no warehouse at {source} to publish. Run `debitura nightly` first.")
    with private_files():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_drafts(folder)
        try:
            if source is not None:
                target, exported = _from_file(settings, source, folder)
            else:
                target, exported = _from_database(settings.warehouse, folder)
        except OSError as error:
            raise WarehouseError(f"Publishing into {folder} failed: {error.strerror}. The old files stay.") from error
        for stale in set(folder.glob("*.parquet")) - set(exported):
            stale.unlink()
        return Published(target, target.stat().st_size, exported)


def _from_file(settings: Settings, source: Path, folder: Path) -> tuple[Path, list[Path]]:
    held: list[int] = []
    try:
        with open_file(settings) as warehouse:
            warehouse.execute_outside("CHECKPOINT")
            held.append(os.open(source, os.O_RDONLY))
            target = _copy(held[0], folder / FILE_NAME)
            return target, _export(warehouse, folder)
    finally:
        # Closing any handle on a file drops this process's lock on it, hence not before the warehouse is closed.
        for handle in held:
            os.close(handle)


def _from_database(database: WarehouseUrl, folder: Path) -> tuple[Path, list[Path]]:
    draft = _draft(folder / FILE_NAME)
    copied = copy_out(database, draft)
    exported = [one for one in copied if one.schema in EXPORTED_SCHEMAS]
    _refuse_same_names([one.name for one in exported])
    target = _put(draft, folder / FILE_NAME)
    parquet = [_put(one.path, folder / f"{one.name}.parquet") for one in exported]
    _remove_drafts(folder)
    return target, sorted(parquet)


def _copy(source: int, target: Path) -> Path:
    draft = _draft(target)
    with os.fdopen(os.dup(source), "rb", closefd=False) as reader, draft.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK_BYTES)
    return _put(draft, target)


def _export(warehouse: DuckDbWarehouse, folder: Path) -> list[Path]:
    """`<table>.parquet` of each table and view; a name that both schemas hold would be one file, so it is refused."""
    marks = ", ".join(f"${place}" for place in range(1, len(EXPORTED_SCHEMAS) + 1))
    tables = warehouse.rows(
        "SELECT table_schema, table_name FROM information_schema.tables "
        f"WHERE table_schema IN ({marks}) ORDER BY table_name, table_schema",
        EXPORTED_SCHEMAS,
    )
    _refuse_same_names([name for _, name in tables])
    return [_export_table(warehouse, schema, name, folder) for schema, name in tables]


def _refuse_same_names(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise WarehouseError(f"Schemas {' and '.join(EXPORTED_SCHEMAS)} hold tables of the same name; rename one.")


def _export_table(warehouse: DuckDbWarehouse, schema: str, name: str, folder: Path) -> Path:
    target = folder / f"{name}.parquet"
    draft = _draft(target)
    warehouse.execute_outside(
        f"COPY (SELECT * FROM {quoted(schema)}.{quoted(name)}) TO {literal(str(draft))} (FORMAT parquet, COMPRESSION zstd)"
    )
    return _put(draft, target)


def _draft(target: Path) -> Path:
    """Where a file is written before it gets its name. No tool that reads `*.parquet` may take it for one: globs of
    Python and DuckDB show hidden files too."""
    return target.with_name(f"{DRAFT}{target.name}.part")


def _put(draft: Path, target: Path) -> Path:
    """Give a finished draft its name: on disk first, then renamed, then the folder's entry on disk too."""
    draft.chmod(0o600)
    _sync_to_disk(draft)
    draft.replace(target)
    _sync_to_disk(target.parent)
    return target


def _sync_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_drafts(folder: Path) -> None:
    """What a publishing that was killed has left."""
    for draft in folder.glob(DRAFT + "*"):
        draft.unlink()
