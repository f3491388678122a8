"""Repair damaged journals and landing folders, for `debitura repair`.

Nothing is deleted: unusable folders are moved to `<data dir>/aside/`. Lost syncs are recorded as lost in `ops.syncs` and in the
landing zone, so that `verify` and `replay` work again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.accepted_gaps import GAPS, Gap, accept_gaps, read_gaps
from debitura_pipeline.landing.journal_lines import JOURNAL, Merged
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.certificate import file_faults, read_windows
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.working_copy import fetch_landing
from debitura_pipeline.sync.chain import LandingZone, Recorded, read_zone, recorded_syncs, sync_id_of
from debitura_pipeline.warehouse.opening import open_warehouse, warehouse_exists
from debitura_pipeline.warehouse.run_lock import exclusive_run

LOST = "its landing cannot be recovered; accepted with `debitura repair`"


@dataclass(frozen=True)
class Repair:
    """One repair. `words`: its description.

    `kind`: `mark` adds the journal's `merged` line; `restore` truncates the journal to its certificate; `aside` moves the folder
    away; `lost` does so and records the sync as lost; `link` records a certificate as lost that only its successor names.
    """

    kind: Literal["mark", "restore", "aside", "lost", "link"]
    sync_id: str
    resource: str
    path: Path | None
    words: str
    certificate_sha256: str | None = None


def repair(settings: Settings, *, apply: bool) -> list[Repair]:
    """The repairs that are needed, oldest first; carried out if `apply`. Raises LandingError, WarehouseError and OSError."""
    with exclusive_run(settings, "repair"):
        now = datetime.now(UTC)
        fetch_landing(settings)
        recorded = _recorded(settings)
        repairs = _broken_gaps(settings) or list(_plan(read_zone(settings.landing_dir, recorded)))
        if apply:
            for one in repairs:
                _move(settings, one, now)
            _keep_losses(settings, repairs, now, in_warehouse=recorded is not None)
            if any(one.path and one.path.name == GAPS for one in repairs):
                repairs += repair(settings, apply=True)
        return repairs


def _recorded(settings: Settings) -> list[Recorded] | None:
    if not warehouse_exists(settings):
        return None
    with open_warehouse(settings) as warehouse:
        return recorded_syncs(warehouse)


def _broken_gaps(settings: Settings) -> list[Repair]:
    path = settings.landing_dir / GAPS
    try:
        read_gaps(settings.landing_dir)
    except LandingError:
        return [Repair("aside", GAPS, "", path, f"{path} cannot be read: move it aside and list the gaps again")]
    return []


def _plan(zone: LandingZone) -> Iterator[Repair]:
    lost = zone.lost()
    done = {sync.sync_id: sync for sync in zone.recorded or () if not sync.is_lost}
    loaded = {folder.path: folder for folder in zone.folders}
    paths = {sync_id_of(path): path for path in [*zone.broken, *loaded]}
    for name, path in sorted(paths.items()):
        if name not in lost:
            yield from _of_folder(zone, name, path, loaded.get(path), done.get(name))
    for sync in done.values():
        if sync.sync_id not in paths:
            yield _loss(sync.sync_id, sync.resource, None, "its folder is missing", sync.certificate_sha256)
    yield from _links(zone)


def _of_folder(
    zone: LandingZone, name: str, path: Path, folder: SyncFolder | None, done: Recorded | None
) -> Iterator[Repair]:
    """The repairs of one folder. A certificate whose only fault is a missing predecessor needs none itself."""
    resource = done.resource if done else path.parent.name
    faults = [fault for fault in zone.faults.get(name, ()) if not fault.startswith("the certificate before it")]
    sha256 = done.certificate_sha256 if done else None
    if folder is None and sha256 is not None and _prefix(path, sha256):
        words = (
            f"sync {name} of {resource}: its journal is damaged after its certificate; truncate it to the certificate"
        )
        yield Repair("restore", name, resource, path, words, sha256)
        return
    if folder is not None and not faults:
        faults = _of_files(folder)
    may_be_merged = done is not None or zone.recorded is None or (folder is not None and folder.is_merged)
    if faults and may_be_merged:
        yield _loss(name, resource, path, faults[0], sha256 or (folder.certificate_sha256 if folder else None))
    elif faults:
        words = (
            f"unfinished sync {name} of {resource}: {faults[0].rstrip('.')}; move it aside, the next sync reads again"
        )
        yield Repair("aside", name, resource, path, words)
    elif folder is not None and done is not None and not folder.is_merged:
        words = f"sync {name} of {resource} is merged, but its journal does not say so; add the line"
        yield Repair("mark", name, resource, path, words)


def _of_files(folder: SyncFolder) -> list[str]:
    """Faults of a folder's files. For an unfinished folder only the journal counts, because files are read again anyway."""
    try:
        if folder.end is None:
            read_windows(folder)
            return []
        return file_faults(folder)
    except LandingError as error:
        return [str(error)]


