"""Checks a sync's certificate again, from the landing zone alone: files unchanged, keys as many as the API counted.

Belongs here: re-counting. Does not: the network or the warehouse. Used by `debitura verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from debitura_pipeline.extract.evidence import Totals, VerifiedWindow
from debitura_pipeline.extract.landed_rows import LandedRows
from debitura_pipeline.landing.store import SyncFolder, folders


@dataclass(frozen=True)
class Finding:
    """One sync's certificate and what does not hold of it; `faults` empty: all holds."""

    sync_id: str
    resource: str
    windows: int
    keys: int
    api_count: int
    faults: tuple[str, ...]


def verify_landing(landing: Path, sync_id: str | None = None) -> Iterator[Finding]:
    """Check every finished sync below `landing`, or the one named, oldest first."""
    for folder in folders(landing):
        if folder.end is not None and sync_id in (None, folder.begin["sync_id"]):
            yield check(folder)


def check(folder: SyncFolder) -> Finding:
    """Files against their hashes, keys of each window and of all against the API's counts."""
    assert folder.end is not None
    used = set(folder.end["windows"])
    windows = [VerifiedWindow.from_line(line) for line in folder.of("window") if line["seq"] in used]
    totals = Totals.from_json(folder.end["api"])
    faults = [fault for window in windows for fault in _faults(folder, window)]
    if len(windows) != len(used):
        faults.append(f"{len(used) - len(windows)} windows of the certificate are not in the journal")
    keys = 0
    if (
        not faults and folder.end.get("mode", folder.begin["mode"]) == "nightly"
    ):  # what was not read is proven by totals, not by keys
        keys = sum(window.distinct for window in windows)
    elif not faults:
        bad = {row.row_key or row.payload_sha256 for window in windows for row in window.bad}
        files = [folder.path / window.file for window in windows if window.file]
        keys = LandedRows(folder.begin["resource"], files).totals(None)[0] + len(bad)
        if keys != totals.count:
            faults.append(f"{keys} distinct keys landed, the API counted {totals.count}")
    return Finding(folder.begin["sync_id"], folder.begin["resource"], len(windows), keys, totals.count, tuple(faults))


def _faults(folder: SyncFolder, window: VerifiedWindow) -> Iterator[str]:
    if window.distinct != window.totals.count:
        yield f"window {window.slice.name}: {window.distinct} keys for {window.totals.count} rows announced"
    if window.file is None:
        if window.distinct > len({row.row_key or row.payload_sha256 for row in window.bad}):
            yield f"window {window.slice.name}: rows were read and no file was landed"
        return
    path = folder.path / window.file
    if not path.exists():
        yield f"window {window.slice.name}: {window.file} is missing"
    elif not folder.file_intact({"file": window.file, "sha256": window.sha256}):
        yield f"window {window.slice.name}: {window.file} has changed since it was landed"
