"""Check the chain of certificates: compare the landing zone with `ops.syncs`, and each certificate with its predecessor.

Used by `verify`, `replay` and `repair`. A certificate's own files are checked in `reconcile/certificate.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from debitura_pipeline.errors import LandingError
from debitura_pipeline.landing.accepted_gaps import Gap, read_gaps
from debitura_pipeline.landing.landing_zone import SyncFolder, by_clock, folder_paths
from debitura_pipeline.warehouse.base import Warehouse

_SYNCS = """
    SELECT sync_id, resource, status, certificate_sha256 FROM ops.syncs WHERE status IN ('done', 'lost')
    ORDER BY as_of, sync_id"""


@dataclass(frozen=True)
class Recorded:
    """A merged sync as recorded in `ops.syncs`. `certificate_sha256`: None if it predates the chain; then `files` are the
    SHA-256 hashes of landed files recorded in `ops.windows`."""

    sync_id: str
    resource: str
    is_lost: bool
    certificate_sha256: str | None
    files: frozenset[str] = frozenset()


@dataclass
class LandingZone:
    """The content of the landing folder. `broken`: folders with a damaged journal, with the error. `faults`: by sync id."""

    folders: list[SyncFolder]
    broken: dict[Path, LandingError]
    gaps: Mapping[str, Gap]
    recorded: Sequence[Recorded] | None = None  # None: the warehouse could not be asked
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by sync id

    def merged(self) -> list[SyncFolder]:
        """Finished folders that are merged according to the warehouse or their journal, oldest first, without lost ones."""
        done = {sync.sync_id for sync in self.recorded or () if not sync.is_lost}
        lost = self.lost()
        found = [
            folder
            for folder in self.folders
            if folder.end is not None and (folder.is_merged or sync_id_of(folder.path) in done)
        ]
        return [folder for folder in found if sync_id_of(folder.path) not in lost]

    def lost(self) -> set[str]:
        """Ids of syncs whose loss was accepted, in the landing zone or the warehouse."""
        return set(self.gaps) | {sync.sync_id for sync in self.recorded or () if sync.is_lost}

    def unknown(self) -> list[SyncFolder]:
        """Folders merged according to their journal, but unknown to the warehouse: it was rebuilt, restored or replaced."""
        known = {sync.sync_id for sync in self.recorded or ()}
        return [folder for folder in self.merged() if folder.begin.sync_id not in known]


def recorded_syncs(warehouse: Warehouse) -> list[Recorded]:
    """Merged syncs, oldest first. Works on warehouses that predate the chain. Raises WarehouseError."""
    columns = warehouse.columns("ops", "syncs")
    sql = _SYNCS if "certificate_sha256" in columns else _SYNCS.replace("certificate_sha256", "NULL")
    files: dict[str, set[str]] = defaultdict(set)
    for sync_id, sha256 in warehouse.rows("SELECT sync_id, file_sha256 FROM ops.windows WHERE file_sha256 IS NOT NULL"):
        files[sync_id].add(sha256)
    return [
        Recorded(sync_id, resource, status == "lost", sha256, frozenset() if sha256 else frozenset(files[sync_id]))
        for sync_id, resource, status, sha256 in warehouse.rows(sql)
    ]


def read_zone(landing: Path, recorded: Sequence[Recorded] | None) -> LandingZone:
    """Read the landing zone and check its chain. Raises LandingError if the list of accepted gaps cannot be read."""
    zone = LandingZone([], {}, read_gaps(landing), recorded)
    for path in folder_paths(landing):
        try:
            folder = SyncFolder.load(path)
            if folder.lines:
                zone.folders.append(folder)
        except LandingError as error:
            zone.broken[path] = error
    zone.folders.sort(key=by_clock)
    _check_names(zone)
    _check_recorded(zone)
    _check_links(zone)
    return zone


def _hashes(folder: SyncFolder) -> set[str | None]:
    return {line.sha256 for line in folder.windows}


def sync_id_of(path: Path) -> str:
    """The sync id of a folder, from its name."""
    return path.name.removeprefix("sync=")


def _check_names(zone: LandingZone) -> None:
    for path, error in zone.broken.items():
        zone.faults[sync_id_of(path)].append(str(error))
    for folder in zone.folders:
        named, begin = (folder.path.parent.name, sync_id_of(folder.path)), folder.begin
        if named != (begin.resource, begin.sync_id):
            zone.faults[named[1]].append(f"its journal belongs to {begin.resource} sync {begin.sync_id}")
        if folder.is_merged and folder.end is None:
            zone.faults[named[1]].append(
                "its journal says that it is merged, but its certificate is truncated: it has no `end`"
            )


def _check_recorded(zone: LandingZone) -> None:
    """Every merged sync must exist, be finished and have the certificate that was merged."""
    there = {sync_id_of(folder.path): folder for folder in zone.folders}
    damaged = {sync_id_of(path) for path in zone.broken}
    lost = zone.lost()
    for sync in zone.recorded or ():
        if sync.sync_id in lost or sync.sync_id in damaged:
            continue
        folder = there.get(sync.sync_id)
        if folder is None:
            zone.faults[sync.sync_id].append("ops.syncs says that it is merged, but its certificate is missing")
        elif folder.end is None:
            if not folder.is_merged:
                zone.faults[sync.sync_id].append(
                    "ops.syncs says that it is merged, but its certificate is truncated: it has no `end`"
                )
        elif sync.certificate_sha256 not in (None, folder.certificate_sha256) or not sync.files <= _hashes(folder):
            zone.faults[sync.sync_id].append("its certificate is not the one that was merged")


def _check_links(zone: LandingZone) -> None:
    """Every certificate's predecessor must exist, be recorded in the warehouse, or be accepted as lost."""
    hashes: dict[str, set[str]] = defaultdict(set)
    for folder in zone.folders:
        if (sha256 := folder.certificate_sha256) is not None:
            hashes[folder.begin.resource].add(sha256)
    for gap in zone.gaps.values():
        hashes[gap.resource].add(gap.certificate_sha256 or "")
    for sync in zone.recorded or ():
        hashes[sync.resource].add(sync.certificate_sha256 or "")
    for folder in zone.merged():
        previous = folder.begin.previous_sha256
        if previous is not None and previous not in hashes[folder.begin.resource]:
            zone.faults[sync_id_of(folder.path)].append(
                f"the certificate before it ({previous[:12]}…) is missing or was modified"
            )
