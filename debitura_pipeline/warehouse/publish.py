"""Publish the warehouse for analysts and BI tools: a copy, a file with marts and reports only, a Parquet file per table (and a CSV
file, by a setting), and a workbook of the reports.

Everything is written beside the published files and becomes visible at once (`published_folder.py`); memory is bounded
(`exports.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from debitura_pipeline.errors import WarehouseError
from debitura_pipeline.settings import Settings
from debitura_pipeline.warehouse import published_folder
from debitura_pipeline.warehouse.as_of_macros import add_attached_macros
from debitura_pipeline.warehouse.exports import REPORTS_FILE, bounded, export_marts, newest_reading
from debitura_pipeline.warehouse.opening import open_file, private_umask
from debitura_pipeline.warehouse.postgres.snapshot import write_snapshot
from debitura_pipeline.warehouse.published_folder import SPREADSHEET, WAREHOUSE, PublishedNight, current_night
from debitura_pipeline.warehouse.run_lock import exclusive_run
from debitura_pipeline.warehouse.shared_nights import share_night

CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Published:
    """The published copy at its documented path, its size, the other files next to it, and its night."""

    path: Path
    bytes: int
    parquet: list[Path]
    csv: list[Path]
    spreadsheet: Path
    night: PublishedNight


def utc_now() -> datetime:
    return datetime.now(UTC)


def publish(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Published:
    """Publish the current warehouse. Waits for the DuckDB file like any writer; copies one snapshot of Postgres.

    Raises WarehouseBusy if the file stays locked or another run is in progress, WarehouseError if there is nothing to publish
    or publishing fails. Readers then keep the previous night, and no files are left behind. Raises SharedStoreError if the night is
    published here, but could not be copied to the shared store.
    """
    with exclusive_run(settings, "publish"):
        published = publish_held(settings, now=now)
        share_night(settings)
        return published


def publish_held(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> Published:
    """`publish` inside a run that already holds the run lock. Raises WarehouseBusy, and WarehouseError if there is no
    warehouse or publishing fails."""
    source, folder = settings.warehouse.path, settings.published_dir
    if source is not None and not source.exists():
        raise WarehouseError(f"There is no warehouse at {source} to publish. Run `debitura nightly` first.")
    with private_umask(), _translate_errors(folder), published_folder.exclusive_writer(folder):
        with published_folder.draft_folder(folder) as draft:
            night = _write_and_switch(settings, folder, draft, now)
        _remove_old_nights(folder)
    return published_now(settings, night)


def published_now(settings: Settings, night: PublishedNight) -> Published:
    """The `Published` of a night that is already published."""
    folder = settings.published_dir
    parquet, csv = (sorted(folder / path.name for path in night.path.glob(f"*.{kind}")) for kind in ("parquet", "csv"))
    return Published(folder / WAREHOUSE, (folder / WAREHOUSE).stat().st_size, parquet, csv, folder / SPREADSHEET, night)


def _write_and_switch(settings: Settings, folder: Path, draft: Path, now: Callable[[], datetime]) -> PublishedNight:
    from debitura_pipeline.warehouse.spreadsheet import write_spreadsheet  # noqa: PLC0415 - the only one to need XlsxWriter

    if settings.warehouse.path is None:
        write_snapshot(settings.warehouse, draft)
    else:
        _copy_file(settings, settings.warehouse.path, draft / WAREHOUSE)
    with bounded(draft / WAREHOUSE) as file:
        add_attached_macros(file)
    export_marts(draft, with_csv=settings.publishes_csv)
    as_of, published_at = newest_reading(draft / WAREHOUSE), now()
    is_simulated = settings.uses_embedded_sandbox
    write_spreadsheet(
        draft / REPORTS_FILE, draft / SPREADSHEET, is_simulated=is_simulated, as_of=as_of, now=published_at
    )
    return published_folder.switch_to(folder, draft, as_of=as_of, now=published_at)


def _remove_old_nights(folder: Path) -> None:
    try:
        published_folder.remove_old_nights(folder)
    except OSError as error:
        raise WarehouseError(
            f"The new night is published, but older ones in {folder / published_folder.NIGHTS} could not be removed: "
            f"{error.strerror or error}."
        ) from error


@contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    """Raises WarehouseError, in one line, with what is still published."""
    try:
        yield
    except (OSError, duckdb.Error, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0][:300]
        raise WarehouseError(f"Publishing into {folder} failed: {reason}. {readers_have(folder)}") from error


def readers_have(folder: Path) -> str:
    """A sentence on what is published, for when publishing failed."""
    night = current_night(folder)
    if night is None:
        return "Nothing is published yet."
    as_of = f" as of {night.as_of:%Y-%m-%d %H:%M} UTC," if night.as_of else ""
    return f"Still published: the night{as_of} made {night.published_at:%Y-%m-%d %H:%M} UTC."


def _copy_file(settings: Settings, source: Path, target: Path) -> None:
    """Copy the DuckDB file after a checkpoint, while nobody else can write to it."""
    held: list[int] = []
    try:
        with open_file(settings) as warehouse:
            warehouse.execute_autocommit("CHECKPOINT")
            held.append(os.open(source, os.O_RDONLY))
            with os.fdopen(os.dup(held[0]), "rb") as reader, target.open("wb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
    finally:
        # Closing any handle on a file drops this process's lock on it, hence not before the warehouse is closed.
        for handle in held:
            os.close(handle)
