"""Verify the certificates of past syncs against landed files, each other and `ops.syncs`, for `debitura verify`.

Never calls the API. If the warehouse cannot be read, only the landing zone is checked, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from debitura_pipeline.errors import LandingError, SharedStoreError, WarehouseError
from debitura_pipeline.landing.landing_zone import SyncFolder
from debitura_pipeline.reconcile.certificate import CertificateResult, check_certificate
from debitura_pipeline.settings import Settings
from debitura_pipeline.shared_store.working_copy import fetch_landing
from debitura_pipeline.sync.chain import LandingZone, Recorded, read_zone, recorded_syncs, sync_id_of
from debitura_pipeline.warehouse.opening import describe_warehouse, open_warehouse, warehouse_exists

WAREHOUSE_WAIT_S = 2.0


@dataclass(frozen=True)
class Verification:
    """One finding per certificate, oldest first. `notes`: what could not be checked, and accepted losses."""

    findings: tuple[CertificateResult, ...]
    notes: tuple[str, ...]


def check_certificates(settings: Settings, sync_id: str | None = None) -> Verification:
    """Check all certificates, or that of `sync_id`; there is no finding if that is unknown. Files that only a
    shared store has are downloaded. Raises LandingError, IdentityRefused."""
    fetched = _fetch(settings, sync_id)
    recorded, note = _ask_warehouse(settings)
    zone = read_zone(settings.landing_dir, recorded)
    findings = [finding for finding in _findings(zone) if sync_id in (None, finding.sync_id)]
    notes = [each for each in (fetched, note) if each]
    return Verification(tuple(findings), (*notes, *_notes(zone)))


def _fetch(settings: Settings, sync_id: str | None) -> str | None:
    """Download what is missing here; a note if the shared store cannot be used."""
    try:
        fetch_landing(settings, sync_id)
    except SharedStoreError as error:
        return f"{error} Only what is on this machine was checked."
    return None


def verify(settings: Settings, sync_id: str | None = None) -> list[CertificateResult]:
    """The findings of `check_certificates`. Raises LandingError."""
    return list(check_certificates(settings, sync_id).findings)


def faults_of(folder: SyncFolder, zone: LandingZone) -> CertificateResult:
    """Check one certificate and its place in the chain."""
    name = sync_id_of(folder.path)
    chained = tuple(zone.faults.get(name, ()))
    try:
        found = check_certificate(folder)
    except LandingError as error:
        return CertificateResult(name, folder.path.parent.name, 0, 0, 0, (*chained, str(error)))
    return CertificateResult(
        name, found.resource, found.windows, found.keys, found.api_count, (*chained, *found.faults)
    )


def _findings(zone: LandingZone) -> Iterator[CertificateResult]:
    shown = set()
    lost = zone.lost()
    for folder in zone.folders:
        name = sync_id_of(folder.path)
        if folder.end is not None and name not in lost:
            shown.add(name)
            yield faults_of(folder, zone)
    resources = {sync.sync_id: sync.resource for sync in zone.recorded or ()}
    resources |= {sync_id_of(path): path.parent.name for path in zone.broken}
    for name, faults in zone.faults.items():
        if name not in shown and name not in lost:
            yield CertificateResult(name, resources.get(name, "unknown"), 0, 0, 0, tuple(faults))


def _notes(zone: LandingZone) -> Iterator[str]:
    if lost := sorted(zone.lost()):
        yield f"{len(lost)} certificates are lost, as accepted: {', '.join(lost)}"
    if zone.recorded is None:
        return
    old = sum(1 for sync in zone.recorded if sync.certificate_sha256 is None and not sync.is_lost)
    if old:
        yield f"{old} syncs predate the chain of certificates: their files and counts were checked, the chain was not"
    if unknown := zone.unknown():
        yield (
            f"{len(unknown)} certificates belong to syncs unknown to the warehouse (rebuilt, restored or replaced): "
            "`debitura replay` merges them"
        )


def _ask_warehouse(settings: Settings) -> tuple[list[Recorded] | None, str | None]:
    """Merged syncs, or None and why the warehouse could not be read."""
    unchecked = "only the landing zone's own chain was checked, not whether its newest certificates are complete"
    try:
        if not warehouse_exists(settings):
            return None, f"There is no warehouse at {describe_warehouse(settings)}; {unchecked}."
        with open_warehouse(settings, read_only=True, wait_s=WAREHOUSE_WAIT_S) as warehouse:
            return recorded_syncs(warehouse), None
    except WarehouseError as error:
        return None, f"{error} So {unchecked}."
