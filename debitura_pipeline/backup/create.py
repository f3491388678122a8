"""`debitura backup`: write everything that cannot be rebuilt to one file, while no run is in progress."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from debitura_pipeline.backup.archive import ArchiveWriter, archive_writer
from debitura_pipeline.backup.contents import DUCKDB_FILE, WAREHOUSE, dagster_files, data_files
from debitura_pipeline.backup.manifest import BackupError, Manifest, TableManifest
from debitura_pipeline.backup.tables import count_rows, dump_tables
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.working_copy import fetch_landing
from debitura_pipeline.warehouse.identity import check_identity
from debitura_pipeline.warehouse.opening import open_file, warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run

PACKAGES = ("debitura-pipeline", "duckdb", "dagster", "dbt-core")


def back_up(settings: Settings, file: Path, *, force: bool = False) -> Manifest:
    """Write the archive. Raises WarehouseBusy while a run is in progress, IdentityRefused, and BackupError if there is
    nothing to back up or `file` cannot be written."""
    file = file.expanduser().absolute()
    _refuse(settings, file, force)
    with exclusive_run(settings, "backup"):
        known = check_identity(settings)
        fetch_landing(settings)
        if not warehouse_exists(settings):
            raise BackupError("There is nothing to back up yet. Run `debitura nightly` or `debitura sync` first.")
        try:
            with (
                tempfile.TemporaryDirectory(prefix=f".{file.name}-", dir=file.parent) as work,
                archive_writer(file) as archive,
            ):
                tables = _add_warehouse(settings, archive, Path(work))
                for name, path in data_files(settings):
                    with suppress(
                        FileNotFoundError
                    ):  # receiver and sensors, which take no run lock, remove theirs at any time
                        archive.add(name, path)
                if settings.dagster_postgres is None:
                    _add_dagster(settings, archive, Path(work))
                manifest = Manifest(
                    created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    versions={name: version(name) for name in PACKAGES},
                    engine=settings.warehouse.engine,
                    dagster="sqlite" if settings.dagster_postgres is None else "postgresql",
                    identity=known.folder or known.warehouse,
                    tables=tables,
                    members=archive.members,
                )
                archive.finish(manifest)
        except OSError as error:
            place = error.filename if isinstance(error.filename, str) else file
            raise BackupError(
                f"Backing up failed at {place}: {error.strerror or error}. No partial file is left; nothing else was changed."
            ) from error
    return manifest


def _refuse(settings: Settings, file: Path, force: bool) -> None:
    if file.exists() and not (force and file.is_file()):
        raise BackupError(f"{file} already exists. Choose another name, or overwrite it with --force.")
    if not file.parent.is_dir():
        raise BackupError(f"{file.parent} is not a folder. Create it, or choose another location for the backup.")
    if settings.data_dir.resolve() in file.resolve().parents:
        raise BackupError(
            f"{file} is inside the data directory {settings.data_dir}, which it is a backup of. Choose a place outside, best "
            "on another disk."
        )


def _add_warehouse(settings: Settings, archive: ArchiveWriter, work: Path) -> dict[str, TableManifest]:
    path = settings.warehouse.path
    if path is None:
        tables = count_rows(settings)
        for name, copied in dump_tables(settings, work):
            archive.add(f"{WAREHOUSE}/{name}.copy", copied)
            copied.unlink()
        return tables
    with open_file(settings) as warehouse:
        warehouse.execute_autocommit("CHECKPOINT")
    tables = count_rows(settings)
    log = path.with_name(f"{path.name}.wal")
    if log.exists() and log.stat().st_size:  # somebody outside of this program has written since
        raise BackupError(
            f"{path} is being written by another program ({log.name} is there). Close it; nothing was written."
        )
    archive.add(f"{WAREHOUSE}/{DUCKDB_FILE}", path)
    return tables


def _add_dagster(settings: Settings, archive: ArchiveWriter, work: Path) -> None:
    """SQLite's backup API copies a database that is in use, so the daemon may keep running."""
    for name, path in dagster_files(settings):
        copy = work / "copy"
        if path.suffix == ".db":
            with (
                closing(sqlite3.connect(path)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        else:
            shutil.copyfile(path, copy)
        archive.add(name, copy)
        copy.unlink()
