"""`debitura restore`: verify the whole archive first, then move existing data aside and put the backup in its place.

A restore that is killed before the switch changes nothing. If it is killed during the switch, a marker remains: all runs are
refused, and repeating the command starts the restore over. Nothing is deleted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from debitura_pipeline.backup.archive import extract_archive, verify_archive
from debitura_pipeline.backup.contents import (
    DAGSTER,
    DATA,
    DUCKDB_FILE,
    RESTORING,
    WAREHOUSE,
    existing_data,
    existing_home,
)  # fmt: skip
from debitura_pipeline.backup.manifest import BackupError, Manifest
from debitura_pipeline.backup.tables import count_rows, dump_tables, load_tables, table_columns
from debitura_pipeline.errors import DebituraError, WarehouseBusy
from debitura_pipeline.settings import PRIVACY_KEY_FILE, Settings, key_fingerprint
from debitura_pipeline.warehouse.dagster_processes import refuse_while_dagster_runs
from debitura_pipeline.warehouse.identity import Identity, api_name, stored_identities
from debitura_pipeline.warehouse.opening import private_umask, warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run, restore_marker, without_dev
from debitura_pipeline.webhooks.inbox import receiver_lock
from debitura_pipeline.webhooks.segments import FOLDER as INBOX


@dataclass(frozen=True)
class Restored:
    """What was restored, and where the previous data is (None: there was none)."""

    manifest: Manifest
    aside: Path | None


def restore(settings: Settings, file: Path, *, replace: bool = False) -> Restored:
    """Restore a backup. Raises WarehouseBusy while a run, `debitura dev`, a Dagster process or the receiver of webhooks is
    active; BackupError if the archive is damaged or another partner's, or if data exists and `replace` is False."""
    with (
        without_dev(settings, "restore"),
        exclusive_run(settings, "restore", is_restore=True),
        _without_receiver(settings),
        private_umask(),
    ):
        refuse_while_dagster_runs(settings)
        manifest = verify_archive(file)
        _refuse_unfit(settings, manifest, file)
        was_interrupted = restore_marker(settings).exists()
        _refuse_occupied(settings, manifest, replace=replace or was_interrupted)
        work = settings.data_dir / RESTORING
        if (work / "new").exists():
            shutil.rmtree(work / "new")
        extract_archive(file, manifest, work / "new")
        aside = _switch(settings, manifest, work)
        return Restored(manifest, aside)


@contextmanager
def _without_receiver(settings: Settings) -> Iterator[None]:
    """Keep the receiver out: it would go on writing to the inbox that was moved aside. Raises WarehouseBusy."""
    if not (settings.data_dir / INBOX).exists():
        yield
        return
    lock = receiver_lock(settings.data_dir)
    holder = lock.take("restore")
    if holder is not None:
        raise WarehouseBusy(
            f"The receiver of webhooks has the inbox {settings.data_dir / INBOX}: {holder}. Nothing was touched. End that "
            "process, then run the same command again.",
            pid=holder.pid,
        )
    try:
        yield
    finally:
        lock.release()


def _refuse_unfit(settings: Settings, manifest: Manifest, file: Path) -> None:
    """Raises BackupError if the archive does not match the settings."""
    if manifest.engine != settings.warehouse.engine:
        raise BackupError(
            f"{file} is of a {manifest.engine} warehouse, but DEBITURA_WAREHOUSE names a {settings.warehouse.engine} one. "
            "Nothing was touched."
        )
    known = table_columns()
    newer = [name for name, table in manifest.tables.items() if not set(table.columns) <= set(known.get(name, ()))]
    if newer:
        raise BackupError(
            f"{file} was made by a newer version ({manifest.versions.get('debitura-pipeline')}): it has {newer[0]} with columns "
            "that are unknown here. Nothing was touched."
        )
    identity = manifest.identity
    if identity is None:
        return
    if identity.api != api_name(settings):
        raise BackupError(
            f"{file} holds the data of {identity.api}, but the settings name {api_name(settings)}. Nothing was touched."
        )
    own = settings.privacy_key
    if own is None and f"{DATA}/{PRIVACY_KEY_FILE}" not in manifest.members:
        raise BackupError(
            f"{file} was made with DEBITURA_PRIVACY_KEY set, which no backup holds. Set it to the same key; nothing was touched."
        )
    if own is not None and key_fingerprint(own.reveal().encode()) != identity.privacy_key:
        raise BackupError(f"DEBITURA_PRIVACY_KEY is not the key that {file} was made with. Nothing was touched.")