def _loss(name: str, resource: str, path: Path | None, fault: str, sha256: str | None) -> Repair:
    words = (
        f"sync {name} of {resource} cannot be recovered: {fault.rstrip('.')}. Record it as lost"
        f"{' and move its folder aside' if path else ''}; then run `debitura sync --full`, after which `debitura replay` "
        "can rebuild the rest"
    )
    return Repair("lost", name, resource, path, words, sha256)


def _links(zone: LandingZone) -> Iterator[Repair]:
    """Certificates that are known only as the predecessor of another one."""
    for folder in zone.folders:
        name, previous = sync_id_of(folder.path), folder.begin.previous_sha256
        if any(fault.startswith("the certificate before it") for fault in zone.faults.get(name, ())):
            resource = folder.begin.resource
            words = (
                f"the sync of {resource} before {name} is missing, and the warehouse does not know it. Record it as lost; "
                "then run `debitura sync --full`"
            )
            # The id sorts right before that of its successor.
            yield Repair("link", f"{name}-predecessor", resource, None, words, previous)


def _prefix(path: Path, certificate_sha256: str) -> int:
    """The number of bytes of a damaged journal that are the merged certificate; 0 if it is not intact."""
    try:
        data = (path / JOURNAL).read_bytes()
    except OSError:
        return 0
    digest, at = hashlib.sha256(), 0
    for line in data.split(b"\n")[:-1]:
        digest.update(line + b"\n")
        at += len(line) + 1
        if digest.hexdigest() == certificate_sha256:
            return at
    return 0


def _move(settings: Settings, one: Repair, now: datetime) -> None:
    """Carry out a repair on disk."""
    path = one.path
    if path is None:
        return
    if one.kind == "mark":
        SyncFolder.load(path).append(Merged(at=now))
        return
    target = settings.data_dir / "aside" / one.resource / f"{path.name}-{now:%Y%m%dT%H%M%SZ}"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if one.kind == "restore" and one.certificate_sha256 is not None:
        target.mkdir(mode=0o700)
        shutil.copy2(path / JOURNAL, target / JOURNAL)
        os.truncate(path / JOURNAL, _prefix(path, one.certificate_sha256))
        SyncFolder.load(path).append(Merged(at=now))
    else:
        path.rename(target)


def _keep_losses(settings: Settings, repairs: list[Repair], now: datetime, *, in_warehouse: bool) -> None:
    """Record losses after the folders are moved: if killed in between, the next repair finds them missing."""
    lost = [one for one in repairs if one.kind in ("lost", "link")]
    if not lost:
        return
    if in_warehouse:
        with open_warehouse(settings) as warehouse:
            for one in lost:
                warehouse.execute(
                    "UPDATE ops.syncs SET status = 'lost', is_proven = false, message = CAST($2 AS VARCHAR) "
                    "WHERE sync_id = $1 AND status = 'done'",
                    (one.sync_id, LOST),
                )
    gaps = [Gap(one.sync_id, one.resource, one.certificate_sha256, one.words, now.isoformat()) for one in lost]
    accept_gaps(settings.landing_dir, gaps)