def _refuse_occupied(settings: Settings, manifest: Manifest, *, replace: bool) -> None:
    try:
        there, has_database = (
            stored_identities(settings),
            settings.warehouse.path is None and warehouse_exists(settings),
        )
    except DebituraError as error:
        if not replace:  # what is damaged may be the very reason for restoring
            raise BackupError(f"{error} To replace it with the backup, add --replace.") from None
        there, has_database = [], True
    for where, identity in there:
        if manifest.identity is not None and not _same(identity, manifest.identity):
            raise BackupError(
                f"{where} holds the data of {identity.api}, of another partner or with another privacy key than the backup. "
                "Restore into another DEBITURA_DATA_DIR (and DEBITURA_WAREHOUSE). Nothing was touched."
            )
    if not replace and (existing_data(settings) or existing_home(settings) or has_database):
        raise BackupError(
            f"The data directory {settings.data_dir}, Dagster's home or the warehouse is not empty. With --replace it is moved "
            "aside, below that directory, and replaced. Nothing was touched."
        )


def _same(one: Identity, other: Identity) -> bool:
    """Whether both may belong to the same partner; unknown if the API stated no id."""
    if one.partner is not None and other.partner is not None and one.partner != other.partner:
        return False
    return (one.environment, one.host, one.privacy_key) == (other.environment, other.host, other.privacy_key)


def _switch(settings: Settings, manifest: Manifest, work: Path) -> Path | None:
    """If killed in here, the marker remains and all runs are refused."""
    new, marker = work / "new", restore_marker(settings)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = settings.data_dir / "aside" / f"before-restore-{stamp}"
    _copy_database_aside(settings, aside)
    marker.touch(mode=0o600)
    os.sync()
    for path in existing_data(settings):
        _move(path, aside / path.name)
    if settings.warehouse.path is None:
        load_tables(settings, manifest.tables, new / WAREHOUSE)
    else:
        _move(new / WAREHOUSE / DUCKDB_FILE, settings.warehouse.path)
    for path in sorted((new / DATA).iterdir()) if (new / DATA).is_dir() else ():
        _move(path, settings.data_dir / path.name)
    if manifest.dagster == "sqlite" and settings.dagster_postgres is None:
        for path in existing_home(settings):
            _move(path, aside / DAGSTER / path.name)
        for path in sorted((new / DAGSTER).iterdir()) if (new / DAGSTER).is_dir() else ():
            _move(path, settings.dagster_home / path.name)
    _compare(settings, manifest)
    os.sync()
    marker.unlink()
    shutil.rmtree(work, ignore_errors=True)
    return aside if aside.exists() else None


def _copy_database_aside(settings: Settings, aside: Path) -> None:
    if settings.warehouse.path is None and warehouse_exists(settings):
        folder = aside / WAREHOUSE
        folder.mkdir(mode=0o700, parents=True)
        for _ in dump_tables(settings, folder):
            pass


def _compare(settings: Settings, manifest: Manifest) -> None:
    found = count_rows(settings)
    wrong = [name for name, table in manifest.tables.items() if found[name].rows != table.rows]
    if wrong:
        raise BackupError(
            f"{wrong[0]} has {found[wrong[0]].rows:,} rows instead of {manifest.tables[wrong[0]].rows:,}."
        )


def _move(source: Path, target: Path) -> None:
    """Works across file systems; the target appears once it is complete."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError:
        draft = target.with_name(f".{target.name}.part")
        if draft.is_dir():
            shutil.rmtree(draft)
        shutil.move(source, draft)
        draft.rename(target)
